package config

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
)

// Simulate says what traffic is made, and where it goes.
type Simulate struct {
	Deliver
	// Seed decides everything that happens.
	Seed uint64
	// Builds is how many there are in the history; Days is how long that is,
	// from 1 to 3650.
	Builds, Days int
	// Start is when the history begins; zero when nobody said.
	Start time.Time
	// Late, Duplicates and Reorder are fractions of all deliveries, from 0 to 1.
	Late, Duplicates, Reorder float64
	// Speed is how many times faster than the clock a history is posted; +Inf is
	// as fast as it is taken.
	Speed float64
	// Out is the file that deliveries are written to, - for the standard output;
	// empty posts them. Truth is the file for what is true of them, likewise;
	// empty for none.
	Out, Truth string
	// Live goes on after the history, with a build each Pace.
	Live bool
	Pace time.Duration
}

// SimulateFlags are the flags of a command that makes traffic.
type SimulateFlags struct {
	Seed   string `name:"seed" env:"BUILDTRACKER_SIMULATE_SEED" default:"1" placeholder:"1" group:"History" help:"What happens: a whole number."`
	Builds string `name:"builds" env:"BUILDTRACKER_SIMULATE_BUILDS" default:"100" placeholder:"100" group:"History" help:"How many builds there are; those that they trigger are not counted."`
	Days   string `name:"days" env:"BUILDTRACKER_SIMULATE_DAYS" placeholder:"DAYS" group:"History" help:"How long the history is, in days. Without it: a day for each 100 builds."`
	Start  string `name:"start" env:"BUILDTRACKER_SIMULATE_START" placeholder:"TIME" group:"History" help:"When it begins, such as 2026-01-05T00:00:00Z. Without it: then when written to a file, and when posted so that it ends now."`

	Late       string `name:"late" env:"BUILDTRACKER_SIMULATE_LATE" default:"0.01" placeholder:"0.01" group:"Line" help:"Fraction of deliveries that come minutes late."`
	Duplicates string `name:"duplicates" env:"BUILDTRACKER_SIMULATE_DUPLICATES" default:"0.01" placeholder:"0.01" group:"Line" help:"Fraction of deliveries that come twice."`
	Reorder    string `name:"reorder" env:"BUILDTRACKER_SIMULATE_REORDER" default:"0.02" placeholder:"0.02" group:"Line" help:"Fraction of deliveries that the build's next one overtakes."`

	Out   string `name:"out" env:"BUILDTRACKER_SIMULATE_OUT" placeholder:"FILE" group:"Where to" help:"Write the deliveries to a file, a payload a line, and post nothing; - is the standard output."`
	Truth string `name:"truth" env:"BUILDTRACKER_SIMULATE_TRUTH" placeholder:"FILE" group:"Where to" help:"Write what is true of the builds at the end, a build a line; - is the standard output."`
	Speed string `name:"speed" env:"BUILDTRACKER_SIMULATE_SPEED" default:"0" placeholder:"0" group:"Where to" help:"How many times faster than the clock the history is posted; 0 is as fast as it is taken."`
	Live  Bool   `name:"live" env:"BUILDTRACKER_SIMULATE_LIVE" group:"Where to" help:"Go on after the history, which ends now, as the clock goes, until Ctrl-C."`
	Pace  string `name:"pace" env:"BUILDTRACKER_SIMULATE_PACE" default:"5s" placeholder:"5s" group:"Where to" help:"How often a build begins when live."`

	DeliverFlags
}

// Config returns what to simulate, or an error with all that is wrong with it.
func (f SimulateFlags) Config() (*Simulate, error) {
	var p problems
	c := &Simulate{
		Deliver:    *p.deliver(f.DeliverFlags),
		Seed:       p.whole("BUILDTRACKER_SIMULATE_SEED", cmp.Or(strings.TrimSpace(f.Seed), "1"), 0, math.MaxUint64),
		Builds:     int(p.whole("BUILDTRACKER_SIMULATE_BUILDS", cmp.Or(strings.TrimSpace(f.Builds), "100"), 0, 100*maxDays)),
		Late:       p.fraction("BUILDTRACKER_SIMULATE_LATE", cmp.Or(strings.TrimSpace(f.Late), "0.01")),
		Duplicates: p.fraction("BUILDTRACKER_SIMULATE_DUPLICATES", cmp.Or(strings.TrimSpace(f.Duplicates), "0.01")),
		Reorder:    p.fraction("BUILDTRACKER_SIMULATE_REORDER", cmp.Or(strings.TrimSpace(f.Reorder), "0.02")),
		Speed:      p.speed(f.Speed),
		Out:        strings.TrimSpace(f.Out),
		Truth:      strings.TrimSpace(f.Truth),
		Live:       p.boolean("BUILDTRACKER_SIMULATE_LIVE", f.Live),
		Pace:       p.duration("BUILDTRACKER_SIMULATE_PACE", f.Pace, "5s"),
	}
	c.Days = max(1, (c.Builds+99)/100)
	if text := strings.TrimSpace(f.Days); text != "" {
		c.Days = int(p.whole("BUILDTRACKER_SIMULATE_DAYS", text, 1, maxDays))
	}
	if text := strings.TrimSpace(f.Start); text != "" {
		var err error
		if c.Start, err = time.Parse(time.RFC3339, text); err != nil || c.Start.Year() < 2000 || c.Start.Year() > 2200 {
			p.add("BUILDTRACKER_SIMULATE_START is %q, which is no time of our days: write for example 2026-01-05T00:00:00Z", text)
		}
	}
	if c.Out == "-" && c.Truth == "-" {
		p.add("BUILDTRACKER_SIMULATE_TRUTH is -, and so is BUILDTRACKER_SIMULATE_OUT: write one of them to a file")
	}
	if c.Live && (c.Out != "" || c.Truth != "" || !c.Start.IsZero()) {
		p.add("BUILDTRACKER_SIMULATE_LIVE has no end and begins now: leave out --out, --truth and --start, or --live")
	}
	return c, p.err()
}

// maxDays bounds a history.
const maxDays = 3650

func (p *problems) whole(name, text string, least, most uint64) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < least || n > most {
		p.add("%s is %q: write a whole number from %d to %d", name, text, least, most)
		return least
	}
	return n
}

func (p *problems) fraction(name, text string) float64 {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= 0 && x <= 1) {
		p.add("%s is %q: write a fraction from 0 to 1, such as 0.02", name, text)
		return 0
	}
	return x
}

// speed is a factor; blank and 0 are no limit.
func (p *problems) speed(text string) float64 {
	x, err := strconv.ParseFloat(cmp.Or(strings.TrimSpace(text), "0"), 64)
	switch {
	case err != nil || !(x >= 0) || math.IsInf(x, 0):
		p.add("BUILDTRACKER_SIMULATE_SPEED is %q: write how many times faster than the clock, such as 1000, or 0 for no limit", text)
	case x == 0:
		return math.Inf(1)
	}
	return x
}
