package buildtracker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
	"github.com/build-tracker/build-tracker/notify"
)

// stores are a pair of stores that servers share.
type stores struct {
	name     string
	database string // a Postgres URL; empty is SQLite in dir
	dir      string
	redis    string
}

// eachStores runs a test on the embedded pair and on the real one.
func eachStores(t *testing.T, test func(t *testing.T, s stores)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, embeddedStores(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, stores{name: "postgres", database: testenv.Postgres(t), redis: testenv.Redis(t)})
	})
}

// embeddedStores is SQLite and an embedded Redis that outlives the servers of
// the test, as a real one would.
func embeddedStores(t testing.TB) stores {
	t.Helper()
	embedded, err := startEmbeddedRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { embedded.close() })
	return stores{name: "embedded", dir: t.TempDir(), redis: embedded.url}
}

// another returns a pair of the same kind, empty.
func (s stores) another(t testing.TB) stores {
	t.Helper()
	if s.database == "" {
		return embeddedStores(t)
	}
	return stores{name: s.name, database: testenv.Postgres(t), redis: testenv.Redis(t)}
}

func (s stores) open(t testing.TB) (db.Store, redis.UniversalClient) {
	t.Helper()
	store, err := s.openStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client, err := dialRedis(s.redis)
	if err != nil {
		t.Fatal(err)
	}
	return store, client
}

func (s stores) openStore(ctx context.Context) (db.Store, error) {
	log := slog.New(slog.DiscardHandler)
	if s.database == "" {
		if err := fillEmpty(s.dir); err != nil {
			return nil, err
		}
		return db.OpenSQLite(ctx, db.SQLiteOptions{Dir: s.dir})
	}
	return db.OpenPostgres(ctx, db.PostgresOptions{URL: s.database, Logger: log})
}

// migrated is the file of an empty embedded database. To migrate one costs more than
// most tests do with it.
var migrated = sync.OnceValues(func() (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "build-tracker-migrated-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := db.OpenSQLite(context.Background(), db.SQLiteOptions{Dir: dir})
	if err != nil {
		return nil, err
	}
	if err := store.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "events.db"))
})

// fillEmpty puts a migrated database where there is none.
func fillEmpty(dir string) error {
	empty, err := migrated()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "events.db"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(empty)
	return errors.Join(err, f.Close())
}

// rig is the inside of a server whose tracker is moved by hand.
type rig struct {
	t       testing.TB
	db      db.Store
	redis   redis.UniversalClient
	tracker *Tracker
	sender  *notify.Sender
	said    *recorder // nil when messages go elsewhere
	synced  bool
}

func newRig(t testing.TB, s stores) *rig {
	t.Helper()
	said := newRecorder()
	r := newRigWith(t, s, said)
	r.said = said
	return r
}

// newRigWith returns a rig that sends its messages elsewhere.
func newRigWith(t testing.TB, s stores, messenger notify.Messenger) *rig {
	t.Helper()
	store, client := s.open(t)
	r := &rig{t: t, db: store, redis: client}
	r.sender = notify.NewSender(notify.SenderOptions{
		Queue: noticeQueue{store, func(string) {}}, Builds: committedBuilds{store}, Messenger: messenger,
		Logger: slog.New(slog.DiscardHandler),
	})
	r.tracker = newTracker(store, client, trackerOptions{
		Logger: slog.New(slog.DiscardHandler), Metrics: newMetrics(), BuildTTL: time.Hour,
		Policy: notify.Policy{MaxAge: 24 * time.Hour}, Committed: r.sender.Wake, Appended: func(string) {},
	})
	return r
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.redis.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.db.Close(); err != nil {
		r.t.Error(err)
	}
}

// append records deliveries, in order, and returns what became of them.
func (r *rig) append(deliveries ...traffic.Delivery) []db.Appended {
	r.t.Helper()
	var out []db.Appended
	for _, d := range deliveries {
		at, err := appendDelivery(r.t.Context(), r.db, d)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, at)
	}
	return out
}

func appendDelivery(ctx context.Context, to appender, d traffic.Delivery) (db.Appended, error) {
	p, err := buildkite.Parse(d.Body, buildkite.Options{})
	if err != nil {
		return db.Appended{}, err
	}
	return to.Append(ctx, db.Delivery{
		Key: p.Key, Organization: p.Organization, Pipeline: p.Pipeline, Number: p.Number,
		BuildID: p.BuildID, Type: p.Event, Data: p.Data,
	})
}

// fold folds all events there are.
func (r *rig) fold() {
	r.t.Helper()
	ctx := r.t.Context()
	for {
		if !r.synced {
			if err := r.tracker.sync(ctx); err != nil {
				r.t.Fatal(err)
			}
			r.synced = true
		}
		n, err := r.tracker.step(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			// On a loaded machine a batch may take too long. The tracker tries half of
			// it then.
			r.synced = false
			continue
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// speak sends all notices that are due.
func (r *rig) speak() {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	var sending sync.WaitGroup
	sending.Go(func() { r.sender.Run(ctx) })
	await(r.t, "no notice to be due", func() (bool, error) {
		n, err := r.db.CountDue(ctx)
		return n == 0, err
	})
	stop()
	sending.Wait()
}

// await looks every few milliseconds until a condition holds, for longer than
// any machine should need.
func await(t testing.TB, what string, holds func() (bool, error)) {
	t.Helper()
	const limit = 5 * time.Minute
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		ok, err := holds()
		if ok && err == nil {
			return
		}
		last = err
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %s for %s; the last error was %v", limit, what, last)
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// builds returns the stored builds as users see them, by id.
func (r *rig) builds(ids []string) map[string]build.View {
	r.t.Helper()
	return buildViews(r.t, r.db, ids)
}

func buildViews(t testing.TB, store db.Store, ids []string) map[string]build.View {
	t.Helper()
	rows, err := store.Builds(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	views := make(map[string]build.View, len(rows))
	for _, row := range rows {
		b, err := build.Decode(row.Snapshot)
		if err != nil {
			t.Fatal(err)
		}
		views[b.ID] = b.View()
	}
	return views
}

func idsOf(w *traffic.World) []string {
	ids := make([]string, len(w.Builds))
	for i, b := range w.Builds {
		ids[i] = b.ID
	}
	return ids
}

// recorder is a channel that takes every message.
type recorder struct {
	mu       sync.Mutex
	messages map[notify.Subject][]notify.Message // versions, by what they are about
	posts    map[notify.Subject]int
}

func newRecorder() *recorder {
	return &recorder{messages: make(map[notify.Subject][]notify.Message), posts: make(map[notify.Subject]int)}
}

func (r *recorder) Channel() string { return "C0" }

func (r *recorder) Post(_ context.Context, m notify.Message, about notify.Subject) (notify.Ref, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages[about] = append(r.messages[about], m)
	r.posts[about]++
	return notify.Ref{Channel: "C0", TS: fmt.Sprint(about.BuildID, ".", r.posts[about])}, nil
}

func (r *recorder) Update(_ context.Context, ref notify.Ref, m notify.Message, about notify.Subject) (notify.Ref, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages[about] = append(r.messages[about], m)
	return ref, nil
}

func (r *recorder) Find(_ context.Context, s notify.Search) (notify.Found, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.posts[s.Subject]
	if n == 0 {
		return notify.Found{}, nil
	}
	return notify.Found{Ref: notify.Ref{Channel: "C0", TS: fmt.Sprint(s.Subject.BuildID, ".", n)}}, nil
}

func (r *recorder) Delete(context.Context, notify.Ref) error { return nil }
func (r *recorder) Mention(context.Context, string) string   { return "" }

// last returns the text and blocks of each build's message as it stands.
func (r *recorder) last(t testing.TB) map[string]string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]string)
	for about, versions := range r.messages {
		m := versions[len(versions)-1]
		blocks, err := json.Marshal(m.Blocks)
		if err != nil {
			t.Fatal(err)
		}
		out[about.BuildID] = m.Text + "\n" + string(blocks)
	}
	return out
}
