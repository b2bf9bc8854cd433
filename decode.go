package buildtracker

import (
	"fmt"
	"runtime/debug"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/stream"
)

// decoded is an event and what it tells of its build. The payload itself is not
// kept: a batch of many is small.
type decoded struct {
	stream.Event // without Data
	facts        build.Facts
	// err is why the payload tells nothing.
	err error
}

// decode takes the facts out of an event. One that is not Buildkite's has none.
func (t *Tracker) decode(e *stream.Event) (x decoded) {
	x.Event = *e
	x.Data = nil
	if !foldable(e) {
		return x
	}
	defer func() {
		if r := recover(); r != nil {
			t.log.Error("panic while decoding", "position", e.Position, "panic", r, "stack", string(debug.Stack()))
			x.err = fmt.Errorf("panic: %v", r)
		}
	}()
	x.facts, x.err = buildkite.Facts(e.Data)
	return x
}

// decodeBytes is how much data waits for the decoder together, in bytes.
const decodeBytes = 256 << 10

// decoder takes the facts out of events while the next are read: reading and
// decoding take about as long. It has a goroutine until finish.
type decoder struct {
	filling *undecoded
	full    chan *undecoded
	free    chan *undecoded
	events  []decoded     // the goroutine's
	done    chan struct{} // closed when events is complete
}

// undecoded are some events, their data one behind the other.
type undecoded struct {
	events []stream.Event // without Data
	ends   []int          // of their data
	data   []byte
}

// decodeEach returns what each hands on, decoded.
func (t *Tracker) decodeEach(each func(do func(*stream.Event) error) error) (events []decoded, err error) {
	d := t.newDecoder()
	defer func() { events = d.finish() }()
	return nil, each(func(e *stream.Event) error {
		d.add(e)
		return nil
	})
}

func (t *Tracker) newDecoder() *decoder {
	d := &decoder{
		filling: new(undecoded), full: make(chan *undecoded), free: make(chan *undecoded, 2),
		done: make(chan struct{}),
	}
	d.free <- new(undecoded)
	go func() {
		defer close(d.done)
		for some := range d.full {
			begin := 0
			for i := range some.events {
				e := &some.events[i]
				e.Data = some.data[begin:some.ends[i]]
				begin = some.ends[i]
				d.events = append(d.events, t.decode(e))
			}
			*some = undecoded{some.events[:0], some.ends[:0], some.data[:0]}
			d.free <- some
		}
	}()
	return d
}

// add takes an event, whose data may be overwritten then.
func (d *decoder) add(e *stream.Event) {
	f := d.filling
	f.data = append(f.data, e.Data...)
	f.ends = append(f.ends, len(f.data))
	f.events = append(f.events, *e)
	if len(f.data) >= decodeBytes {
		d.full <- f
		d.filling = <-d.free
	}
}

// finish returns what was added, decoded and in order.
func (d *decoder) finish() []decoded {
	d.full <- d.filling
	close(d.full)
	<-d.done
	return d.events
}
