package buildtracker

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/simulate"
	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// buildkiteAPI starts a stand-in that has a world's builds.
func buildkiteAPI(t *testing.T, o buildkiteapi.Options, world *traffic.World) *buildkiteapi.Server {
	t.Helper()
	s, err := buildkiteapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if world != nil {
		s.Load(world)
	}
	return s
}

// simulatedWorld is a history as it really is, delivered in order.
func simulatedWorld(t *testing.T, seed uint64, builds int, start time.Time) *traffic.World {
	t.Helper()
	history, err := simulate.New(simulate.Options{Seed: seed, Builds: builds, Start: start, Days: 1})
	if err != nil {
		t.Fatal(err)
	}
	world := new(traffic.World)
	for d := range history.Deliveries() {
		world.Deliveries = append(world.Deliveries, traffic.Delivery{Event: d.Event, Body: d.Body, BuildID: d.Build})
	}
	for _, b := range history.Truth() {
		world.Builds = append(world.Builds, traffic.Truth{ID: b.ID, Organization: b.Organization, Pipeline: b.Pipeline, Number: b.Number})
	}
	return world
}

// deliver makes a store of deliveries, folded.
func deliver(t *testing.T, s stores, deliveries []traffic.Delivery) {
	t.Helper()
	r := newRig(t, s)
	defer r.close()
	r.append(deliveries...)
	r.fold()
}

// finishedBuilds is how the builds that have finished stand; where in the stream
// their last event is does not count.
func finishedBuilds(t *testing.T, s stores, world *traffic.World) map[string]build.View {
	t.Helper()
	store, client := s.open(t)
	defer client.Close()
	defer store.Close()
	views := buildViews(t, store, idsOf(world))
	for id, v := range views {
		if v.FinishedAt == nil {
			delete(views, id)
			continue
		}
		v.LastSeq = 0
		views[id] = v
	}
	return views
}

// backfillAll backfills every organization of a world.
func backfillAll(t *testing.T, s stores, api *buildkiteapi.Server, world *traffic.World, since time.Time) (all Backfilled) {
	t.Helper()
	organizations := make(map[string]bool)
	for _, b := range world.Builds {
		organizations[b.Organization] = true
	}
	for organization := range organizations {
		done := backfillOn(t, s, api, config.Backfill{Organization: organization, Since: since})
		all.Builds += done.Builds
		all.Events += done.Events
	}
	return all
}

// backfillOn backfills as the command does.
func backfillOn(t *testing.T, s stores, api *buildkiteapi.Server, what config.Backfill) Backfilled {
	t.Helper()
	done, err := tryBackfill(t.Context(), s, api, what)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func tryBackfill(ctx context.Context, s stores, api *buildkiteapi.Server, what config.Backfill) (Backfilled, error) {
	cfg := &config.Config{
		DataDir: s.dir, DatabaseURL: config.Secret(s.database), RedisURL: config.Secret(s.redis),
		BuildTTL: time.Hour, Notices: true, NoticeMaxAge: 24 * time.Hour,
		BuildkiteAPI: config.BuildkiteAPI{Token: config.Secret(api.Token()), URL: api.URL()},
	}
	return Backfill(ctx, cfg, Options{Logger: slog.New(slog.DiscardHandler)}, what, nil)
}

// However deliveries are lost, one backfill makes builds and streaks what they are
// where none was, and a second one finds nothing missing.
func TestBackfillMakesUpForWhatWasLost(t *testing.T) {
	t.Parallel()
	start := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	for seed := range uint64(3) {
		eachStores(t, func(t *testing.T, s stores) {
			// Buildkite's clock is ahead of ours, and it lists no further than that.
			ahead := time.Duration(seed) * 20 * time.Minute
			world := simulatedWorld(t, seed+1, 60, start.Add(ahead))
			api := buildkiteAPI(t, buildkiteapi.Options{
				Depth: 50, UserLimit: -1, OrganizationLimit: -1, Now: func() time.Time { return time.Now().Add(ahead) },
			}, world)
			whole := s.another(t)
			deliver(t, whole, world.Deliveries)

			dice := rand.New(rand.NewPCG(seed, 1))
			var came []traffic.Delivery
			for _, d := range world.Deliveries {
				if dice.IntN(10) < 6 {
					came = append(came, d)
				}
			}
			deliver(t, s, came)
			want := finishedBuilds(t, whole, world)
			if cmp.Equal(want, finishedBuilds(t, s, world)) {
				t.Fatal("nothing is missing: the test tests nothing")
			}
			api.Fail(503, 2)

			first := backfillAll(t, s, api, world, start.Add(-time.Hour))
			if diff := cmp.Diff(want, finishedBuilds(t, s, world)); diff != "" {
				t.Errorf("builds after a backfill (-none lost +backfilled):\n%s", diff)
			}
			if first.Events == 0 || first.Builds < int64(len(want)) {
				t.Errorf("the first backfill did %+v of %d builds", first, len(want))
			}
			if second := backfillAll(t, s, api, world, start.Add(-time.Hour)); second.Events != 0 || second.Builds != first.Builds {
				t.Errorf("the second backfill did %+v, want the same builds and no event", second)
			}
		})
	}
}

// What is appended says where it comes from, holds no secret, and tells of jobs
// before the end of their build.
func TestBackfilledEventsSayWhereTheyComeFrom(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	world := traffic.New(rand.New(rand.NewPCG(1, 2)).IntN, traffic.Options{Builds: 10})
	api := buildkiteAPI(t, buildkiteapi.Options{}, world)
	done := backfillOn(t, s, api, config.Backfill{Organization: "acme", Pipeline: "web", Since: time.Now().Add(-24 * time.Hour)})
	r := startServer(t, s)
	r.settle()
	var events []struct {
		Type, Pipeline string
		BuildID        string
		Data           json.RawMessage
	}
	r.read("/api/events?limit=1000", &events)
	n := int64(0)
	finished := make(map[string]bool)
	for _, e := range events {
		if e.Type != "job.finished" && e.Type != "build.finished" {
			continue
		}
		n++
		var data struct {
			Source   string
			Build    struct{ ID string }
			Pipeline struct {
				Provider struct {
					WebhookURL string `json:"webhook_url"`
				}
			}
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatal(err)
		}
		if data.Source != "reconcile" || e.Pipeline != "web" || data.Pipeline.Provider.WebhookURL == "https://webhook.buildkite.com/deliver/secret" {
			t.Errorf("%s of %s: %s", e.Type, e.Pipeline, e.Data)
		}
		if finished[data.Build.ID] {
			t.Errorf("%s comes after the end of its build", e.Type)
		}
		finished[data.Build.ID] = e.Type == "build.finished"
	}
	if n != done.Events || n == 0 {
		t.Errorf("%d events of Buildkite's are recorded, want %d", n, done.Events)
	}
}

func TestBackfillOverHTTPSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	api := storyAPI(t, tell("web", 1).finished("failed", 5))
	with := startServer(t, embeddedStores(t), reconciling(api, "nobody"))
	without := startServer(t, embeddedStores(t))
	const since = "&since=2026-01-05T00:00:00Z"
	for name, c := range map[string]struct {
		server *running
		query  string
		status int
	}{
		"no organization": {with, "pipeline=web" + since, 400},
		"a path":          {with, "org=acme/web" + since, 400},
		"no beginning":    {with, "org=acme", 400},
		"a strange end":   {with, "org=acme&until=now" + since, 400},
		"no token":        {without, "org=acme" + since, 409},
	} {
		if got := c.server.do(request{path: "/-/backfill?" + c.query}); got.status != c.status {
			t.Errorf("%s: %d, want %d: %s", name, got.status, c.status, got.body)
		}
	}
	got := with.do(request{path: "/-/backfill?org=acme" + since})
	if want := `{"done":1,"total":1,"finished":true,"builds":1,"events":1}` + "\n"; got.status != 200 || !strings.HasSuffix(got.body, want) {
		t.Errorf("a backfill answers %d: %s\nwant at its end %s", got.status, got.body, want)
	}
}
