package dbtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

var reads = map[string]func(*testing.T, db.Store){
	"an event is read as it was appended":  testEvent,
	"read all selects":                     testReadAll,
	"read build selects":                   testReadBuild,
	"each of builds selects":               testEachOfBuilds,
	"the latest told is found":             testLastTold,
	"a build is found by what is not read": testUnread,
	"the status before an event is found":  testStatusBefore,
	"next seqs are told":                   testNextSeqs,
	"a page of large events is short":      testLargePage,
	"teams have partitions of their own":   testTeams,
}

func testEvent(t *testing.T, s db.Store) {
	d := delivery("a", 1)
	mustAppend(t, s, d)
	want := []stream.Event{{
		ID: stream.ID(d.Key[:16]), Position: 1, Organization: "acme", BuildID: "a", Pipeline: "web", Number: 7, Seq: 0,
		Type: "job.finished", Version: stream.Version, Data: d.Data,
	}}
	all := must(s.ReadAll(t.Context(), db.ReadQuery{Limit: 10}))(t)
	if diff := cmp.Diff(want, all, cmpopts.IgnoreFields(stream.Event{}, "Time")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(all, must(s.ReadBuild(t.Context(), "a", 0, 10))(t)); diff != "" {
		t.Errorf("read build differs from read all: %s", diff)
	}
	at := all[0].Time
	if age := time.Since(at); at.Location() != time.UTC || age < -time.Minute || age > time.Minute {
		t.Errorf("recorded at %v", at)
	}
}

func positions(events []stream.Event) []int64 {
	list := make([]int64, 0, len(events))
	for _, e := range events {
		list = append(list, e.Position)
	}
	return list
}

func testReadAll(t *testing.T, s db.Store) {
	for n := range 6 {
		d := delivery("a", n)
		if n%2 == 1 {
			d = delivery("b", n)
			d.Pipeline = "api"
		}
		mustAppend(t, s, d)
	}
	mustAppend(t, s, delivery("", 6))
	for name, c := range map[string]struct {
		query db.ReadQuery
		want  []int64
	}{
		"all":                  {db.ReadQuery{Limit: 100}, []int64{1, 2, 3, 4, 5, 6, 7}},
		"without a limit":      {db.ReadQuery{}, []int64{1, 2, 3, 4, 5, 6, 7}},
		"after":                {db.ReadQuery{After: 5, Limit: 100}, []int64{6, 7}},
		"at most":              {db.ReadQuery{After: 1, Limit: 2}, []int64{2, 3}},
		"up to":                {db.ReadQuery{After: 2, UpTo: 4, Limit: 100}, []int64{3, 4}},
		"none":                 {db.ReadQuery{After: 7, Limit: 100}, []int64{}},
		"a pipeline's":         {db.ReadQuery{Organization: "acme", Pipeline: "api", Limit: 100}, []int64{2, 4, 6}},
		"a pipeline's, part":   {db.ReadQuery{Organization: "acme", Pipeline: "api", After: 2, UpTo: 5, Limit: 1}, []int64{4}},
		"an unknown one's":     {db.ReadQuery{Organization: "other", Pipeline: "api", Limit: 100}, []int64{}},
		"a name with a NUL is": {db.ReadQuery{Organization: "acme", Pipeline: "a\x00", Limit: 100}, []int64{}},
		"of types":             {db.ReadQuery{Types: []string{"job.finished", "other"}, UpTo: 2, Limit: 100}, []int64{1, 2}},
		"of no type there":     {db.ReadQuery{Types: []string{"other", "a\x00"}, Limit: 100}, []int64{}},
	} {
		if diff := cmp.Diff(c.want, positions(must(s.ReadAll(t.Context(), c.query))(t))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func testReadBuild(t *testing.T, s db.Store) {
	for n := range 5 {
		mustAppend(t, s, delivery("a", n))
		mustAppend(t, s, delivery("b", n))
	}
	for name, c := range map[string]struct {
		build string
		from  int64
		limit int
		want  []int64
	}{
		"all":     {"a", 0, 100, []int64{1, 3, 5, 7, 9}},
		"from":    {"a", 3, 100, []int64{7, 9}},
		"at most": {"b", 1, 2, []int64{4, 6}},
		"beyond":  {"a", 5, 100, []int64{}},
		"unknown": {"c", 0, 100, []int64{}},
		"not one": {"\x00", 0, 100, []int64{}},
	} {
		if diff := cmp.Diff(c.want, positions(must(s.ReadBuild(t.Context(), c.build, c.from, c.limit))(t))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func testEachOfBuilds(t *testing.T, s db.Store) {
	for n := range 5 {
		mustAppend(t, s, delivery("a", n))
		mustAppend(t, s, delivery("b", n))
	}
	commit(t, s, 0, 10, db.Batch{Own: []db.Own{{BuildID: "b", Type: stream.TypeStatus, Data: []byte(`{}`)}}})
	mustAppend(t, s, delivery("b", 5))
	all := func(build string) db.BuildQuery { return db.BuildQuery{ID: build, UpTo: 100} }
	for name, c := range map[string]struct {
		builds []db.BuildQuery
		want   []int64
	}{
		"one after the other":         {[]db.BuildQuery{all("b"), all("a")}, []int64{2, 4, 6, 8, 10, 12, 1, 3, 5, 7, 9}},
		"from":                        {[]db.BuildQuery{{ID: "a", From: 3, UpTo: 100}, {ID: "b", From: 5, UpTo: 100}}, []int64{7, 9, 12}},
		"up to":                       {[]db.BuildQuery{{ID: "a", UpTo: 5}, {ID: "b", UpTo: 4}}, []int64{1, 3, 5, 2, 4}},
		"at most":                     {[]db.BuildQuery{{ID: "a", UpTo: 100, Limit: 2}, {ID: "b", From: 1, UpTo: 100, Limit: 1}}, []int64{1, 3, 4}},
		"unknown ones have none":      {[]db.BuildQuery{all("c"), all("\x00"), all("a")}, []int64{1, 3, 5, 7, 9}},
		"of no builds there are none": {nil, nil},
	} {
		var got []int64
		err := s.EachOfBuilds(t.Context(), c.builds, func(e *stream.Event) error {
			got = append(got, e.Position)
			if !bytes.Contains(e.Data, []byte(`{`)) {
				t.Errorf("%s: event %d has data %q", name, e.Position, e.Data)
			}
			return nil
		})
		noError(t, err)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	broken := errors.New("broken")
	if err := s.EachOfBuilds(t.Context(), []db.BuildQuery{all("a")}, func(*stream.Event) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("it ends with %v, want what do returned", err)
	}
	// And it still reads.
	if got := must(s.ReadBuild(t.Context(), "a", 0, 10))(t); len(got) != 5 {
		t.Errorf("%d events of a, want 5", len(got))
	}
}

func testLastTold(t *testing.T, s db.Store) {
	want := func(build string, seq int64, typ string) {
		t.Helper()
		e := must(s.LastTold(t.Context(), build))(t)
		if e.BuildID != build || e.Seq != seq || e.Type != typ || string(e.Data) != `{"n":0}` {
			t.Errorf("build %s: %+v", build, e)
		}
	}
	var ids uint16
	add := func(build string, types ...string) {
		t.Helper()
		own := make([]db.Own, len(types))
		for i, typ := range types {
			ids++
			own[i] = db.Own{BuildID: build, Type: typ, Data: []byte(`{"n":0}`)}
			binary.BigEndian.PutUint16(own[i].ID[:], ids)
		}
		commit(t, s, 0, 0, db.Batch{Own: own})
	}
	for _, id := range []string{"unknown", "a\x00"} {
		if e := must(s.LastTold(t.Context(), id))(t); e.BuildID != "" {
			t.Errorf("of a build that is not there: %+v", e)
		}
	}
	mustAppend(t, s, delivery("a", 0))
	add("a", stream.TypeInitialize, stream.TypeNotice, stream.TypeLog, stream.TypeError, stream.TypeStart, stream.TypeFinish)
	want("a", 0, "job.finished")
	add("a", stream.TypeStatus, stream.TypeNotice)
	want("a", 7, stream.TypeStatus)

	// It looks at so many only.
	mustAppend(t, s, delivery("b", 0))
	for some := range slices.Chunk(slices.Repeat([]string{stream.TypeNotice}, 499), 100) {
		add("b", some...)
	}
	want("b", 0, "job.finished")
	add("b", stream.TypeNotice)
	if e := must(s.LastTold(t.Context(), "b"))(t); e.BuildID != "" {
		t.Errorf("beyond 500 events: %+v", e)
	}
}

func testStatusBefore(t *testing.T, s db.Store) {
	mustAppend(t, s, delivery("a", 0))
	commit(t, s, 0, 0, db.Batch{Own: []db.Own{
		own("a", stream.TypeStatus, 1), own("a", stream.TypeNotice, 2), own("a", stream.TypeStatus, 3), own("b", stream.TypeStatus, 4),
	}})
	for _, tc := range []struct {
		build     string
		seq, want int64 // -1 for none
	}{
		{"a", 0, -1}, {"a", 1, -1}, {"a", 2, 1}, {"a", 3, 1}, {"a", 4, 3}, {"a", 100, 3}, {"b", 1, 0}, {"unknown", 9, -1}, {"a\x00", 9, -1},
	} {
		e := must(s.StatusBefore(t.Context(), tc.build, tc.seq))(t)
		switch {
		case tc.want < 0 && e.Position == 0:
		case e.BuildID != tc.build || e.Type != stream.TypeStatus || e.Seq != tc.want:
			t.Errorf("before %d of %q: %+v, want seq %d", tc.seq, tc.build, e, tc.want)
		}
	}
}

func testNextSeqs(t *testing.T, s db.Store) {
	for n := range 3 {
		mustAppend(t, s, delivery("a", n))
	}
	mustAppend(t, s, delivery("b", 0))
	got := must(s.NextSeqs(t.Context(), []string{"a", "b", "unknown", "a\x00"}))(t)
	if diff := cmp.Diff(map[string]int64{"a": 3, "b": 1}, got); diff != "" {
		t.Error(diff)
	}
	if got := must(s.NextSeqs(t.Context(), nil))(t); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
}

// testLargePage has data that does not get smaller: a page ends long before its
// limit, and what it leaves is more than is read for nothing.
func testLargePage(t *testing.T, s db.Store) {
	const events, size = 8, 3 << 20
	random := rand.NewChaCha8([32]byte{})
	for n := range events {
		d := delivery("a", n)
		d.Data = make([]byte, size)
		_, _ = random.Read(d.Data)
		for i := range d.Data {
			d.Data[i] = '1' + d.Data[i]%9
		}
		mustAppend(t, s, d)
	}
	for name, read := range map[string]func(from int64) ([]stream.Event, error){
		"all": func(from int64) ([]stream.Event, error) {
			return s.ReadAll(t.Context(), db.ReadQuery{After: from, Limit: 100})
		},
		"build": func(from int64) ([]stream.Event, error) { return s.ReadBuild(t.Context(), "a", from, 100) },
	} {
		var next int64
		pages := 0
		for next < events {
			page := must(read(next))(t)
			if len(page) == 0 || len(page) > 3 {
				t.Fatalf("%s: a page of %d events from %d", name, len(page), next)
			}
			for _, e := range page {
				if e.Seq != next || len(e.Data) != size {
					t.Fatalf("%s: seq %d with %d bytes, want %d with %d", name, e.Seq, len(e.Data), next, size)
				}
				next++
			}
			pages++
		}
		if pages < 3 {
			t.Errorf("%s: %d pages of %d MiB", name, pages, events*size>>20)
		}
	}
}

// testTeams has names that are no names of tables, and a build that another
// team's delivery does not move.
func testTeams(t *testing.T, s db.Store) {
	teams := []string{"", "default", "Web & API", `"; DROP TABLE events; --`, "größe", fmt.Sprintf("%0300d", 1)}
	for n, team := range teams {
		d := delivery(fmt.Sprintf("build-%d", n), 0)
		d.Team = team
		mustAppend(t, s, d)
		d = delivery(d.BuildID, 1)
		d.Team = teams[(n+1)%len(teams)]
		mustAppend(t, s, d)
		d = delivery("", n)
		d.Team = team
		mustAppend(t, s, d)
	}
	all := must(s.ReadAll(t.Context(), db.ReadQuery{}))(t)
	if len(all) != 3*len(teams) {
		t.Errorf("%d events, want %d", len(all), 3*len(teams))
	}
	for n := range teams {
		if got := must(s.ReadBuild(t.Context(), fmt.Sprintf("build-%d", n), 0, 10))(t); len(got) != 2 {
			t.Errorf("build %d has %d events, want 2", n, len(got))
		}
	}
}

func testUnread(t *testing.T, s db.Store) {
	want := func(want, pipeline string, number int64) {
		t.Helper()
		if got := must(s.Unread(t.Context(), "tracker", "acme", pipeline, number))(t); got != want {
			t.Errorf("%s %d is build %q, want %q", pipeline, number, got, want)
		}
	}
	want("", "web", 1)
	first := delivery("a", 0)
	mustAppend(t, s, first)
	last := mustAppend(t, s, delivery("b", 0)) // at the same address
	want("b", first.Pipeline, first.Number)
	want("", first.Pipeline, first.Number+1)
	want("", "other", first.Number)
	commit(t, s, 0, last.Position, db.Batch{})
	want("", first.Pipeline, first.Number)
}
