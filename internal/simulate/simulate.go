package simulate

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// Options say what is simulated.
type Options struct {
	// Seed decides everything that happens.
	Seed uint64
	// Builds is how many builds there are, triggered ones not counted.
	Builds int
	// Start is when the history begins.
	Start time.Time
	// Days is how long it is; every delivery lies within it.
	Days int
	// Late, Duplicates and Reorder are the fractions of deliveries, from 0 to 1,
	// that come minutes late, that come twice, and that the build's next one
	// overtakes.
	Late, Duplicates, Reorder float64
	// Pace, if not 0, goes on after the history, without end: with a build each
	// Pace on average, quicker ones than those of the history. There is no
	// truth then.
	Pace time.Duration
}

func (o *Options) check() error {
	switch {
	case o.Builds < 0:
		return fmt.Errorf("simulate: %d builds: there cannot be fewer than none", o.Builds)
	case o.Days < 1:
		return fmt.Errorf("simulate: %d days: a history has at least one", o.Days)
	case o.Pace < 0:
		return fmt.Errorf("simulate: a build each %v: time does not run backwards", o.Pace)
	}
	for _, f := range []float64{o.Late, o.Duplicates, o.Reorder} {
		if !(f >= 0 && f <= 1) {
			return fmt.Errorf("simulate: a fraction of %v deliveries: it lies between 0 and 1", f)
		}
	}
	return nil
}

// Delivery is one sending of a webhook.
type Delivery struct {
	// At is when it is delivered.
	At time.Time
	// Event is Buildkite's name for it.
	Event string
	// Build is the id of the build it is about, empty for an agent's.
	Build string
	// Body is the payload.
	Body []byte
}

// Simulation is a history that is made while it is read. It is for one
// goroutine.
type Simulation struct {
	opts Options
	end  time.Time // of the history

	// Dice apart from each other: what happens, how things are called, and what
	// the line does to deliveries.
	world, names, wire *rand.Rand

	tasks     tasks
	begun     int // builds that nobody triggered
	builds    int // all
	fleets    []*fleet
	pipelines []*pipeline
	rhythm    *rhythm
	badDay    time.Time // when everything fails; zero for no such day
	facts     []*fact   // nil where nobody asks for the truth
}

// New prepares a simulation. The error says which option makes no sense.
func New(opts Options) (*Simulation, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	opts.Start = opts.Start.UTC()
	began := uint64(opts.Start.UnixNano())
	s := &Simulation{
		opts:  opts,
		end:   opts.Start.AddDate(0, 0, opts.Days),
		world: rand.New(rand.NewPCG(opts.Seed, 1)),
		// The same builds at another time are other builds: their ids differ.
		names: rand.New(rand.NewPCG(opts.Seed^2, began)),
		wire:  rand.New(rand.NewPCG(opts.Seed, 3)),
	}
	s.found()
	window := s.end.Sub(opts.Start)
	if opts.Pace == 0 {
		window -= lastRun // the last builds finish within the history
	}
	s.rhythm = newRhythm(opts.Start, window)
	s.badDay = s.pickBadDay()
	s.workingDays()
	s.nextBuild(opts.Builds, 0)
	return s, nil
}

// Start returns when the history begins.
func (s *Simulation) Start() time.Time { return s.opts.Start }

// End returns when the history ends.
func (s *Simulation) End() time.Time { return s.end }

// Begun returns how many builds have begun so far, triggered ones not counted.
func (s *Simulation) Begun() int { return s.begun }

// Builds returns how many builds there are so far, with those triggered.
func (s *Simulation) Builds() int { return s.builds }

// lastRun is how long before the end the last build begins. No build takes
// longer, together with those that it triggers.
const lastRun = time.Hour

// Deliveries returns the deliveries in the order of their times. Each is there
// once: who stops early and asks again gets what follows.
func (s *Simulation) Deliveries() iter.Seq[Delivery] {
	return func(yield func(Delivery) bool) {
		for len(s.tasks.heap) > 0 {
			t := s.tasks.pop()
			if d, ok := t.do(t.at); ok && !yield(d) {
				return
			}
		}
	}
}

// at has something happen at a time.
func (s *Simulation) at(t time.Time, happen func(time.Time)) {
	s.tasks.push(t, func(t time.Time) (Delivery, bool) {
		happen(t)
		return Delivery{}, false
	})
}

// nextBuild has the remaining builds of the history begin, one after the other:
// u, from 0 to 1, is how much of the work of all days is done.
func (s *Simulation) nextBuild(remaining int, u float64) {
	if remaining == 0 {
		if s.opts.Pace > 0 {
			s.nextLive(s.end)
		}
		return
	}
	// The least of so many even throws above u.
	u = 1 - (1-u)*math.Pow(s.world.Float64(), 1/float64(remaining))
	s.at(s.rhythm.when(u), func(t time.Time) {
		s.begin(t)
		s.nextBuild(remaining-1, u)
	})
}

func (s *Simulation) nextLive(after time.Time) {
	gap := time.Duration(s.world.ExpFloat64() * float64(s.opts.Pace))
	s.at(after.Add(min(gap, 5*s.opts.Pace)), func(t time.Time) {
		s.begin(t)
		s.nextLive(t)
	})
}

// chance throws once: true in a fraction p of the throws.
func chance(dice *rand.Rand, p float64) bool { return dice.Float64() < p }

// between returns a time from a to b.
func between(dice *rand.Rand, a, b time.Duration) time.Duration {
	return a + time.Duration(dice.Float64()*float64(b-a)).Truncate(time.Millisecond)
}

func pick[T any](dice *rand.Rand, from []T) T { return from[dice.IntN(len(from))] }

// pickBadDay returns the start of a day off which nothing passes; a history
// shorter than a working week has none.
func (s *Simulation) pickBadDay() time.Time {
	if s.opts.Days < 5 {
		return time.Time{}
	}
	var days []time.Time
	for day := range s.opts.Days {
		t := s.opts.Start.Truncate(day24).AddDate(0, 0, day)
		if isWorkday(t) && day > 0 {
			days = append(days, t)
		}
	}
	return pick(s.world, days)
}
