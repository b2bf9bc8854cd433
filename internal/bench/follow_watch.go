package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/load"
)

// How long everybody may take to be there, and to see a stream's end.
const watchTimeout = 60 * time.Second

// announce posts each build's first delivery and waits until the API shows them:
// before that a build cannot be watched.
func announce(ctx context.Context, addr string, builds []*load.Build) (err error) {
	if err := postEach(ctx, addr, builds, 0); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	c, err := load.Dial(ctx, addr, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, b := range builds {
		for {
			shown, err := c.Get(buildPath(b))
			if err != nil {
				return err
			}
			if shown != nil {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("build %s is not shown: %w", b.ID, context.Cause(ctx))
			}
		}
	}
	return nil
}

func buildPath(b *load.Build) string {
	return fmt.Sprintf("/api/builds/%s/%s/%d", b.Organization, b.Pipeline, b.Number)
}

// postEach posts the n-th delivery of each build.
func postEach(ctx context.Context, addr string, builds []*load.Build, n int) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan *load.Build, len(builds))
	for _, b := range builds {
		queue <- b
	}
	close(queue)
	var posting sync.WaitGroup
	for range min(webhookConnections, len(builds)) {
		posting.Go(func() {
			c, err := load.Dial(running, addr, webhookToken)
			if err != nil {
				stop(err)
				return
			}
			defer c.Close()
			for b := range queue {
				if running.Err() != nil {
					return
				}
				if err := c.Post(b.Delivery(n, nil)); err != nil {
					stop(err)
				}
			}
		})
	}
	posting.Wait()
	return context.Cause(running)
}

// watching is everybody who watches some builds, each over a stream of its own.
type watching struct {
	stop  context.CancelCauseFunc
	ctx   context.Context
	group sync.WaitGroup
	seen  []sightings
}

// watchBuilds opens the streams, and returns when each has brought its first event.
func watchBuilds(ctx context.Context, addr string, builds []*load.Build, watchers int) (*watching, error) {
	w := &watching{}
	w.ctx, w.stop = context.WithCancelCause(ctx)
	for _, b := range builds {
		for range watchers {
			w.seen = append(w.seen, sightings{b.ID, make(map[eventKey]time.Time)})
		}
	}
	var ready sync.WaitGroup
	for i := range w.seen {
		b := builds[i/watchers]
		ready.Add(1)
		w.group.Go(func() {
			first := sync.OnceFunc(ready.Done)
			defer first()
			if err := w.seen[i].follow(w.ctx, addr, buildPath(b)+"/events", first); err != nil {
				w.stop(fmt.Errorf("watch build %s: %w", b.ID, err))
			}
		})
	}
	ready.Wait()
	if err := context.Cause(w.ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// wait returns what all have seen when their streams have ended.
func (w *watching) wait() ([]sightings, error) {
	timer := time.AfterFunc(watchTimeout, func() { w.stop(errors.New("the streams of builds that are over did not end")) })
	defer timer.Stop()
	w.group.Wait()
	return w.seen, context.Cause(w.ctx)
}

// close ends what is still watched.
func (w *watching) close() {
	w.stop(nil)
	w.group.Wait()
}

// follow reads a build's stream to its end, and notes when it had each of
// Buildkite's events. An event that comes twice is an error. It calls first after
// the first event.
func (s *sightings) follow(ctx context.Context, addr, path string, first func()) error {
	events, err := load.Watch(ctx, addr, path)
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		m, err := events.Next()
		at := time.Now()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the stream broke off")
		case err != nil:
			return err
		case m.Name == "end":
			return nil
		}
		if strings.Contains(m.Name, ".") { // one of Buildkite's
			key := eventKey{s.build, m.Name, jobOf(m.Data)}
			if _, twice := s.at[key]; twice {
				return fmt.Errorf("%s of job %q came twice", key.event, key.job)
			}
			s.at[key] = at
		}
		if m.Name != "" {
			first()
		}
	}
}

// jobOf cuts the job's id out of a payload made by package load; empty in an event
// of the build itself. To parse all that everybody reads would take the processor
// from the server.
func jobOf(data []byte) string {
	_, after, found := bytes.Cut(data, []byte(`"job":{"id":"`))
	if !found {
		return ""
	}
	id, _, _ := bytes.Cut(after, []byte(`"`))
	return string(id)
}
