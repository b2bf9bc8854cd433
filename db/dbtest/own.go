package dbtest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

var owns = map[string]func(*testing.T, db.Store){
	"our events are recorded behind their delivery": testOwnOfDelivery,
	"an event of ours is recorded once":             testOwnOnce,
	"our events are recorded with their batch":      testOwnOfBatch,
	"a fenced batch records none of ours":           testOwnFenced,
	"our events are recorded with their receipt":    testOwnOfReceipt,
	"our events are left out on demand":             testDelivered,
}

// own returns an event of ours about a build; an empty one is about none.
func own(build, typ string, n byte) db.Own {
	o := db.Own{ID: stream.ID{n, 1, 2, 3}, Organization: "acme", BuildID: build, Type: typ, Data: []byte(`{"own":true}`)}
	if build != "" {
		o.Pipeline, o.Number = "web", 7
	}
	return o
}

// told is what a test looks at of an event.
type told struct {
	Position, Seq int64
	Build, Type   string
	Data          string
}

func tellings(events []stream.Event) (out []told) {
	for _, e := range events {
		out = append(out, told{e.Position, e.Seq, e.BuildID, e.Type, string(e.Data)})
	}
	return out
}

func wantStream(t *testing.T, s db.Store, want ...told) {
	t.Helper()
	got := tellings(must(s.ReadAll(t.Context(), db.ReadQuery{}))(t))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the stream (-want +got):\n%s", diff)
	}
	if head := must(s.Head(t.Context()))(t); head != int64(len(want)) {
		t.Errorf("the head is %d, want %d", head, len(want))
	}
}

const ownData = `{"own":true}`

func testOwnOfDelivery(t *testing.T, s db.Store) {
	d := delivery("b1", 1)
	d.Own = []db.Own{own("b1", "finish", 1), own("b1", "start", 2)}
	first := mustAppend(t, s, d)
	second := mustAppend(t, s, delivery("b1", 2))
	if first != (db.Appended{Position: 1, Seq: 0}) || second != (db.Appended{Position: 4, Seq: 3}) {
		t.Errorf("appended at %+v and %+v", first, second)
	}
	if again := mustAppend(t, s, d); !again.Duplicate {
		t.Errorf("the same again is %+v", again)
	}
	wantStream(t, s,
		told{1, 0, "b1", "job.finished", `{"n":1}`}, told{2, 1, "b1", "finish", ownData}, told{3, 2, "b1", "start", ownData},
		told{4, 3, "b1", "job.finished", `{"n":2}`},
	)
	if e := must(s.ReadBuild(t.Context(), "b1", 1, 1))(t)[0]; e.ID != (stream.ID{1, 1, 2, 3}) || e.Pipeline != "web" || e.Number != 7 || e.Organization != "acme" {
		t.Errorf("ours is %+v", e)
	}
}

// Two deliveries may have the same event of ours follow, also in one commit.
func testOwnOnce(t *testing.T, s db.Store) {
	results := make(chan error)
	const n = 50
	for i := range n {
		go func() {
			d := delivery("b1", i)
			d.Own = []db.Own{own("b1", "start", 9)}
			_, err := s.Append(t.Context(), d)
			results <- err
		}()
	}
	for range n {
		noError(t, <-results)
	}
	events := must(s.ReadBuild(t.Context(), "b1", 0, 1000))(t)
	starts := 0
	for i, e := range events {
		if e.Seq != int64(i) {
			t.Errorf("event %d has seq %d", i, e.Seq)
		}
		if e.Type == "start" {
			starts++
		}
	}
	if starts != 1 || len(events) != n+1 {
		t.Errorf("%d events, %d of them ours; want %d and 1", len(events), starts, n+1)
	}
}

func testOwnOfBatch(t *testing.T, s db.Store) {
	mustAppend(t, s, delivery("b1", 1))
	mustAppend(t, s, delivery("b2", 1))
	commit(t, s, 0, 2, db.Batch{
		Rows: []db.Row{row("b1", 1), row("b2", 2)},
		Own:  []db.Own{own("b2", "status", 1), own("b1", "status", 2), own("b2", "error", 3), own("", "error", 4)},
	})
	mustAppend(t, s, delivery("b2", 2))
	wantStream(t, s,
		told{1, 0, "b1", "job.finished", `{"n":1}`}, told{2, 0, "b2", "job.finished", `{"n":1}`},
		told{3, 1, "b2", "status", ownData}, told{4, 1, "b1", "status", ownData}, told{5, 2, "b2", "error", ownData},
		told{6, 0, "", "error", ownData}, told{7, 3, "b2", "job.finished", `{"n":2}`},
	)
}

func testOwnFenced(t *testing.T, s db.Store) {
	mustAppend(t, s, delivery("b1", 1))
	commit(t, s, 0, 1, db.Batch{})
	late := db.Batch{Cursor: "tracker", From: 0, To: 1, Own: []db.Own{own("b1", "status", 1)}}
	wantError(t, s.Commit(t.Context(), late), db.ErrFenced)
	wantStream(t, s, told{1, 0, "b1", "job.finished", `{"n":1}`})
}

func testOwnOfReceipt(t *testing.T, s db.Store) {
	mustAppend(t, s, delivery("b1", 1))
	wantNew(t, s, "b1", 1)
	n := claimOne(t, s, time.Minute)
	r := receipt(1)
	r.Own = []db.Own{own("b1", "notice", 1)}
	noError(t, s.Receipt(t.Context(), n, r))
	if got := stored(t, s, "b1"); got.SentRev != 1 {
		t.Errorf("the receipt says %d", got.SentRev)
	}
	wantError(t, s.Receipt(t.Context(), n, r), db.ErrLostClaim)
	wantStream(t, s, told{1, 0, "b1", "job.finished", `{"n":1}`}, told{2, 1, "b1", "notice", ownData})
}

func testDelivered(t *testing.T, s db.Store) {
	for i, typ := range stream.OurTypes() {
		d := delivery("b1", i)
		d.Own = []db.Own{own("b1", typ, byte(i+1))}
		mustAppend(t, s, d)
	}
	events := must(s.ReadAll(t.Context(), db.ReadQuery{Delivered: true}))(t)
	if len(events) != len(stream.OurTypes()) {
		t.Fatalf("%d events, want %d", len(events), len(stream.OurTypes()))
	}
	for _, e := range events {
		if stream.Ours(e.Type) {
			t.Errorf("a %s is among what was delivered", e.Type)
		}
	}
}
