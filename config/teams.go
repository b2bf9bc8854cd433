package config

import (
	"cmp"
	"strings"
	"time"
)

// Live is the part of the configuration that may change while the server runs.
type Live struct {
	// EnvKeep names the values under a key env that are not masked.
	EnvKeep []string
	// Teams own pipelines: the first whose pattern matches.
	Teams []Team
	// Retention is how long things are kept.
	Retention Retention
}

// Team owns pipelines.
type Team struct {
	Name string
	// Pipelines are patterns of the form ORG/PIPELINE, in which * stands for any
	// text within its part.
	Pipelines []string
	Retention TeamRetention
}

// Retention is how long things are kept; above 0.
type Retention struct {
	// Events is counted from the day on which an event's build was first seen.
	Events time.Duration
	// Builds is at least as long as Events, also as those of teams.
	Builds time.Duration
	// Deliveries is how long a second delivery of an event is recognised.
	Deliveries time.Duration
}

// TeamRetention is what a team has of its own.
type TeamRetention struct {
	// Events is 0 where the team has what all have.
	Events time.Duration
}

// Defaults of what only the configuration file sets.
const (
	defaultKeepEvents     = 90 * day
	defaultKeepBuilds     = 400 * day
	defaultKeepDeliveries = 30 * day
)

// defaultEnvKeep returns the names that are kept where the file names none.
func defaultEnvKeep() []string { return []string{"RELEASE_PUBLIC", "RELEASE_INTERNAL"} }

func defaultLive() Live {
	return Live{
		EnvKeep:   defaultEnvKeep(),
		Retention: Retention{Events: defaultKeepEvents, Builds: defaultKeepBuilds, Deliveries: defaultKeepDeliveries},
	}
}

// TeamOf returns the name of the team that owns a pipeline; "" where none does,
// and for what has no pipeline.
func (l *Live) TeamOf(organization, pipeline string) string {
	if pipeline == "" {
		return ""
	}
	for i := range l.Teams {
		for _, pattern := range l.Teams[i].Pipelines {
			if matches(pattern, organization, pipeline) {
				return l.Teams[i].Name
			}
		}
	}
	return ""
}

// TeamNames returns the names of all teams.
func (l *Live) TeamNames() []string {
	var names []string
	for _, t := range l.Teams {
		names = append(names, t.Name)
	}
	return names
}

// EventRetention is how long a team's events are kept.
func (l *Live) EventRetention(t Team) time.Duration {
	return cmp.Or(t.Retention.Events, l.Retention.Events)
}

func matches(pattern, organization, pipeline string) bool {
	first, second, _ := strings.Cut(pattern, "/")
	return glob(first, organization) && glob(second, pipeline)
}

// covers says whether a pattern matches all that another one does. To glob the
// other's * is a letter like any other, which only a * takes.
func covers(pattern, other string) bool {
	organization, pipeline, _ := strings.Cut(other, "/")
	return matches(pattern, organization, pipeline)
}

// glob matches a whole text; * is any part of it, also none.
func glob(pattern, text string) bool {
	prefix, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, prefix)
	for ok {
		var part string
		if part, rest, star = strings.Cut(rest, "*"); !star {
			return strings.HasSuffix(text, part)
		}
		_, text, ok = strings.Cut(text, part)
	}
	return false
}
