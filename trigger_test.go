package buildtracker

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/internal/testenv/buildkiteapi"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

var metricsPipeline = config.MetricsPipeline{
	Organization: "acme", Pipeline: "metrics", Branch: "trunk", Commit: "HEAD", EnvPrefix: "TRIGGERED_FROM_BUILD_",
}

func TestTriggerReactor(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	finished := func(organization, pipeline, state string, from build.Origin) *build.Build {
		b := build.New("b", organization, pipeline, 7)
		b.Apply(&build.Facts{Build: build.BuildFacts{ID: "b", State: state, FinishedAt: at, TriggeredFrom: from}})
		return b
	}
	again := finished("acme", "web", "failed", build.Origin{})
	again.Apply(&build.Facts{Build: build.BuildFacts{ID: "b", State: "passed", FinishedAt: at.Add(time.Hour)}})
	blocked := build.New("b", "acme", "web", 7)
	blocked.Apply(&build.Facts{Build: build.BuildFacts{ID: "b", State: "passed", Blocked: true, FinishedAt: at}})
	ofMetrics := build.Origin{BuildID: "m", Number: 1, Pipeline: "metrics"}
	ofWeb := build.Origin{BuildID: "p", Number: 1, Pipeline: "web"}
	for name, test := range map[string]struct {
		touched Touched
		want    bool
	}{
		"passed":                         {Touched{Build: finished("acme", "web", "passed", build.Origin{})}, true},
		"failed":                         {Touched{Build: finished("acme", "web", "failed", build.Origin{})}, true},
		"fixed, once more":               {Touched{Build: again}, true},
		"blocked":                        {Touched{Build: blocked}, true},
		"a state that nobody knows":      {Touched{Build: finished("acme", "web", "not_run", build.Origin{})}, true},
		"canceled":                       {Touched{Build: finished("acme", "web", "canceled", build.Origin{})}, false},
		"runs":                           {Touched{Build: build.New("b", "acme", "web", 7)}, false},
		"another's streak":               {Touched{Build: finished("acme", "web", "failed", build.Origin{}), StreakOnly: true}, false},
		"the metrics pipeline":           {Touched{Build: finished("acme", "metrics", "passed", build.Origin{})}, false},
		"its name elsewhere":             {Touched{Build: finished("other", "metrics", "passed", build.Origin{})}, true},
		"its child":                      {Touched{Build: finished("acme", "web", "passed", ofMetrics)}, false},
		"a child of another":             {Touched{Build: finished("acme", "web", "passed", ofWeb)}, true},
		"its grandchild":                 {Touched{Build: finished("acme", "web", "passed", ofWeb), Parent: finished("acme", "web", "passed", ofMetrics)}, false},
		"a grandchild of another":        {Touched{Build: finished("acme", "web", "passed", ofWeb), Parent: finished("acme", "web", "passed", ofWeb)}, true},
		"a child of its name, elsewhere": {Touched{Build: finished("other", "web", "passed", ofMetrics)}, true},
	} {
		got := triggerReactor(metricsPipeline)(test.touched)
		var want Effects
		if test.want {
			want.Jobs = []db.Job{{Kind: triggerKind, Key: "b"}}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// triggerRig is a rig with a Buildkite that has a metrics pipeline.
type triggerRig struct {
	*rig
	api     *buildkiteapi.Server
	trigger *trigger
	log     *logged
}

func newTriggerRig(t *testing.T, s stores) *triggerRig {
	t.Helper()
	r := &triggerRig{rig: newRig(t, s), api: metricsBuildkite(t), log: new(logged)}
	t.Cleanup(r.close)
	r.tracker.reactors = append(r.tracker.reactors, triggerReactor(metricsPipeline))
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	creator, err := buildkite.NewCreator(buildkite.RESTOptions{Token: r.api.Token(), URL: r.api.URL(), Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	r.trigger = &trigger{
		to: metricsPipeline, store: r.db, builds: creator, metrics: &newMetrics().jobs, log: slog.New(slog.NewTextHandler(r.log, nil)),
		poll: 5 * time.Millisecond, retryAfter: func(int) time.Duration { return 0 },
	}
	return r
}

// metricsBuildkite is a Buildkite that has the metrics pipeline.
func metricsBuildkite(t *testing.T) *buildkiteapi.Server {
	t.Helper()
	api, err := buildkiteapi.New(buildkiteapi.Options{OrganizationLimit: -1, UserLimit: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.Close(); err != nil {
			t.Error(err)
		}
	})
	api.PutPipeline("acme", "metrics")
	return api
}

// work works until the test ends, or stop is called.
func (r *triggerRig) work() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var working sync.WaitGroup
	working.Go(func() { r.trigger.run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); working.Wait() })
	r.t.Cleanup(stop)
	return stop
}

func (r *triggerRig) awaitNoJobs() {
	r.t.Helper()
	await(r.t, "every job to end", func() (bool, error) {
		n, err := r.db.CountJobs(r.t.Context())
		return n == 0, err
	})
}

func (r *triggerRig) results(result string) int {
	return int(testutil.ToFloat64(r.trigger.metrics.triggers.WithLabelValues(result)))
}

// posted returns for which builds the metrics pipeline was triggered.
func posted(api *buildkiteapi.Server) []string {
	ids := []string{}
	for _, b := range api.Posted() {
		ids = append(ids, b.MetaData[triggeredFrom])
	}
	slices.Sort(ids)
	return ids
}

func wantPosted(t *testing.T, api *buildkiteapi.Server, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, posted(api)); diff != "" {
		t.Errorf("triggered for (-want +got):\n%s", diff)
	}
}

func TestTriggerTellsOfTheBuild(t *testing.T) {
	t.Parallel()
	const hash = "0123456789abcdef0123456789abcdef01234567"
	change := func(b *told) *told {
		maps.Copy(b.fields, map[string]any{"branch": "feat/x", "commit": hash, "pull_request": map[string]any{"id": "12", "base": "main", "repository": "git://github.com/fork/web.git"}})
		return b
	}
	r := newTriggerRig(t, embeddedStores(t))
	plain, ofChange := tell("web", 1), change(tell("web", 2))
	for _, d := range []traffic.Delivery{plain.finished("failed", 2), ofChange.finished("passed", 1)} {
		d.Body = []byte(strings.Replace(string(d.Body), `"pipeline":{`, `"pipeline":{"repository":"git@github.com:acme/web.git",`, 1))
		r.append(d)
	}
	r.fold()
	r.work()
	r.awaitNoJobs()
	want := map[string]buildkiteapi.Build{
		"web-1": {Message: "web #1: failed", Env: map[string]string{
			"ID": "web-1", "NUMBER": "1", "PIPELINE_SLUG": "web", "COMMIT": "abc", "COMMIT_URL": "",
			"BRANCH": "main", "BRANCH_URL": "https://github.com/acme/web/tree/main",
		}},
		"web-2": {Message: "web #2: passed", Env: map[string]string{
			"ID": "web-2", "NUMBER": "2", "PIPELINE_SLUG": "web", "COMMIT": hash, "COMMIT_URL": "https://github.com/acme/web/commit/" + hash,
			"BRANCH": "feat/x", "BRANCH_URL": "https://github.com/acme/web/tree/feat/x",
			"PR_NUMBER": "12", "PR_URL": "https://github.com/acme/web/pull/12", "BASE_BRANCH": "main",
		}},
	}
	got := make(map[string]buildkiteapi.Build)
	for _, b := range r.api.Posted() {
		if b.Branch != "trunk" || b.Commit != "HEAD" || b.Organization != "acme" || b.Pipeline != "metrics" || len(b.MetaData) != 1 {
			t.Errorf("build %+v", b)
		}
		env := make(map[string]string)
		for name, value := range b.Env {
			env[strings.TrimPrefix(name, "TRIGGERED_FROM_BUILD_")] = value
		}
		got[b.MetaData[triggeredFrom]] = buildkiteapi.Build{Message: b.Message, Env: env}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("builds (-want +got):\n%s", diff)
	}
}

func TestTriggerIsOnceABuild(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newTriggerRig(t, s)
		stop := r.work()
		one, two := tell("web", 1), tell("web", 2)
		for _, d := range []traffic.Delivery{
			one.event("build.running", nil), one.finished("failed", 9), two.finished("canceled", 8),
			one.job("test", "failed"), one.finished("passed", 7), tell("web", 3).event("build.running", nil),
		} {
			r.append(d, d)
			r.fold()
		}
		r.awaitNoJobs()
		wantPosted(t, r.api, "web-1")
		stop()

		r.append(one.finished("passed", 6), two.finished("passed", 5)) // a retry of the canceled one
		r.fold()
		r.work()
		r.awaitNoJobs()
		wantPosted(t, r.api, "web-1", "web-2")
		if n := len(r.api.Calls()); n != 2 {
			t.Errorf("Buildkite was called %d times, want 2", n)
		}
	})
}

// A tracker that dies before, in or after a batch leaves one job, also where the
// batch is done again.
func TestTriggerSurvivesACrashAtAnyStepOfABatch(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		const most = 20
		for at := range most {
			s := s.another(t)
			store, client := s.open(t)
			l := &life{t: t, crash: &crash{at: at}, redis: client}
			client.AddHook(crashRedis{l.crash})
			l.db = crashStore{store, l.crash}
			l.tracker = metricsTracker(l.db, client)
			if _, err := appendDelivery(t.Context(), store, tell("web", 1).finished("failed", 9)); err != nil {
				t.Fatal(err)
			}
			l.fold()

			again, err := dialRedis(s.redis)
			if err != nil {
				t.Fatal(err)
			}
			next := &life{t: t, crash: &crash{at: -1}, db: store, redis: again, tracker: metricsTracker(store, again)}
			next.fold()
			if n, err := store.CountJobs(t.Context()); n != 1 || err != nil {
				t.Errorf("after a crash at %q %d jobs wait, %v; want 1", l.crash.points, n, err)
			}
			again.Close()
			l.end()
			if !l.crash.gone() { // past the last step
				if !slices.Contains(l.crash.points, "commit, after") {
					t.Errorf("the steps are %q", l.crash.points)
				}
				return
			}
		}
		t.Errorf("a batch has more than %d steps", most)
	})
}

func metricsTracker(store foldStore, client redis.UniversalClient) *Tracker {
	return newTracker(store, client, trackerOptions{
		Logger: slog.New(slog.DiscardHandler), Metrics: newMetrics(), BuildTTL: time.Hour,
		Committed: func() {}, Appended: func(string) {}, MetricsPipeline: metricsPipeline,
	})
}

// finishBuilds has n builds finish and returns their ids.
func (r *triggerRig) finishBuilds(n int) (ids []string) {
	r.t.Helper()
	for i := range n {
		b := tell("web", i+1)
		ids = append(ids, b.id())
		r.append(b.finished("passed", 1))
	}
	r.fold()
	return ids
}

func TestTriggerWhoseAnswerIsLostIsFoundAgain(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newTriggerRig(t, s)
		r.api.LoseAnswers(6)
		want := r.finishBuilds(10)
		r.work()
		r.awaitNoJobs()
		wantPosted(t, r.api, want...)
		if found, made := r.results(triggerFound), r.results(triggered); found != 6 || made != 4 {
			t.Errorf("%d were found and %d made, want 6 and 4", found, made)
		}
	})
}

func TestTriggersWaitUntilBuildkiteIsBack(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newTriggerRig(t, s)
		r.api.Fail(http.StatusServiceUnavailable, -1)
		want := r.finishBuilds(5)
		r.work()
		await(t, "calls that fail", func() (bool, error) { return r.api.CountCalls("503") >= 12, nil })
		r.api.Cut(3)
		r.api.Fail(0, 0)
		r.awaitNoJobs()
		wantPosted(t, r.api, want...)
	})
}

func TestTriggerThatIsRefusedIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	r := newTriggerRig(t, embeddedStores(t))
	r.trigger.to.Pipeline = "measures" // which is not there
	want := r.finishBuilds(1)
	r.work()
	await(t, "two refusals", func() (bool, error) { return r.results(triggerRefuse) >= 2, nil })
	r.api.PutPipeline("acme", "measures")
	r.awaitNoJobs()
	wantPosted(t, r.api, want...)
	if text := r.log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "no such organization or pipeline") || strings.Contains(text, r.api.Token()) {
		t.Errorf("the log:\n%s", text)
	}
}

func TestTriggerThatIsGivenUpIsTold(t *testing.T) {
	t.Parallel()
	r := newTriggerRig(t, embeddedStores(t))
	r.api.Fail(http.StatusBadGateway, -1)
	r.finishBuilds(1)
	r.work()
	r.awaitNoJobs()
	if n := r.results(triggerGiveUp); n != 1 {
		t.Errorf("%d were given up, want 1", n)
	}
	if text := r.log.String(); !strings.Contains(text, "not tried again") {
		t.Errorf("the log:\n%s", text)
	}
}

// What the metrics pipeline triggers, in however many steps, triggers it no more;
// also where webhooks tell of a build before, or never of, the one above it.
func TestTriggerHasNoLoop(t *testing.T) {
	t.Parallel()
	metrics := tell("metrics", 1)
	child := tell("web", 1).from(metrics)
	grandchild := tell("deploy", 1).from(child)
	great := tell("smoke", 1).from(grandchild)
	family := []*told{metrics, child, grandchild, great}
	for name, told := range map[string][]int{
		"all are told of":               {0, 1, 2, 3},
		"from below":                    {3, 2, 1, 0},
		"only the lowest is":            {3},
		"one in the middle never is":    {0, 1, 3},
		"the metrics pipeline never is": {1, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTriggerRig(t, embeddedStores(t))
			for _, b := range family {
				r.api.Put("acme", b.pipeline, maps.Clone(b.fields))
			}
			stop := r.work()
			for _, i := range told {
				b := *family[i]
				b.fields = maps.Clone(b.fields)
				r.append(b.finished("passed", 1))
				r.fold()
			}
			other := tell("web", 2).from(tell("web", 1000)) // nobody knows that one
			r.append(other.finished("passed", 1))
			r.fold()
			r.awaitNoJobs()
			stop()
			wantPosted(t, r.api, other.id())
		})
	}
}

func TestTriggersThatWaitAreMadeByTheNextServer(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		before := newRig(t, s)
		before.tracker.reactors = append(before.tracker.reactors, triggerReactor(metricsPipeline))
		var want []string
		for i := range 5 {
			b := tell("web", i+1)
			want = append(want, b.id())
			before.append(b.finished("passed", 1))
		}
		before.fold()
		before.close()

		api := metricsBuildkite(t)
		startServer(t, s, withMetricsPipeline(api))
		await(t, "the triggers", func() (bool, error) { return len(api.Posted()) == len(want), nil })
		wantPosted(t, api, want...)
	})
}

func withMetricsPipeline(api *buildkiteapi.Server) func(*config.Config) {
	return func(c *config.Config) {
		c.MetricsPipeline = metricsPipeline
		c.BuildkiteAPI = config.BuildkiteAPI{Token: config.Secret(api.Token()), URL: api.URL()}
	}
}

func TestAStoppingServerWaitsForATrigger(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		api := metricsBuildkite(t)
		began, proceed := make(chan struct{}), make(chan struct{})
		api.Before(func(buildkiteapi.Call) {
			began <- struct{}{}
			<-proceed
		})
		r := startServer(t, s, withMetricsPipeline(api))
		r.record(tell("web", 1).finished("passed", 1))
		<-began
		var stopping sync.WaitGroup
		stopping.Go(r.stop)
		await(t, "the server to stop", func() (bool, error) { return strings.Contains(r.log.String(), `"stopping: `), nil })
		close(proceed)
		stopping.Wait()
		wantPosted(t, api, "web-1")

		store, client := s.open(t)
		defer client.Close()
		defer store.Close()
		if n, err := store.CountJobs(t.Context()); n != 0 || err != nil {
			t.Errorf("%d jobs are left, %v", n, err)
		}
	})
}

func TestWithoutAMetricsPipelineNothingIsTriggered(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	r.append(tell("web", 1).finished("passed", 1))
	r.fold()
	if n, err := r.db.CountJobs(t.Context()); n != 0 || err != nil {
		t.Errorf("%d jobs wait, %v", n, err)
	}
}
