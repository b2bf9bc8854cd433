package dbtest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/db"
)

var appends = map[string]func(*testing.T, db.Store){
	"append says where a delivery stands":            testAppend,
	"append of a known key is a duplicate":           testDuplicate,
	"concurrent sendings of a key are recorded once": testConcurrentDuplicates,
	"an event without a build has no seq":            testAgentEvent,
	"append refuses what no store holds":             testRefuse,
	"a refused delivery does not hurt another":       testRefuseAlone,
	"payloads come back byte for byte":               testPayloads,
	"append ends with its context":                   testAppendContext,
	"positions and seqs hold under many writers":     func(t *testing.T, s db.Store) { Order(t, s) },
}

func testAppend(t *testing.T, s db.Store) {
	var got []db.Appended
	for _, d := range []db.Delivery{delivery("a", 0), delivery("b", 0), delivery("a", 1), delivery("", 0), delivery("a", 2)} {
		got = append(got, mustAppend(t, s, d))
	}
	want := []db.Appended{{Position: 1}, {Position: 2}, {Position: 3, Seq: 1}, {Position: 4}, {Position: 5, Seq: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if head := must(s.Head(t.Context()))(t); head != 5 {
		t.Errorf("head %d, want 5", head)
	}
}

func testDuplicate(t *testing.T, s db.Store) {
	mustAppend(t, s, delivery("a", 0))
	again := delivery("a", 0)
	again.Data = []byte(`{"other":true}`)
	if diff := cmp.Diff(db.Appended{Duplicate: true}, mustAppend(t, s, again)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(db.Appended{Position: 2, Seq: 1}, mustAppend(t, s, delivery("a", 1))); diff != "" {
		t.Errorf("after a duplicate: %s", diff)
	}
}

func testConcurrentDuplicates(t *testing.T, s db.Store) {
	const senders, keys = 16, 20
	var recorded atomic.Int64
	var group sync.WaitGroup
	for range senders {
		group.Go(func() {
			for n := range keys {
				a, err := s.Append(t.Context(), delivery("a", n))
				if err != nil {
					t.Error(err)
				}
				if !a.Duplicate {
					recorded.Add(1)
				}
			}
		})
	}
	group.Wait()
	if n := recorded.Load(); n != keys {
		t.Errorf("%d recorded, want %d", n, keys)
	}
	if head := must(s.Head(t.Context()))(t); head != keys {
		t.Errorf("head %d, want %d", head, keys)
	}
}

func testAgentEvent(t *testing.T, s db.Store) {
	d := delivery("", 0)
	d.Type, d.Pipeline, d.Number = "agent.connected", "ignored", 3
	mustAppend(t, s, d)
	events := must(s.ReadAll(t.Context(), db.ReadQuery{}))(t)
	if len(events) != 1 {
		t.Fatalf("%d events, want 1", len(events))
	}
	e := events[0]
	if e.BuildID != "" || e.Pipeline != "" || e.Number != 0 || e.Seq != 0 || e.Organization != "acme" || e.Type != "agent.connected" {
		t.Errorf("got %+v", e)
	}
}

func refused() map[string]db.Delivery {
	change := func(f func(*db.Delivery)) db.Delivery {
		d := delivery("refused", 0)
		f(&d)
		return d
	}
	return map[string]db.Delivery{
		"NUL in the type":                change(func(d *db.Delivery) { d.Type = "job\x00" }),
		"NUL in the organization":        change(func(d *db.Delivery) { d.Organization = "\x00" }),
		"a build id that is not UTF-8":   change(func(d *db.Delivery) { d.BuildID = "\xff" }),
		"half a rune in the pipeline":    change(func(d *db.Delivery) { d.Pipeline = "\xc3" }),
		"a surrogate in the team":        change(func(d *db.Delivery) { d.Team = "\xed\xa0\x80" }),
		"a type of a megabyte":           change(func(d *db.Delivery) { d.Type = strings.Repeat("x", 1<<20) }),
		"a payload beyond what is taken": change(func(d *db.Delivery) { d.Data = make([]byte, 17<<20) }),
	}
}

func testRefuse(t *testing.T, s db.Store) {
	for name, d := range refused() {
		_, err := s.Append(t.Context(), d)
		if wantError(t, err, db.ErrRefused); t.Failed() {
			t.Fatal(name)
		}
	}
	if head := must(s.Head(t.Context()))(t); head != 0 {
		t.Errorf("head %d, want 0", head)
	}
}

func testRefuseAlone(t *testing.T, s db.Store) {
	bad := delivery("a", -1)
	bad.Type = "a\x00b"
	const writers = 8
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			if _, err := s.Append(t.Context(), delivery("a", n)); err != nil {
				t.Error(err)
			}
		})
		group.Go(func() {
			_, err := s.Append(t.Context(), bad)
			wantError(t, err, db.ErrRefused)
		})
	}
	group.Wait()
	if head := must(s.Head(t.Context()))(t); head != writers {
		t.Errorf("head %d, want %d", head, writers)
	}
}

func testPayloads(t *testing.T, s db.Store) {
	payloads := map[string][]byte{
		"small":            []byte(`{}`),
		"an escaped NUL":   []byte(`{"message":"a\u0000b"}`),
		"a lone surrogate": []byte(`{"message":"\ud800"}`),
		"a large number":   []byte(`{"n":12345678901234567890.5}`),
		"5 MiB":            append(append([]byte(`"`), bytes.Repeat([]byte("0123456789abcdef"), 5<<16)...), '"'),
		"not UTF-8":        {'"', 0xff, 0xfe, 0, '"'},
	}
	n := 0
	for name, data := range payloads {
		d := delivery(name, n)
		d.Data = bytes.Clone(data)
		mustAppend(t, s, d)
		clear(d.Data) // the caller's again
		n++
	}
	for name, want := range payloads {
		events := must(s.ReadBuild(t.Context(), name, 0, 10))(t)
		if len(events) != 1 || !bytes.Equal(events[0].Data, want) {
			t.Errorf("%s: read %d events, or other bytes", name, len(events))
		}
	}
}

func testAppendContext(t *testing.T, s db.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Append(ctx, delivery("a", 0)); err != nil {
		wantError(t, err, context.Canceled)
	}
	mustAppend(t, s, delivery("a", 1)) // the store goes on
}
