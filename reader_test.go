package buildtracker

import (
	"context"
	"log/slog"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
	"github.com/build-tracker/build-tracker/notify"
	"github.com/build-tracker/build-tracker/stream"
)

// slowReads is a store whose second read waits.
type slowReads struct {
	db.Store
	goOn chan struct{} // closed when the second read may go on

	mu       sync.Mutex
	reads    int
	canceled bool
}

func (s *slowReads) Each(ctx context.Context, q db.ReadQuery, do func(*stream.Event) error) error {
	s.mu.Lock()
	s.reads++
	second := s.reads == 2
	s.mu.Unlock()
	if second {
		select {
		case <-s.goOn:
		case <-ctx.Done():
			s.mu.Lock()
			s.canceled = true
			s.mu.Unlock()
		}
	}
	return s.Store.Each(ctx, q, do)
}

// A read that is slower than the batch before it goes on when that is written.
func TestReadAheadOutlivesTheBatchBeforeIt(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		store, client := s.open(t)
		defer store.Close()
		defer client.Close()
		deliveries := traffic.New(rand.New(rand.NewSource(1)).Intn, traffic.Options{Builds: 2}).Deliveries
		for _, d := range deliveries {
			if _, err := appendDelivery(t.Context(), store, d); err != nil {
				t.Fatal(err)
			}
		}
		slow := &slowReads{Store: store, goOn: make(chan struct{})}
		tracker := newTracker(slow, client, trackerOptions{
			Logger: slog.New(slog.DiscardHandler), Metrics: newMetrics(), BuildTTL: time.Hour,
			Policy: notify.Policy{MaxAge: 24 * time.Hour}, Committed: func() {}, Appended: func(string) {},
		})
		tracker.atOnce = 2
		if err := tracker.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		folded := 0
		step := func() {
			n, err := tracker.step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			folded += n
		}
		step()
		close(slow.goOn)
		for range deliveries {
			step()
		}
		if folded != len(deliveries) {
			t.Errorf("%d of %d events were folded", folded, len(deliveries))
		}
		slow.mu.Lock()
		defer slow.mu.Unlock()
		if slow.canceled {
			t.Error("the read was given up with the batch before it")
		}
	})
}
