package simulate

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/buildkite"
)

// heard is an event as it was delivered: when, and in which words each time.
type heard struct {
	build  string
	at     []time.Time
	bodies [][]byte
}

// listen returns what is delivered of builds, by the key of the event.
func listen(t *testing.T, s *Simulation) map[[32]byte]*heard {
	t.Helper()
	events := make(map[[32]byte]*heard)
	for d := range s.Deliveries() {
		if d.Build == "" {
			continue
		}
		p, err := buildkite.Parse(d.Body, buildkite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		h := events[p.Key]
		if h == nil {
			h = &heard{build: d.Build}
			events[p.Key] = h
		}
		h.at = append(h.at, d.At)
		h.bodies = append(h.bodies, d.Body)
	}
	return events
}

func line(late, duplicates, reorder float64) func(*Options) {
	return func(o *Options) { o.Late, o.Duplicates, o.Reorder = late, duplicates, reorder }
}

func TestLineKeepsItsRates(t *testing.T) {
	t.Parallel()
	straight := listen(t, week(t, line(0, 0, 0)))
	for name, tc := range map[string]struct {
		late, duplicates, reorder float64
	}{
		"late":       {late: 0.1},
		"duplicates": {duplicates: 0.1},
		"reorder":    {reorder: 0.1},
		"all":        {late: 0.05, duplicates: 0.02, reorder: 0.08},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var delayed, again, all float64
			for key, h := range listen(t, week(t, line(tc.late, tc.duplicates, tc.reorder))) {
				before := straight[key]
				if before == nil {
					t.Fatalf("the line makes an event up: %s", h.bodies[0])
				}
				all++
				again += float64(len(h.at) - len(before.at))
				if h.at[0].After(before.at[0]) {
					delayed++
				}
			}
			for what, rate := range map[string][2]float64{
				"delayed": {delayed / all, tc.late + tc.reorder}, "delivered twice": {again / all, tc.duplicates},
			} {
				// The last one of a build is overtaken by none.
				if got, want := rate[0], rate[1]; math.Abs(got-want) > 0.02 || want == 0 && got > 0 {
					t.Errorf("%.3f of the deliveries are %s, want %.3f", got, what, want)
				}
			}
		})
	}
}

func TestLateMeansMinutes(t *testing.T) {
	t.Parallel()
	straight := listen(t, week(t, line(0, 0, 0)))
	for key, h := range listen(t, week(t, line(1, 0, 0))) {
		if late := h.at[0].Sub(straight[key].at[0]); late < time.Minute || late > 45*time.Minute {
			t.Errorf("%s comes %v late", h.bodies[0][:40], late)
		}
	}
}

// The build's next delivery overtakes a reordered one, unless it is reordered
// itself.
func TestReorderedMeansOvertaken(t *testing.T) {
	t.Parallel()
	straight := listen(t, week(t, line(0, 0, 0)))
	bent := listen(t, week(t, line(0, 0, 0.1)))
	byBuild := make(map[string][][32]byte)
	for key, h := range straight {
		byBuild[h.build] = append(byBuild[h.build], key)
	}
	delayed, overtaken := 0, 0
	for _, keys := range byBuild {
		slices.SortFunc(keys, func(x, y [32]byte) int { return straight[x].at[0].Compare(straight[y].at[0]) })
		for i, key := range keys[:len(keys)-1] {
			if bent[key].at[0].After(straight[key].at[0]) {
				delayed++
				if bent[key].at[0].After(bent[keys[i+1]].at[0]) {
					overtaken++
				}
			}
		}
	}
	if delayed == 0 || overtaken < delayed*8/10 {
		t.Errorf("of %d deliveries that were held back %d were overtaken", delayed, overtaken)
	}
}

// What is sent twice is not the same to the byte: it has another sender, or
// other counters.
func TestDuplicatesAreNoCopies(t *testing.T) {
	t.Parallel()
	copies, all := 0, 0
	for _, h := range listen(t, week(t, line(0, 1, 0))) {
		for _, body := range h.bodies[1:] {
			all++
			if bytes.Equal(body, h.bodies[0]) {
				copies++
			}
		}
	}
	if copies > all/1000 {
		t.Errorf("%d of %d second sendings are copies of the first", copies, all)
	}
}

func TestLineChangesNoBuild(t *testing.T) {
	t.Parallel()
	good, bad := week(t, line(0, 0, 0)), week(t, line(0.3, 0.3, 0.3))
	sum(good.Deliveries())
	sum(bad.Deliveries())
	if diff := cmp.Diff(good.Truth(), bad.Truth()); diff != "" {
		t.Errorf("a bad line makes other builds:\n%s", diff)
	}
}
