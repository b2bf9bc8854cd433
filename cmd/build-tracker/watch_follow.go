package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/config"
)

// watch is something that is being followed.
type watch struct {
	source  *eventSource
	address string // ORG/PIPELINE, and /NUMBER of a build
	view    view
}

// view shows what a watch sees. Its methods are called one at a time.
type view interface {
	// event shows an event: e, as it came in raw.
	event(e *envelope, raw []byte) error
	// refresh shows what events and the time have changed.
	refresh() error
	// news shows a line about the watch itself.
	news(text string) error
	// end shows how a build ended; with an empty status the watch alone has.
	end(status string) error
}

// newWatch prepares what the configuration asks for.
func newWatch(cfg *config.Watch, t terminal) *watch {
	pipeline := cfg.Organization + "/" + cfg.Pipeline
	if cfg.Number == 0 {
		source := newEventSource(cfg.Client, "/api/events")
		source.query = url.Values{"pipeline": {pipeline}}
		source.start = url.Values{"after": {"latest"}}
		return &watch{source: source, address: printable(pipeline), view: newView(cfg, t, "")}
	}
	number := strconv.FormatInt(cfg.Number, 10)
	source := newEventSource(cfg.Client, "/api/builds/"+url.PathEscape(cfg.Organization)+"/"+url.PathEscape(cfg.Pipeline)+"/"+number+"/events")
	source.start = url.Values{"from": {strconv.FormatInt(cfg.From, 10)}}
	address := printable(pipeline + "/" + number)
	return &watch{source: source, address: address, view: newView(cfg, t, address)}
}

// newView returns how to show events: those of the build at an address, or all.
func newView(cfg *config.Watch, t terminal, address string) view {
	screen, size := t.screen()
	switch {
	case cfg.JSON:
		return &jsonView{t: t, escape: t.showsResults()}
	case address == "":
		return &pipelineView{lineView{t}}
	case screen != nil:
		return &screenView{t: t, address: address, screen: screen, size: size}
	}
	return &buildView{lineView: lineView{t}, address: address}
}

// Pauses between two looks at what has changed.
const (
	soon    = 50 * time.Millisecond // after an event: more may come with it
	eachOne = time.Second           // times are shown in seconds
)

// run follows until there is an end, and returns the status that came with it.
func (w *watch) run(ctx context.Context) (status string, err error) {
	ctx, stop := context.WithCancel(ctx)
	arrivals := make(chan arrival)
	w.source.emit = func(a arrival) error {
		select {
		case arrivals <- a:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var broken error
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(arrivals)
		broken = w.source.follow(ctx)
	})
	defer func() {
		stop()
		reading.Wait()
		err = cmp.Or(err, w.view.end(status))
	}()

	look := time.NewTimer(eachOne)
	defer look.Stop()
	waiting := false // for more events
	for {
		select {
		case a, ok := <-arrivals:
			if !ok {
				return "", broken
			}
			if status, err := w.take(a); err != nil || status != "" {
				return status, err
			}
			if !waiting {
				waiting = true
				look.Reset(soon)
			}
		case <-look.C:
			waiting = false
			if err := w.view.refresh(); err != nil {
				return "", err
			}
			look.Reset(eachOne)
		}
	}
}

// take shows what came. It returns the status of a build that has ended.
func (w *watch) take(a arrival) (ended string, err error) {
	switch a.event.Type {
	case "":
		return "", w.view.news(a.news)
	case "end":
		var end struct{ Status string }
		// What says nothing is no known status.
		_ = json.Unmarshal(a.event.Data, &end)
		return cmp.Or(printable(end.Status), "unknown"), nil
	case "gap":
		var gap struct{ First int64 }
		if err := json.Unmarshal(a.event.Data, &gap); err != nil {
			return "", w.foreign(err)
		}
		return "", w.view.news(fmt.Sprintf("the server does not keep older events any more: it goes on with %d", gap.First))
	}
	var e envelope
	if err := json.Unmarshal(a.event.Data, &e); err != nil {
		return "", w.foreign(err)
	}
	return "", w.view.event(&e, a.event.Data)
}

// foreign is what is wrong with a stream of something else.
func (w *watch) foreign(err error) error {
	return fmt.Errorf("%s sends other events than a build-tracker does (%w): --url says where one is", w.source.server.URL, err)
}
