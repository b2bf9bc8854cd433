package buildtracker

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// heartbeat is how often a stream gets a comment, so that proxies keep it open
	// and a client that is gone is noticed.
	heartbeat = 15 * time.Second
	// heartbeatGroups is into how many groups streams fall that get theirs at one
	// moment.
	heartbeatGroups = 30
)

// heartbeats writes the comments of all streams. A goroutine of each that a timer
// wakes would take as much of the processor as what it then writes.
type heartbeats struct {
	mu     sync.Mutex
	groups [heartbeatGroups]heartbeatGroup
	turn   int // the group whose moment comes next
}

type heartbeatGroup struct {
	streams []*eventWriter
	beating bool // its last moment is not over: a client takes nothing
}

// run writes until ctx ends and what is being written is over.
func (h *heartbeats) run(ctx context.Context) {
	var beating sync.WaitGroup
	defer beating.Wait()
	tick := time.NewTicker(heartbeat / heartbeatGroups)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if group, streams := h.next(); len(streams) > 0 {
				beating.Go(func() { h.beat(group, streams) })
			}
		}
	}
}

// next returns the group whose moment has come and its streams.
func (h *heartbeats) next() (*heartbeatGroup, []*eventWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	group := &h.groups[h.turn]
	h.turn = (h.turn + 1) % heartbeatGroups
	if group.beating || len(group.streams) == 0 {
		return group, nil
	}
	group.beating = true
	return group, slices.Clone(group.streams)
}

func (h *heartbeats) beat(group *heartbeatGroup, streams []*eventWriter) {
	for _, stream := range streams {
		stream.beat()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	group.beating = false
}

// join has a stream get its first comment when nearly a heartbeat has passed.
func (h *heartbeats) join(w *eventWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.group = (h.turn + heartbeatGroups - 1) % heartbeatGroups
	group := &h.groups[w.group]
	w.place = len(group.streams)
	group.streams = append(group.streams, w)
}

// leave returns when nothing is being written to the stream any more, nor will be.
func (h *heartbeats) leave(w *eventWriter) {
	h.mu.Lock()
	group := &h.groups[w.group]
	last := len(group.streams) - 1
	group.streams[w.place] = group.streams[last]
	group.streams[w.place].place = w.place
	group.streams[last] = nil
	group.streams = group.streams[:last]
	h.mu.Unlock()
	w.end()
}
