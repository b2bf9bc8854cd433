package traffic

import (
	"encoding/json"
	"slices"
)

// count works out streaks and messages from the statuses.
func (w *World) count() {
	byBranch := make(map[[2]string][]*Truth)
	byID := make(map[string]*Truth)
	for i := range w.Builds {
		t := &w.Builds[i]
		byID[t.ID] = t
		key := [2]string{t.Pipeline, t.Branch}
		byBranch[key] = append(byBranch[key], t)
	}
	everFailed, parent := w.history()
	for _, builds := range byBranch {
		slices.SortFunc(builds, func(x, y *Truth) int { return int(x.Number - y.Number) })
		countRow(builds)
	}
	for _, t := range byID {
		switch {
		case t.Branch != "main" || !everFailed[t.ID]:
			t.Message = Never
		case t.Status == "failed":
			t.Message = Once
		default:
			t.Message = Perhaps
		}
	}
	for id, up := range parent {
		t, p := byID[id], byID[up]
		if t.Message == Never || p.Branch != "main" {
			continue
		}
		// A parent that failed, or has not finished, has or may get a message of
		// its own. If it came late, the child may have spoken before it.
		if p.Status == "running" || everFailed[up] {
			t.Message = Perhaps
		}
	}
}

func countRow(builds []*Truth) {
	failures, first, passed := 0, int64(0), int64(0)
	var newest *Truth
	for _, t := range builds {
		switch t.Status {
		case "failed":
			failures++
			if first == 0 {
				first = t.Number
			}
			newest = t
		case "passed", "fixed":
			failures, first, passed = 0, 0, t.Number
			if newest != nil {
				newest.Newest = true
			}
			newest = nil
		}
		t.Failures, t.FirstFailed, t.LastPassed = failures, first, passed
	}
	if newest != nil {
		newest.Newest = true
	}
}

// history reads from the deliveries which builds ever finished failed, and
// which build triggered which.
func (w *World) history() (everFailed map[string]bool, parent map[string]string) {
	everFailed, parent = make(map[string]bool), make(map[string]string)
	for _, d := range w.Deliveries {
		var p struct {
			Build struct {
				State         string
				TriggeredFrom *struct {
					BuildID string `json:"build_id"`
				} `json:"triggered_from"`
			}
		}
		if err := json.Unmarshal(d.Body, &p); err != nil {
			panic(err)
		}
		if d.Event == "build.finished" && p.Build.State == "failed" {
			everFailed[d.BuildID] = true
		}
		if p.Build.TriggeredFrom != nil {
			parent[d.BuildID] = p.Build.TriggeredFrom.BuildID
		}
	}
	return everFailed, parent
}
