package stream_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/stream"
)

// patience is how long a test waits for what comes in milliseconds.
const patience = 30 * time.Second

// pgReplica is a bus over PostgreSQL.
type pgReplica struct {
	*stream.NotificationsBus
	joined  chan bool
	channel string // PostgreSQL's

	mu       sync.Mutex
	payloads []string // what was sent
}

// startPostgres returns a replica that has joined.
func startPostgres(t *testing.T, url string) *pgReplica {
	t.Helper()
	store, err := db.OpenPostgres(t.Context(), db.PostgresOptions{URL: url, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	r := &pgReplica{joined: make(chan bool, 100)}
	if r.channel, err = store.NotifyChannel(t.Context()); err != nil {
		t.Fatal(err)
	}
	transport, err := stream.NewPostgresTransport(stream.PostgresOptions{
		URL:     url,
		Channel: r.channel,
		Send: func(ctx context.Context, channel string, payloads []string) error {
			r.mu.Lock()
			r.payloads = append(r.payloads, payloads...)
			r.mu.Unlock()
			return store.Notify(ctx, channel, payloads)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.NotificationsBus = stream.NewNotificationsBus(stream.BusOptions{
		Transport: transport,
		Metrics:   stream.BusMetrics{Joined: func(joined bool) { r.joined <- joined }},
	})
	t.Cleanup(func() { _ = r.Close() })
	r.await(t, true)
	return r
}

func (r *pgReplica) await(t *testing.T, want bool) {
	t.Helper()
	select {
	case joined := <-r.joined:
		if joined != want {
			t.Fatalf("joined: %v, want %v", joined, want)
		}
	case <-time.After(patience):
		t.Fatalf("joined: %v did not come", want)
	}
}

// sent returns the payloads that name the channel.
func (r *pgReplica) sent(channel string) (payloads []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.payloads {
		if strings.Contains(p, `"`+channel+`"`) {
			payloads = append(payloads, p)
		}
	}
	return payloads
}

// awaitHint waits for a hint about the channel; others may come before it.
func awaitHint(t *testing.T, c <-chan stream.Notification, channel string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case n := <-c:
			if n == hint(channel) {
				return
			}
		case <-deadline:
			t.Fatalf("no hint about %q came", channel)
		}
	}
}

func TestPostgresReplicasHearEachOther(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	a, b := startPostgres(t, url), startPostgres(t, url)
	stranger := startPostgres(t, testenv.Postgres(t))
	if stranger.channel == a.channel {
		t.Errorf("two schemas share the channel %q", a.channel)
	}
	fromB, fromA := listen(t, a.NotificationsBus, "x"), listen(t, b.NotificationsBus, "y")
	other := listen(t, stranger.NotificationsBus, "x")
	// Each answers the other's new marker.
	awaitHint(t, fromB, "x")
	awaitHint(t, fromA, "y")
	a.Notify("nobody's")
	for range 3 {
		b.Notify("x")
		awaitHint(t, fromB, "x")
		a.Notify("y")
		awaitHint(t, fromA, "y")
	}
	if sent := a.sent("nobody's"); sent != nil {
		t.Errorf("sent %q, which nobody listens to", sent)
	}
	if got := queued(other); got != nil {
		t.Errorf("another schema's replica got %v", got)
	}
}

func TestPostgresReplicaHearsAgainAfterItsConnectionWasEnded(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	a, b := startPostgres(t, url), startPostgres(t, url)
	c := listen(t, b.NotificationsBus, "x")
	awaitHint(t, c, "x")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tag, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name = 'build-tracker notifications' AND query LIKE '%' || $1 || '%' AND pid <> pg_backend_pid()`, `"`+a.channel+`"`)
	if err != nil || tag.RowsAffected() != 2 {
		t.Fatalf("%d connections ended, want 2; %v", tag.RowsAffected(), err)
	}
	for _, r := range []*pgReplica{a, b} {
		r.await(t, false)
		r.await(t, true)
	}
	queued(c)
	a.Notify("x")
	awaitHint(t, c, "x")
}

func TestPostgresTransportRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	const secret = "pa/ss:wörd"
	for name, o := range map[string]stream.PostgresOptions{
		"no channel":       {URL: "postgres://localhost/x"},
		"too long channel": {URL: "postgres://localhost/x", Channel: strings.Repeat("x", 64)},
		"no URL at all":    {URL: "postgres://me:" + secret + "@host:port/x", Channel: "x"},
	} {
		_, err := stream.NewPostgresTransport(o)
		if err == nil || strings.Contains(err.Error(), "pa") && strings.Contains(err.Error(), "rd") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestPostgresPasswordIsNotLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	warned := make(chan struct{}, 100)
	transport, err := stream.NewPostgresTransport(stream.PostgresOptions{
		// Port 1 on this machine: nobody is there.
		URL:     "postgres://me:hunter2@127.0.0.1:1/x?connect_timeout=1",
		Channel: "x",
		Send:    func(context.Context, string, []string) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	b := stream.NewNotificationsBus(stream.BusOptions{
		Transport: transport,
		Logger:    slog.New(signalling{slog.NewTextHandler(&log, nil), warned}),
	})
	select {
	case <-warned:
	case <-time.After(patience):
		t.Error("nothing was logged")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if got := log.String(); !strings.Contains(got, "127.0.0.1") || strings.Contains(got, "hunter2") || strings.Contains(got, "postgres://") {
		t.Errorf("want where it connects, without the password and the URL:\n%s", got)
	}
}

// signalling is a handler that says when it has handled a record.
type signalling struct {
	slog.Handler
	handled chan<- struct{}
}

func (s signalling) Handle(ctx context.Context, r slog.Record) error {
	err := s.Handler.Handle(ctx, r)
	s.handled <- struct{}{}
	return err
}
