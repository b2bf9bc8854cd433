package load

import (
	"fmt"
	"sync"
	"time"
)

// TrafficOptions say what builds there are.
type TrafficOptions struct {
	Seed  uint64
	Shape Shape
	// Pipelines is how many there are; builds go round them. 0 is 20.
	Pipelines int
}

// Traffic is an endless row of builds: a quarter on their pipeline's default
// branch, a tenth of all failed. The numbers of a pipeline's builds grow in the
// order of making, as Buildkite's do. It is for many goroutines.
type Traffic struct {
	o TrafficOptions

	mu    sync.Mutex
	maker *Maker
	made  int
}

// NewTraffic returns builds that follow from the options, but for their times:
// they finish when they are made.
func NewTraffic(o TrafficOptions) (*Traffic, error) {
	if o.Pipelines == 0 {
		o.Pipelines = 20
	}
	maker, err := NewMaker(o.Seed)
	if err != nil {
		return nil, err
	}
	return &Traffic{o: o, maker: maker}, nil
}

// Next makes the next build.
func (t *Traffic) Next() *Build {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.made
	t.made++
	round := n / t.o.Pipelines
	branch := "main"
	if round%4 != 0 {
		branch = fmt.Sprintf("feature-%d", n)
	}
	return t.maker.Build(BuildOptions{
		Pipeline: fmt.Sprintf("pipeline-%02d", n%t.o.Pipelines),
		Branch:   branch,
		Number:   int64(round) + 1,
		Failed:   t.maker.random.IntN(10) == 0,
		Shape:    t.o.Shape,
		Finished: time.Now(),
	})
}

// Builds makes n.
func (t *Traffic) Builds(n int) []*Build {
	builds := make([]*Build, n)
	for i := range builds {
		builds[i] = t.Next()
	}
	return builds
}
