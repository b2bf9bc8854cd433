package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/load"
	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

const (
	followRate = 100 // deliveries a second
	// What a watcher may wait for.
	followMedian, followP99 = 4, 25 // ms
)

// audience is who watches what.
type audience struct {
	builds   int
	watchers int // of each build
	jobs     int // of each build
	legs     int // how often in a round, each time with new builds
}

func (a audience) String() string {
	return plural(a.builds*a.watchers, "watcher") + " on " + plural(a.builds, "build")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// follow posts 100 deliveries a second and measures from the answer to each until
// who watches its build has read it.
func (e *env) follow(ctx context.Context) (_ []measure.Line, err error) {
	database, err := e.stores.NewDatabase(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := e.stores.WipeRedis(ctx); err != nil {
		return nil, err
	}
	ours, err := e.serve(ctx, "follow", "DATABASE_URL="+database, "REDIS_URL="+e.stores.Redis())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Stop(), e.stores.Drop(context.WithoutCancel(ctx), database)) }()
	maker, err := load.NewMaker(7)
	if err != nil {
		return nil, err
	}
	f := &followed{addr: ours.Addr, maker: maker}
	var lines []measure.Line
	for _, a := range []audience{
		{builds: 1, watchers: 1, jobs: 100, legs: full(e, 3, 1)},
		{builds: 1, watchers: 100, jobs: 100, legs: full(e, 3, 1)},
		{builds: 100, watchers: 1, jobs: full(e, 3, 1), legs: 1},
	} {
		more, err := e.followAs(ctx, f, a)
		if err != nil {
			return nil, err
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

func (e *env) followAs(ctx context.Context, f *followed, a audience) ([]measure.Line, error) {
	var medians measure.Samples
	var late time.Duration
	samples, err := e.alternate(ctx, "follow, "+a.String()+", p99", side{"ours", func(ctx context.Context, round int) (float64, error) {
		took, started, err := f.measure(ctx, a)
		if err != nil {
			return 0, err
		}
		if round > 0 {
			late = max(late, started)
			medians = append(medians, milliseconds(measure.Percentile(50, took)))
		}
		return milliseconds(measure.Percentile(99, took)), nil
	}})
	if err != nil {
		return nil, err
	}
	name := "delivery answered to read by " + a.String() + ", "
	return []measure.Line{
		{Name: name + "median", Unit: measure.Milliseconds, Ours: medians, Target: measure.Below(followMedian)},
		{
			Name: name + "p99", Unit: measure.Milliseconds, Ours: samples[0], Target: measure.Below(followP99),
			Notes: []string{fmt.Sprintf("%d deliveries/s; one began at most %s after its time", followRate, late.Round(time.Millisecond/10))},
		},
	}, nil
}

// followed measures leg after leg against one server.
type followed struct {
	addr  string
	maker *load.Maker
	made  int64 // builds
}

// measure returns how long after its answer each watcher had read each delivery, 0
// when it had before, and how late a delivery began at the worst.
func (f *followed) measure(ctx context.Context, a audience) (took []time.Duration, late time.Duration, err error) {
	for range a.legs {
		more, started, err := f.leg(ctx, a)
		if err != nil {
			return nil, 0, err
		}
		took = append(took, more...)
		late = max(late, started)
	}
	return took, late, nil
}

// leg posts new builds from their first delivery to their last. Who watches them
// is there from the second on.
func (f *followed) leg(ctx context.Context, a audience) (took []time.Duration, late time.Duration, err error) {
	builds := make([]*load.Build, a.builds)
	for i := range builds {
		f.made++
		builds[i] = f.maker.Build(load.BuildOptions{
			Pipeline: fmt.Sprintf("pipeline-%02d", i), Branch: "feature", Number: f.made,
			Shape: load.Shape{Jobs: a.jobs}, Finished: time.Now(),
		})
	}
	if err := announce(ctx, f.addr, builds); err != nil {
		return nil, 0, err
	}
	watching, err := watchBuilds(ctx, f.addr, builds, a.watchers)
	if err != nil {
		return nil, 0, err
	}
	defer watching.close()
	measured := builds[0].Deliveries() - 2
	posted := make([]post, a.builds*measured)
	paced, err := load.Pace(ctx, load.PaceOptions{
		Addr: f.addr, Token: webhookToken, PerSecond: followRate, Connections: webhookConnections, Count: len(posted),
		Next: func(n int) load.Delivery {
			d := builds[n%a.builds].Delivery(1+n/a.builds, nil)
			posted[n].what = eventKey{d.BuildID, d.Event, d.JobID}
			return d
		},
		Answered: func(n int, at time.Time) { posted[n].answered = at },
	})
	if err != nil {
		return nil, 0, err
	}
	// The last one ends the streams, and so comes when all others are recorded.
	if err := postEach(ctx, f.addr, builds, builds[0].Deliveries()-1); err != nil {
		return nil, 0, err
	}
	seen, err := watching.wait()
	if err != nil {
		return nil, 0, err
	}
	took, err = delays(posted, seen)
	return took, paced.Late, err
}

// eventKey says which delivery an event is.
type eventKey struct{ build, event, job string }

// post is a delivery that was answered.
type post struct {
	what     eventKey
	answered time.Time
}

// sightings are when a watcher of a build had read its events.
type sightings struct {
	build string
	at    map[eventKey]time.Time
}

// delays returns for each watcher of its build how long after its answer a
// delivery was read. One that was not is an error.
func delays(posted []post, seen []sightings) ([]time.Duration, error) {
	byBuild := make(map[string][]post)
	for _, p := range posted {
		byBuild[p.what.build] = append(byBuild[p.what.build], p)
	}
	var took []time.Duration
	for _, s := range seen {
		for _, p := range byBuild[s.build] {
			at, ok := s.at[p.what]
			if !ok {
				return nil, fmt.Errorf("a watcher of build %s did not see %s of job %q", p.what.build, p.what.event, p.what.job)
			}
			took = append(took, max(0, at.Sub(p.answered)))
		}
	}
	return took, nil
}
