package buildtracker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
)

// retainCalls is a store that takes note of what it is asked, and answers.
type retainCalls struct {
	queries []db.RetainQuery
	answer  func(ctx context.Context) (db.Retained, error)
}

func (s *retainCalls) Retain(ctx context.Context, q db.RetainQuery) (db.Retained, error) {
	s.queries = append(s.queries, q)
	return s.answer(ctx)
}

// newTestRetention returns a worker and what it logs, without times.
func newTestRetention(store retentionStore, live func() *config.Live) (*retention, *bytes.Buffer) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return &retention{store: store, live: live, metrics: newMetrics(), log: log}, &out
}

func TestRetentionRunsEveryHourAsConfiguredThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		var live atomic.Pointer[config.Live]
		live.Store(&config.Live{Retention: config.Retention{Events: 90 * day, Builds: 400 * day, Deliveries: 30 * day}})
		store := &retainCalls{answer: func(context.Context) (db.Retained, error) { return db.Retained{Elsewhere: true}, nil }}
		r, out := newTestRetention(store, live.Load)
		start := time.Now()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.run(ctx)
		}()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		live.Store(&config.Live{
			Teams:     []config.Team{{Name: "web", Retention: config.TeamRetention{Events: 7 * day}}, {Name: "api"}},
			Retention: config.Retention{Events: 60 * day, Builds: 300 * day, Deliveries: 20 * day},
		})
		time.Sleep(24 * time.Hour)
		stop()
		<-ended

		if n := len(store.queries); n < 16 || n > 50 {
			t.Fatalf("%d runs in a day", n)
		}
		first, last := store.queries[0], store.queries[len(store.queries)-1]
		if wait := first.Now.Sub(start); wait < 30*time.Second || wait > 2*time.Minute {
			t.Errorf("the first run came after %s", wait)
		}
		first.Now, last.Now = time.Time{}, time.Time{}
		want := db.RetainQuery{Events: 90 * day, Teams: map[string]time.Duration{}, Builds: 400 * day, Deliveries: 30 * day}
		if diff := cmp.Diff(want, first); diff != "" {
			t.Errorf("first: %s", diff)
		}
		want = db.RetainQuery{Events: 60 * day, Teams: map[string]time.Duration{"web": 7 * day, "api": 60 * day}, Builds: 300 * day, Deliveries: 20 * day}
		if diff := cmp.Diff(want, last); diff != "" {
			t.Errorf("last: %s", diff)
		}
		if out.Len() > 0 {
			t.Errorf("what another replica does is logged:\n%s", out)
		}
	})
}

func TestRetentionTellsWhatItDropped(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	store := &retainCalls{answer: func(context.Context) (db.Retained, error) {
		return db.Retained{
			Days: []db.DroppedDay{
				{Team: "default", Day: day, Position: 9, Events: 8},
				{Team: "quiet", Day: day},
				{Team: "web", Day: day, Position: 20, Events: 11, Lost: 3, Behind: "export"},
			},
			Builds: 2, Deliveries: 5,
		}, errors.New("no room")
	}}
	r, out := newTestRetention(store, func() *config.Live { return new(config.Live) })
	r.once(t.Context())
	want := strings.TrimLeft(`
level=INFO msg="old events were dropped" team=default day=2026-05-01 events=8
level=WARN msg="events were dropped unread: at twice their retention they do not wait for a reader any more" team=web day=2026-05-01 events=11 lost=3 behind=export
level=INFO msg="old builds and keys of deliveries were removed" builds=2 deliveries=5
level=WARN msg="not all that is old could be removed; it is tried again within two hours" error="no room"
`, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if n := testutil.ToFloat64(r.metrics.eventsDropped); n != 19 {
		t.Errorf("%v events counted as dropped, want 19", n)
	}
	if n := testutil.ToFloat64(r.metrics.eventsLost); n != 3 {
		t.Errorf("%v events counted as lost, want 3", n)
	}
}

func TestRetentionEndsQuietlyWithItsServer(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	store := &retainCalls{answer: func(ctx context.Context) (db.Retained, error) {
		stop()
		<-ctx.Done()
		return db.Retained{}, ctx.Err()
	}}
	r, out := newTestRetention(store, func() *config.Live { return new(config.Live) })
	r.once(ctx)
	if out.Len() > 0 {
		t.Errorf("logged:\n%s", out)
	}
}
