package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/simulate"
)

// maxWaiting is how many deliveries wait for one connection.
const maxWaiting = 64

// posting is a simulation on its way to a server. Each build has a lane, and
// the deliveries of a lane are posted one at a time.
type posting struct {
	t     terminal
	cfg   *config.Simulate
	s     *simulate.Simulation
	to    *deliverer
	began time.Time
	lanes [maxPosters]chan simulate.Delivery
	ways  sync.WaitGroup // deliveries that are under way

	mu    sync.Mutex
	words map[string]int // by what became of deliveries
}

// postDeliveries posts what is delivered in a simulation, and says what became
// of it. It ends with the simulation, the context or the first that is refused.
func postDeliveries(ctx context.Context, t terminal, cfg *config.Simulate, s *simulate.Simulation) error {
	p := &posting{t: t, cfg: cfg, s: s, to: newDeliverer(&cfg.Deliver), began: time.Now(), words: map[string]int{}}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var lanes sync.WaitGroup
	for i := range p.lanes {
		p.lanes[i] = make(chan simulate.Delivery, maxWaiting)
		lanes.Go(func() {
			for d := range p.lanes[i] {
				if err := p.post(ctx, d); err != nil {
					stop(err)
				}
				p.ways.Done()
			}
		})
	}
	p.fill(ctx)
	for _, lane := range p.lanes {
		close(lane)
	}
	lanes.Wait()
	p.summarize("Simulated")
	return context.Cause(ctx)
}

// fill puts deliveries into the lanes, each when it is due.
func (p *posting) fill(ctx context.Context) {
	bar := newProgress(p.t, "Simulating")
	defer func() { bar.end() }()
	history := true
	for d := range p.s.Deliveries() {
		if history && p.cfg.Live && d.At.After(p.s.End()) {
			history = false
			p.ways.Wait() // for the numbers to be right
			bar.end()
			bar = &progress{}
			if ctx.Err() == nil {
				p.summarize("History:")
				fmt.Fprintf(p.t.stderr, "Live from now on: a build each %s, until Ctrl-C.\n", p.cfg.Pace)
			}
		}
		if sleep(ctx, time.Until(p.due(d, history))) != nil {
			return
		}
		p.ways.Add(1)
		select {
		case p.lane(d) <- d:
		case <-ctx.Done():
			p.ways.Done()
			return
		}
		bar.set(int64(p.s.Begun()), int64(p.cfg.Builds))
	}
	p.ways.Wait()
}

// due is when a delivery is posted: one of the history at the speed that was
// asked for, later ones as the clock goes.
func (p *posting) due(d simulate.Delivery, history bool) time.Time {
	switch {
	case !history:
		return d.At
	case math.IsInf(p.cfg.Speed, 1):
		return time.Time{}
	}
	return p.began.Add(time.Duration(float64(d.At.Sub(p.s.Start())) / p.cfg.Speed))
}

func (p *posting) lane(d simulate.Delivery) chan<- simulate.Delivery {
	h := fnv.New32a()
	h.Write([]byte(d.Build))
	return p.lanes[h.Sum32()%maxPosters]
}

func (p *posting) post(ctx context.Context, d simulate.Delivery) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	word, err := p.to.post(ctx, d.Body)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.words[word]++
	return nil
}

// summarize says on one line what was posted so far.
func (p *posting) summarize(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	posted := 0
	var parts []string
	for _, word := range outcomes() {
		posted += p.words[word]
		parts = append(parts, fmt.Sprintf("%d %s", p.words[word], word))
	}
	fmt.Fprintf(p.t.stderr, "%s %d builds: %d deliveries (%s) in %s.\n",
		what, p.s.Builds(), posted, strings.Join(parts, ", "), roundly(time.Since(p.began)))
}
