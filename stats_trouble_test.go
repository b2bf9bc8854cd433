package buildtracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stats"
)

// frozen holds a store between the reading of a day and its writing.
type frozen struct {
	db.Store
	thaw func()
}

func (f *frozen) SetTallies(ctx context.Context, d db.DayTallies) error {
	if f.thaw != nil {
		f.thaw()
		f.thaw = nil
	}
	return f.Store.SetTallies(ctx, d)
}

// TestAFrozenReplicaOverwritesNoStatistics: one that froze while it counted overwrites nothing that its successor counted.
func TestAFrozenReplicaOverwritesNoStatistics(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		rig := newRig(t, s)
		defer rig.close()
		noon := time.Date(2024, 5, 31, 12, 0, 0, 0, time.UTC)
		one := tell("web", 1)
		rig.counted(true)
		rig.append(one.dated("failed", noon))
		rig.fold()
		old := &statistician{store: &frozen{rig.db, func() {
			rig.append(one.dated("passed", noon.Add(time.Minute)))
			rig.fold()
			rig.counted(false) // the successor
		}}, log: slog.New(slog.DiscardHandler)}
		at, err := old.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = old.count(t.Context(), at, false); !errors.Is(err, db.ErrFenced) {
			t.Errorf("the frozen one: %v, want ErrFenced", err)
		}
		rig.counted(true) // not even a sweep sees it
		if got := rig.report(stats.Of{}); got.Failures != 0 {
			t.Errorf("%d builds failed, want 0", got.Failures)
		}
	})
}

func TestStatisticsClaimNothingThatIsNotFolded(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		rig := newRig(t, s)
		defer rig.close()
		rig.counted(true)
		rig.append(tell("web", 1).dated("failed", time.Now().Add(-time.Hour)))
		rig.counted(false) // the tracker is behind
		now := time.Now().Add(10 * time.Minute)
		until, err := (&statsRoute{store: rig.db}).until(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		if until != nil && !until.Before(now.Add(-9*time.Minute)) {
			t.Errorf("until %v though a delivery from before %v is not folded: builds %d", until, now, rig.report(stats.Of{}).Builds)
		}
	})
}

func TestStatisticsOfAnotherFormatAreNotCounted(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		rig := newRig(t, s)
		defer rig.close()
		noon := startOfDay(time.Now().Add(-48 * time.Hour))
		rig.append(tell("web", 1).dated("failed", noon))
		rig.fold()
		rig.counted(true)
		// as the program before the upgrade left it
		if err := rig.setTallies(db.DayTallies{Day: noon, Format: stats.Format + 1, Tallies: []db.Tally{{Builds: 1, Data: []byte("x")}}}); err != nil {
			t.Fatal(err)
		}
		at, err := rig.db.Cursor(t.Context(), statsCursor)
		if err != nil {
			t.Fatal(err)
		}
		old := fmt.Sprintf("%d %s", stats.Format+1, time.Now().UTC().Format(time.RFC3339))
		if err := rig.db.Commit(t.Context(), db.Batch{Cursor: statsCursor, From: at.Position, To: at.Position, Generation: at.Generation, State: old}); err != nil {
			t.Fatal(err)
		}
		until, err := (&statsRoute{store: rig.db}).until(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := rig.report(stats.Of{}).Builds; got == 0 && until != nil {
			t.Errorf("0 of 1 builds are counted, until says %v", until)
		}
	})
}
