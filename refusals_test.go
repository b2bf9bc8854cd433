package buildtracker

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func quietRefusals(dir string) *refusals { return openRefusals(dir, slog.New(slog.DiscardHandler)) }

func TestRefusalsLastUntilADeliveryIsTaken(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made") // by the first refusal
	at := func(second int) time.Time { return time.Date(2026, 1, 5, 0, 0, second, 0, time.UTC) }
	f := quietRefusals(dir)
	expect := func(ended, all int) {
		t.Helper()
		if e, a := len(f.ended()), len(f.all()); e != ended || a != all {
			t.Errorf("%d intervals of %d are over, want %d of %d", e, a, ended, all)
		}
	}
	f.taken(at(1))
	expect(0, 0)
	f.refused(at(2))
	f.refused(at(5))
	expect(0, 1)
	f = quietRefusals(dir) // it died meanwhile
	expect(0, 1)
	f.refused(at(7))
	f.taken(at(7).Add(time.Millisecond)) // one gets through
	f.refused(at(8))
	expect(0, 1)
	f.settle(at(9))
	expect(0, 1)
	f.taken(at(9))
	expect(1, 1)
	select {
	case <-f.recovered:
	default:
		t.Error("that deliveries are taken again is not told")
	}
	want := []interval{{From: at(2), To: at(9)}}
	if diff := cmp.Diff(want, quietRefusals(dir).ended()); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}

	f.refused(at(20))
	f.done(want)
	if diff := cmp.Diff([]interval{{From: at(20)}}, quietRefusals(dir).all()); diff != "" {
		t.Errorf("kept after the first was looked at (-want +got):\n%s", diff)
	}
	f.taken(at(30))
	f.done(f.ended())
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("files are left: %v, %v", entries, err)
	}
}

func TestATakenDeliveryAloneEndsRefusals(t *testing.T) {
	t.Parallel()
	f := quietRefusals("")
	now := time.Now()
	f.refused(now)
	f.taken(now.Add(time.Millisecond)) // too soon to say
	if n := len(f.ended()); n != 0 {
		t.Errorf("%d intervals are over, want none", n)
	}
	f.settle(now.Add(2 * time.Second)) // nothing came after it
	if n := len(f.ended()); n != 1 {
		t.Errorf("%d intervals are over, want 1", n)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	f := quietRefusals("")
	now := time.Now()
	for i := range 3 * maxRefusals {
		f.refused(now.Add(time.Duration(2*i) * time.Minute))
		f.taken(now.Add(time.Duration(2*i+1) * time.Minute))
	}
	all := f.ended()
	if n := len(all); n != maxRefusals {
		t.Errorf("%d intervals are kept, want %d", n, maxRefusals)
	}
	if last := all[len(all)-1].To; !last.Equal(now.Add((6*maxRefusals - 1) * time.Minute)) {
		t.Errorf("the last interval ends at %s: one is forgotten", last)
	}
}

func TestDamagedRefusalsDoNotKeepAServerFromStarting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, refusalsFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := quietRefusals(dir)
	f.refused(time.Now())
	if n := len(quietRefusals(dir).all()); n != 1 {
		t.Errorf("%d intervals are kept, want 1", n)
	}
}
