package db_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// fill appends events of several teams and builds and returns them as they are
// read.
func fill(t *testing.T, s db.Store) []stream.Event {
	t.Helper()
	for n := range 30 {
		d := event(fmt.Sprintf("build-%d", n%7), n)
		d.Team = []string{"", "web"}[n%2]
		if n%7 == 6 {
			d.BuildID = ""
		}
		appendEvent(t, s, d)
	}
	events, err := s.ReadAll(t.Context(), db.ReadQuery{})
	if err != nil || len(events) != 30 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return events
}

// wantFilled wants the same events, in the stream and build by build, and that it
// goes on behind them.
func wantFilled(t *testing.T, s db.Store, want []stream.Event) {
	t.Helper()
	got, err := s.ReadAll(t.Context(), db.ReadQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the stream: %s", diff)
	}
	byBuild := make(map[string][]stream.Event)
	for _, e := range want {
		if e.BuildID != "" {
			byBuild[e.BuildID] = append(byBuild[e.BuildID], e)
		}
	}
	for id, want := range byBuild {
		got, err := s.ReadBuild(t.Context(), id, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("build %s: %s", id, diff)
		}
	}
	if a := appendEvent(t, s, event("build-0", 99)); a.Position != int64(len(want)+1) || a.Seq != int64(len(byBuild["build-0"])) {
		t.Errorf("the next: %+v", a)
	}
	if !appendEvent(t, s, event("build-0", 0)).Duplicate {
		t.Error("a delivery of before is taken for a new one")
	}
}
