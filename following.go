package buildtracker

import (
	"context"
	"fmt"
	"sync"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// deliveriesChannel is notified after every append of a delivery: the tracker
// that leads listens to it.
const deliveriesChannel = "deliveries"

// openBus joins the replicas' notifications; with the embedded store there is
// one process.
func (s *Server) openBus(ctx context.Context) (*stream.NotificationsBus, error) {
	o := stream.BusOptions{Logger: s.log, Metrics: s.metrics.bus()}
	s.metrics.stream.joined.Set(1) // until a transport says otherwise
	if store, ok := s.db.(*db.Postgres); ok {
		channel, err := store.NotifyChannel(ctx)
		if err != nil {
			return nil, fmt.Errorf("open the notifications bus: %w", err)
		}
		url := s.cfg.DatabaseListenURL
		if url == "" {
			url = s.cfg.DatabaseURL
		}
		if o.Transport, err = stream.NewPostgresTransport(stream.PostgresOptions{
			URL: url.Value(), Channel: channel, Send: store.Notify,
		}); err != nil {
			return nil, err
		}
	}
	return stream.NewNotificationsBus(o), nil
}

// delivered hints at an event that was delivered, and appended at one of ours.
func (s *Server) delivered(buildID string) {
	s.bus.Notify(deliveriesChannel)
	s.appended(buildID)
}

func (s *Server) appended(buildID string) {
	s.bus.Notify(stream.EventsChannel)
	if buildID != "" {
		s.bus.Notify(stream.BuildChannel(buildID))
	}
}

// hearDeliveries wakes the tracker at every delivery, whichever replica took it,
// until what it returns is called.
func (s *Server) hearDeliveries() (stop func()) {
	hints, err := s.bus.Subscribe(1) // one that waits is as good as many
	if err != nil {
		return func() {} // the server is stopping
	}
	var hearing sync.WaitGroup
	hearing.Go(func() {
		for range hints.C() {
			s.tracker.Wake()
		}
	})
	if err := hints.Listen(deliveriesChannel); err != nil {
		s.log.Info("the tracker looks for events by itself", "cause", err)
	}
	return func() {
		hints.Close()
		hearing.Wait()
	}
}

// followedStream is the whole stream as followers read it.
type followedStream struct{ db.Store }

func (s followedStream) ReadStream(ctx context.Context, q stream.Filter, after int64, limit int) ([]stream.Event, error) {
	return s.ReadAll(ctx, db.ReadQuery{
		After: after, Limit: limit, Organization: q.Organization, Pipeline: q.Pipeline, Types: q.Types,
	})
}
