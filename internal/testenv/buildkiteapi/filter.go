package buildkiteapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// filter says which builds a list has. What is zero or empty does not restrict.
type filter struct {
	createdFrom, createdTo, finishedFrom time.Time
	states, branches, commits            []string
	metaData                             map[string]string
}

// newFilter reads the parameters of a list. It refuses those that it does not
// know: what is not filtered would look as if it were.
func newFilter(q url.Values) (filter, error) {
	f := filter{metaData: make(map[string]string)}
	for key, values := range q {
		var err error
		switch name, _ := strings.CutSuffix(key, "[]"); name {
		case "created_from":
			f.createdFrom, err = time.Parse(time.RFC3339Nano, values[0])
		case "created_to":
			f.createdTo, err = time.Parse(time.RFC3339Nano, values[0])
		case "finished_from":
			f.finishedFrom, err = time.Parse(time.RFC3339Nano, values[0])
		case "state":
			f.states = values
		case "branch":
			f.branches = values
		case "commit":
			f.commits = values
		case "page", "per_page", "include_retried_jobs", "exclude_jobs", "exclude_pipeline":
		default:
			name, ok := strings.CutPrefix(key, "meta_data[")
			if !ok {
				return filter{}, fmt.Errorf("unknown parameter %s", key)
			}
			f.metaData[strings.TrimSuffix(name, "]")] = values[0]
		}
		if err != nil {
			return filter{}, fmt.Errorf("parameter %s: %w", key, err)
		}
	}
	if slices.Contains(f.states, "finished") { // Buildkite's short form
		f.states = append(slices.Clone(f.states), "passed", "failed", "blocked", "canceled")
	}
	return f, nil
}

// match says whether a build passes. Its times are those of a clock that is
// ahead by skew.
func (f filter) match(b *build, skew time.Duration) bool {
	created, finished := b.created.Add(skew), b.finished.Add(skew)
	switch {
	case created.Before(f.createdFrom): // never before zero
		return false
	case !f.createdTo.IsZero() && !created.Before(f.createdTo):
		return false
	case !f.finishedFrom.IsZero() && (b.finished.IsZero() || finished.Before(f.finishedFrom)):
		return false
	case !f.matchState(b), !oneOf(f.branches, b.json["branch"]), !oneOf(f.commits, b.json["commit"]):
		return false
	}
	metaData, _ := b.json["meta_data"].(map[string]any)
	for key, value := range f.metaData {
		if metaData[key] != value {
			return false
		}
	}
	return true
}

// matchState counts a build that waits at a block step as blocked, whatever the
// state that it had there.
func (f filter) matchState(b *build) bool {
	if b.json["blocked"] == true && slices.Contains(f.states, "blocked") {
		return true
	}
	return oneOf(f.states, b.json["state"])
}

// oneOf says whether a value is wanted; nothing wanted is everything.
func oneOf(wanted []string, value any) bool {
	s, _ := value.(string)
	return len(wanted) == 0 || slices.Contains(wanted, s)
}
