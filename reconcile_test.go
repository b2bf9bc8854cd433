package buildtracker

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// storyAPI is a stand-in that has the builds of deliveries.
func storyAPI(t *testing.T, deliveries ...traffic.Delivery) *buildkiteapi.Server {
	t.Helper()
	world := &traffic.World{Deliveries: deliveries}
	seen := make(map[string]bool)
	for _, d := range deliveries {
		if seen[d.BuildID] {
			continue
		}
		seen[d.BuildID] = true
		pipeline, _, _ := strings.Cut(d.BuildID, "-")
		world.Builds = append(world.Builds, traffic.Truth{ID: d.BuildID, Organization: "acme", Pipeline: pipeline})
	}
	return buildkiteAPI(t, buildkiteapi.Options{}, world)
}

// reconciling has a server ask a stand-in.
func reconciling(api *buildkiteapi.Server, organizations ...string) func(*config.Config) {
	return func(c *config.Config) {
		c.BuildkiteAPI = config.BuildkiteAPI{Token: config.Secret(api.Token()), URL: api.URL()}
		c.Reconcile = config.Reconcile{Interval: time.Hour, Organizations: organizations}
	}
}

// health reads how the webhook goes.
func (r *running) webhookHealth() (h webhookHealth) {
	r.t.Helper()
	r.read("/api/health/webhooks", &h)
	return h
}

// awaitChecked waits until Buildkite's builds were compared.
func (r *running) awaitChecked() (h webhookHealth) {
	r.t.Helper()
	await(r.t, "a look at Buildkite's builds", func() (bool, error) {
		h = r.webhookHealth()
		return h.ReconciledAt != nil, nil
	})
	return h
}

func TestScheduleFetchesWhatNoWebhookTold(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		slack := testenv.NewSlack(t, testenv.SlackOptions{Burst: -1})
		young, lost, old := tell("web", 3), tell("web", 2), tell("web", 1)
		api := storyAPI(t, old.finished("failed", 25*60), lost.job("test", "failed"), lost.finished("failed", 10), young.finished("failed", 0))
		r := startServer(t, s, reconciling(api, "acme"), func(c *config.Config) {
			c.SlackToken, c.SlackChannel, c.SlackAPIURL = config.Secret(slack.Token()), "builds", slack.URL()
		})
		h := r.awaitChecked()
		r.settle()
		if h.Status != "losing" || h.BuildsCompared != 1 || h.EventsMissing != 2 {
			t.Errorf("the webhook is %+v", h)
		}
		r.expectStreaks(map[int]string{2: "failed 1"})
		for number, why := range map[string]string{"1": "it is too old to be looked at", "3": "its webhook may be under way"} {
			if got := r.get("/api/builds/acme/web/" + number); got.status != http.StatusNotFound {
				t.Errorf("build %s was fetched: %s", number, why)
			}
		}
		if said := slack.Messages(); len(said) != 1 || !strings.HasPrefix(said[0].Text, ":red_circle: Build 2 failed") {
			t.Errorf("messages: %+v", said)
		}
	})
}

// A look that is cut off goes on where it stopped, on another replica too.
func TestScheduleGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	var story []traffic.Delivery
	for number := range 120 {
		b := tell("web", number+1)
		b.fields["created_at"] = time.Now().Add(time.Duration(number-400) * time.Second).UTC().Format(time.RFC3339)
		story = append(story, b.finished("passed", 5))
	}
	api := storyAPI(t, story...)
	pages := make(chan string, 100)
	api.Before(func(c buildkiteapi.Call) {
		pages <- c.Target
		if len(pages) == 2 {
			api.Cut(-1)
		}
	})
	first := startServer(t, s, reconciling(api, "acme"))
	await(t, "the second page to be asked for", func() (bool, error) { return api.CountCalls("cut") > 0, nil })
	first.stop()
	api.Cut(0)
	api.Before(nil)
	second := startServer(t, s, reconciling(api, "acme"))
	if h := second.awaitChecked(); h.BuildsCompared != 121 || h.EventsMissing != 120 { // the last build of the first page is seen again
		t.Errorf("the webhook is %+v", h)
	}
	calls := api.Calls()
	if target := calls[len(calls)-1].Target; !strings.Contains(target, "created_to=") {
		t.Errorf("the second server began anew: %s", target)
	}
	second.settle()
	if n := len(second.allBuilds()); n != 120 {
		t.Errorf("%d builds are there, want 120", n)
	}
}

// What was refused while the database was away is fetched when it is back, and
// announced.
func TestRefusedDeliveriesAreFetchedOnRecovery(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	slack := testenv.NewSlack(t, testenv.SlackOptions{Burst: -1})
	refused, next := tell("web", 1), tell("web", 2)
	api := storyAPI(t, refused.job("test", "failed"), refused.finished("failed", 0))
	r := startServer(t, s, reconciling(api, "acme"), func(c *config.Config) {
		c.SlackToken, c.SlackChannel, c.SlackAPIURL = config.Secret(slack.Token()), "builds", slack.URL()
	})
	r.awaitChecked() // it finished just now: not yet
	now := time.Now()
	r.server.refusals.refused(now.Add(-time.Minute))
	if h := r.webhookHealth(); h.Status != "refusing" || len(h.Refused) != 1 {
		t.Errorf("the webhook is %+v", h)
	}
	r.record(next.event("build.running", nil))
	await(t, "the refused build", func() (bool, error) { return len(slack.Messages()) == 1, nil })
	if text := slack.Messages()[0].Text; !strings.HasPrefix(text, ":red_circle: Build 1 failed") {
		t.Errorf("the message says %q", text)
	}
	await(t, "the interval to be forgotten", func() (bool, error) { return len(r.webhookHealth().Refused) == 0, nil })
	if h := r.webhookHealth(); h.Status != "ok" {
		t.Errorf("our own refusals are the webhook's fault: %+v", h)
	}
}

func TestRefusalIsKeptWhenTheStoreTakesNothing(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	if err := r.server.db.Close(); err != nil {
		t.Fatal(err)
	}
	d := tell("web", 1).event("build.running", nil)
	isProblem(t, r.do(request{body: d.Body, header: map[string]string{"X-Buildkite-Event": d.Event}}), http.StatusServiceUnavailable)
	if n := len(quietRefusals(r.server.cfg.DataDir).all()); n != 1 {
		t.Errorf("%d intervals are on disk, want 1", n)
	}
}

// An interrupted backfill is gone on with, and what finished since is not left out.
func TestBackfillGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	var story []traffic.Delivery
	for number := range 150 {
		b := tell("web", number+1)
		b.fields["created_at"] = time.Now().Add(time.Duration(number-600) * time.Second).UTC().Format(time.RFC3339)
		story = append(story, b.finished("passed", 5))
	}
	api := storyAPI(t, story...)
	ctx, cancel := context.WithCancel(t.Context())
	api.Before(func(buildkiteapi.Call) {
		if len(api.Calls()) == 1 {
			cancel()
		}
	})
	what := config.Backfill{Organization: "acme", Since: time.Now().Add(-24 * time.Hour)}
	if _, err := tryBackfill(ctx, s, api, what); !errors.Is(err, context.Canceled) {
		t.Fatalf("the interrupted backfill ended with %v", err)
	}
	api.Before(nil)
	asked := len(api.Calls())
	late := tell("web", 200)
	late.finished("failed", 0)
	late.fields["created_at"] = time.Now().UTC().Format(time.RFC3339)
	api.Put("acme", "web", late.fields)
	what.Since = what.Since.Add(time.Minute) // an age means a later time by now
	if done := backfillOn(t, s, api, what); done.Events != 101 {
		t.Errorf("the second backfill did %+v, want 101 events", done)
	}
	if target := api.Calls()[asked].Target; !strings.Contains(target, "created_to=") {
		t.Errorf("it began anew: %s", target)
	}
	if done := backfillOn(t, s, api, what); done.Events != 0 || done.Builds != 151 {
		t.Errorf("the third backfill did %+v, want all builds and no event", done)
	}
}

// An organization that is gone from Buildkite does not keep the others' builds away.
func TestScheduleComesByAnOrganizationThatIsGone(t *testing.T) {
	t.Parallel()
	api := storyAPI(t, tell("web", 1).finished("failed", 5))
	r := startServer(t, embeddedStores(t), reconciling(api))
	gone := tell("old", 1).event("build.running", nil)
	gone.Body = []byte(strings.ReplaceAll(string(gone.Body), "acme", "aaa"))
	r.record(gone, tell("web", 2).event("build.running", nil))
	r.settle()
	now := time.Now()
	r.server.refusals.refused(now.Add(-time.Minute))
	r.server.refusals.taken(now)
	await(t, "what was refused to be fetched", func() (bool, error) { return len(r.webhookHealth().Refused) == 0, nil })
	r.settle()
	r.expectStreaks(map[int]string{1: "failed 1"})
	if !strings.Contains(r.log.String(), "Buildkite shows no builds of an organization") {
		t.Error("the log does not tell of the organization that is gone")
	}
}
