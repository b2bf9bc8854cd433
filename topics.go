package buildtracker

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/bus"
)

const (
	// announceQueue bounds the batches whose messages wait to be published.
	announceQueue = 64
	// publishTimeout bounds how long one message waits for its subscribers.
	publishTimeout = 5 * time.Second
)

// announcer publishes what batches changed on the topics of package bus. It never
// holds the tracker up: when its subscribers are too slow, messages are lost, and
// counted.
type announcer struct {
	bus   *bus.Bus
	log   *slog.Logger
	lost  func(messages int)
	queue chan []announcement
	ended sync.WaitGroup
	close sync.Once
}

// openTopics makes the server's topics. The metrics are their first subscriber.
func (s *Server) openTopics() *announcer {
	s.topics = bus.New(s.metrics.topics())
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
		defer cancel()
		return s.topics.Close(ctx)
	})
	bus.Subscribe(s.topics, bus.PipelineFinished, "metrics", bus.OnlyPayload(s.metrics.finished))
	a := newAnnouncer(s.topics, s.log, func(messages int) { s.metrics.stream.lostMessages.Add(float64(messages)) })
	s.closers = append(s.closers, a.stop)
	return a
}

// announcement is what a batch changed of one build.
type announcement struct {
	build    bus.Build
	started  bool
	updated  []bus.StepResult
	finished map[string]bool // those of updated whose result is final now
	result   *bus.PipelineResult
}

// messages is how many messages it makes.
func (a *announcement) messages() int {
	n := 2*len(a.updated) + len(a.finished)
	if a.started {
		n++
	}
	if a.result != nil {
		n++
	}
	return n
}

func newAnnouncer(b *bus.Bus, log *slog.Logger, lost func(messages int)) *announcer {
	a := &announcer{bus: b, log: log, lost: lost, queue: make(chan []announcement, announceQueue)}
	a.ended.Go(a.run)
	return a
}

// stop publishes what waits and returns. Nothing may be announced any more.
func (a *announcer) stop() error {
	a.close.Do(func() { close(a.queue) })
	a.ended.Wait()
	return nil
}

// announce hands over what a batch changed. A nil announcer has nobody to tell.
func (a *announcer) announce(batch []announcement) {
	if a == nil || len(batch) == 0 {
		return
	}
	select {
	case a.queue <- batch:
	default:
		n := 0
		for i := range batch {
			n += batch[i].messages()
		}
		a.lost(n)
	}
}

func (a *announcer) run() {
	var quiet sometimes
	for batch := range a.queue {
		for i := range batch {
			if err := a.publish(&batch[i]); err != nil {
				quiet.do(func() { a.log.Warn("a subscriber of a topic failed", "error", err) })
			}
		}
	}
}

// publish tells of one build, in the order that the topics promise.
func (a *announcer) publish(x *announcement) (err error) {
	if x.started {
		err = publish(a.bus, bus.PipelineStarted, x.build)
	}
	for _, r := range x.updated {
		update := bus.StepUpdate{Build: x.build, Result: r}
		err = errors.Join(err, publish(a.bus, bus.StepResultUpdated, update))
		err = errors.Join(err, publish(a.bus, bus.StepResultUpdateConsumed, update))
		if x.finished[stepName(r.Step)] {
			err = errors.Join(err, publish(a.bus, bus.StepFinished, update))
		}
	}
	if x.result != nil {
		err = errors.Join(err, publish(a.bus, bus.PipelineFinished, *x.result))
	}
	return err
}

func publish[T any](b *bus.Bus, t bus.Topic[T], payload T) error {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	return bus.Publish(ctx, b, t, payload)
}

// wanted is what somebody subscribes to. The rest is not worked out.
type wanted struct{ started, steps, finished bool }

func (a *announcer) wanted() (w wanted) {
	if a == nil {
		return w
	}
	return wanted{
		started: bus.Wanted(a.bus, bus.PipelineStarted),
		steps: bus.Wanted(a.bus, bus.StepResultUpdated) || bus.Wanted(a.bus, bus.StepResultUpdateConsumed) ||
			bus.Wanted(a.bus, bus.StepFinished),
		finished: bus.Wanted(a.bus, bus.PipelineFinished),
	}
}

// outline is how a build stood for the topics before a batch.
type outline struct {
	known, active bool
	latest        build.Version
	steps         []bus.StepResult
}

func outlineOf(b *build.Build, w wanted) (o outline) {
	o = outline{known: true, latest: b.Latest}
	if w.started {
		o.active = active(b)
	}
	if w.steps {
		o.steps = stepResults(b)
	}
	return o
}

// active says whether a build runs, or runs again since a job was retried.
func active(b *build.Build) bool {
	if !b.Finished() {
		return true
	}
	for _, j := range b.Jobs {
		if j.Command() && !j.Finished() && j.RetrySource != "" {
			return true
		}
	}
	return false
}

// announcements are what the batch changed, of builds that changed by events of
// their own.
func (b *batch) announcements() (out []announcement) {
	w := b.wanted
	if w == (wanted{}) {
		return nil
	}
	for _, id := range b.touched() {
		c := b.builds[id]
		if !c.own {
			continue
		}
		x := announcement{build: busBuild(c.b)}
		x.started = w.started && !c.outline.active && active(c.b)
		if w.steps {
			x.updated, x.finished = changedSteps(c.outline.steps, stepResults(c.b))
		}
		if w.finished && c.b.Finished() && (!c.outline.known || c.outline.latest != c.b.Latest) {
			x.result = &bus.PipelineResult{Build: x.build, Status: string(c.b.Status()), Steps: stepResults(c.b)}
		}
		if x.messages() > 0 {
			out = append(out, x)
		}
	}
	return out
}

// changedSteps returns the results that differ, and the names of those that are
// final and were not, or were with other jobs.
func changedSteps(before, after []bus.StepResult) (updated []bus.StepResult, finished map[string]bool) {
	old := make(map[string]bus.StepResult, len(before))
	for _, r := range before {
		old[stepName(r.Step)] = r
	}
	finished = make(map[string]bool)
	for _, r := range after {
		name := stepName(r.Step)
		was, known := old[name]
		if known && reflect.DeepEqual(was, r) {
			continue
		}
		updated = append(updated, r)
		if final(r) {
			finished[name] = true
		}
	}
	return updated, finished
}

// final says whether all jobs of a step have finished.
func final(r bus.StepResult) bool {
	for _, j := range r.Jobs {
		if j.FinishedAt.IsZero() {
			return false
		}
	}
	return len(r.Jobs) > 0
}

// stepName tells a build's steps apart.
func stepName(s bus.Step) string { return s.ID + "\x00" + s.Key + "\x00" + s.Name }

func busBuild(b *build.Build) bus.Build {
	return bus.Build{
		ID: b.ID, Organization: b.Organization, Pipeline: b.Pipeline, Number: b.Number, Branch: b.Branch.V, URL: b.WebURL,
	}
}

func stepResults(b *build.Build) []bus.StepResult {
	var results []bus.StepResult
	for _, s := range b.Steps() {
		first := s.Chains[0][0]
		r := bus.StepResult{Step: bus.Step{ID: first.StepID, Key: first.StepKey, Name: s.Name}, Status: string(s.Status)}
		for _, chain := range s.Chains {
			for _, j := range chain {
				r.Jobs = append(r.Jobs, bus.Job{
					ID: j.ID, State: j.State, ExitStatus: j.ExitStatus, SoftFailed: j.SoftFailed, URL: j.WebURL,
					CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, FinishedAt: j.Latest.Time(), RetryOf: j.RetrySource,
				})
			}
		}
		results = append(results, r)
	}
	return results
}
