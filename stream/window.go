package stream

import (
	"sort"
	"sync/atomic"
)

// Limits of what is kept for watchers.
const (
	// windowEvents and windowBytes bound one feed's window.
	windowEvents = 256
	windowBytes  = 1 << 20
	// defaultMemory bounds all windows together, and how many bytes of batches
	// there may be before watchers take smaller ones.
	defaultMemory = 64 << 20
	// eventBytes is what an event takes besides its data.
	eventBytes = 256
)

// memory counts the bytes of events that are kept, in windows and in batches.
type memory struct {
	limit            int64
	windows, batches atomic.Int64
}

// scarce says that watchers hold so much in batches that they should take less.
func (m *memory) scarce() bool { return m.batches.Load() >= m.limit }

// size is about how many bytes these events take.
func size(events []Event) int64 {
	n := int64(len(events)) * eventBytes
	for i := range events {
		n += int64(len(events[i].Data))
	}
	return n
}

// window holds a feed's latest events, for the watchers that have yet to take
// them. It is a part of the stream without holes: every event from its start on.
type window struct {
	memory *memory
	key    func(*Event) int64
	// from is the seq or position from which on it is complete.
	from   int64
	events []Event
	bytes  int64
}

// push adds the events that follow, and drops old ones beyond the limits. A hole
// before them starts the window anew.
func (w *window) push(events []Event, hole bool) {
	if hole {
		w.clear(w.key(&events[0]))
	}
	w.events = append(w.events, events...)
	w.grow(size(events))
	// An eighth of what is left: the more windows there are, the smaller they
	// get, and all together they stay below the limit.
	others := w.memory.windows.Load() - w.bytes
	limit := max(0, min(windowBytes, (w.memory.limit-others)/8))
	drop := max(0, len(w.events)-windowEvents)
	dropped := size(w.events[:drop])
	for drop < len(w.events) && w.bytes-dropped > limit {
		dropped += size(w.events[drop : drop+1])
		drop++
	}
	if drop > 0 {
		w.from = w.key(&w.events[drop-1]) + 1
		clear(w.events[:drop])
		w.events = w.events[drop:]
		w.grow(-dropped)
	}
}

func (w *window) grow(bytes int64) {
	w.bytes += bytes
	w.memory.windows.Add(bytes)
}

// clear empties the window; it is to go on at from.
func (w *window) clear(from int64) {
	w.grow(-w.bytes)
	w.events = nil
	w.from = from
}

// take returns the first event at or after next that the filter selects.
func (w *window) take(next int64, q *Filter) (Event, bool) {
	first := sort.Search(len(w.events), func(i int) bool { return w.key(&w.events[i]) >= next })
	for i := first; i < len(w.events); i++ {
		if q.selects(&w.events[i]) {
			return w.events[i], true
		}
	}
	return Event{}, false
}
