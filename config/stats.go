package config

import (
	"errors"
	"strings"
	"time"
)

// Stats says which statistics are asked for, and how they are shown.
type Stats struct {
	Client
	// Pipeline is ORG/PIPELINE; empty for all. Branch is empty for all.
	Pipeline, Branch string
	// Since is how far back, as the server reads it; empty leaves that to it.
	Since string
	// JSON prints the answer as it came.
	JSON bool
}

// StatsFlags are the flags of a command that asks for statistics.
type StatsFlags struct {
	Branch string `name:"branch" env:"BUILDTRACKER_STATS_BRANCH" placeholder:"BRANCH" help:"Count the builds of this branch only."`
	Since  string `name:"since" env:"BUILDTRACKER_STATS_SINCE" placeholder:"30d" help:"Count builds that finished since then: an age, such as 30d, or a day, such as 2026-01-05; whole days, UTC. Without it: 30d."`
	JSON   Bool   `name:"json" env:"BUILDTRACKER_STATS_JSON" help:"Print the server's answer itself."`
	ClientFlags
}

// Config returns what to ask for, or an error with all that is wrong with it. The
// pipeline is ORG/PIPELINE, or empty for all.
func (f StatsFlags) Config(pipeline string) (*Stats, error) {
	var p problems
	s := &Stats{
		Client: *p.client(f.ClientFlags), JSON: p.boolean("BUILDTRACKER_STATS_JSON", f.JSON),
		Pipeline: strings.TrimSpace(pipeline), Branch: strings.TrimSpace(f.Branch), Since: strings.TrimSpace(f.Since),
	}
	switch {
	case s.Pipeline != "":
		p.pipelineName("the pipeline", s.Pipeline)
	case s.Branch != "":
		p.add("BUILDTRACKER_STATS_BRANCH is %q, of no pipeline: name that as ORG/PIPELINE", s.Branch)
	}
	if s.Since != "" {
		if _, err := ParseTime(s.Since, time.Now()); err != nil {
			p.add("BUILDTRACKER_STATS_SINCE is %q: write %v", s.Since, err)
		}
	}
	return s, p.err()
}

var errNoTime = errors.New("an age such as 36h or 7d, a day such as 2026-01-05, or a time such as 2026-01-05T09:30:00Z")

// ParseTime reads an age, counted back from now, a day of UTC, or a time. The error
// says what to write.
func ParseTime(text string, now time.Time) (time.Time, error) {
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	age, err := parseDuration(text)
	if err != nil || age < 0 {
		return time.Time{}, errNoTime
	}
	return now.Add(-age).UTC(), nil
}
