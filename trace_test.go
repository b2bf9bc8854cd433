package buildtracker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
	"github.com/build-tracker/build-tracker/stream"
)

// wholeTrace is the trace of an event that made a message.
const wholeTrace = `POST /buildkite
  append
  fold
  notice
    slack chat.postMessage
`

// traceOf is the id of a delivery's trace.
func traceOf(t testing.TB, d traffic.Delivery) string {
	t.Helper()
	parsed, err := buildkite.Parse(d.Body, buildkite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(parsed.Key[:16])
}

func toSlack(slack *testenv.Slack) func(*config.Config) {
	return func(c *config.Config) {
		c.SlackToken, c.SlackChannel, c.SlackAPIURL = config.Secret(slack.Token()), "builds", slack.URL()
	}
}

func TestTraceLeadsFromTheDeliveryToTheMessage(t *testing.T) {
	t.Parallel()
	const token = "webhook-t0ken"
	slack, collector := testenv.NewSlack(t, testenv.SlackOptions{}), newCollector(t)
	r := startServerWith(t, embeddedStores(t), Options{Version: "v1", TraceExporter: collector.exporter(t)}, toSlack(slack), func(c *config.Config) {
		c.WebhookTokens = config.Secrets{token}
	})
	build := tell("web", 1)
	build.fields["message"] = "s3cret plan"
	d := build.finished("failed", 1)
	header := map[string]string{"X-Buildkite-Event": d.Event, "X-Buildkite-Token": token}
	caller := "4bf92f3577b34da6a3ce929d0e0e4736"
	maps.Copy(header, map[string]string{"Traceparent": "00-" + caller + "-00f067aa0ba902b7-01"})
	for _, want := range []string{"recorded", "duplicate"} {
		if got := r.do(request{header: header, body: d.Body}); !strings.Contains(got.body, want) {
			t.Fatalf("answers %d %s, want %s", got.status, got.body, want)
		}
	}
	isProblem(t, r.do(request{header: map[string]string{"X-Buildkite-Event": d.Event, "X-Buildkite-Token": "another"}, body: d.Body}), http.StatusUnauthorized)
	r.settle()
	r.stop()

	id := traceOf(t, d)
	if diff := cmp.Diff(wholeTrace, collector.tree(id)); diff != "" {
		t.Errorf("the trace (-want +got):\n%s", diff)
	}
	seen := make(map[string]*exported)
	for _, s := range collector.named("POST /buildkite") {
		seen[value(s.Attributes, "buildtracker.result")] = s
	}
	recorded, duplicate, refused := seen["recorded"], seen["duplicate"], seen["unauthorized"]
	if recorded == nil || duplicate == nil || refused == nil {
		t.Fatalf("deliveries are traced as %v", seen)
	}
	for key, want := range map[string]string{
		"http.response.status_code": "200", "buildkite.event": "build.finished", "buildkite.organization": "acme",
		"buildkite.pipeline": "web", "buildkite.build.number": "1", "buildtracker.position": "1",
	} {
		if got := value(recorded.Attributes, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if recorded.service != "build-tracker" {
		t.Errorf("the service is called %q", recorded.service)
	}
	// A caller is linked, and so is what a duplicate is of; neither is the parent.
	if diff := cmp.Diff([]string{caller}, links(recorded)); diff != "" {
		t.Errorf("links of what was recorded (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{caller, id}, links(duplicate)); diff != "" {
		t.Errorf("links of the duplicate (-want +got):\n%s", diff)
	}
	for _, s := range []*exported{duplicate, refused} {
		if other := hex.EncodeToString(s.TraceId); other == id || len(s.ParentSpanId) != 0 {
			t.Errorf("a delivery that was not recorded is in trace %s", other)
		}
	}
	for _, secret := range []string{token, slack.Token(), "s3cret"} {
		if strings.Contains(collector.text(), secret) {
			t.Errorf("traces tell %q", secret)
		}
	}
}

func links(s *exported) (traces []string) {
	for _, l := range s.Links {
		traces = append(traces, hex.EncodeToString(l.TraceId))
	}
	return traces
}

func TestTraceCrossesReplicas(t *testing.T) {
	t.Parallel()
	s := stores{name: "postgres", database: testenv.Postgres(t), redis: testenv.Redis(t)}
	slack, collector := testenv.NewSlack(t, testenv.SlackOptions{}), newCollector(t)
	worker := startServerWith(t, s, Options{TraceExporter: collector.exporter(t)}, toSlack(slack))
	await(t, "the first replica to lead", func() (bool, error) {
		return testutil.ToFloat64(worker.server.metrics.lease) == 1, nil
	})
	taker := startServerWith(t, s, Options{TraceExporter: collector.exporter(t)}, func(c *config.Config) { c.Notices = false })
	d := tell("web", 1).finished("failed", 1)
	taker.record(d)
	worker.settle()
	taker.stop()
	worker.stop()

	if diff := cmp.Diff(wholeTrace, collector.tree(traceOf(t, d))); diff != "" {
		t.Errorf("the trace (-want +got):\n%s", diff)
	}
	took, folded, sent := collector.named("append"), collector.named("fold"), collector.named("notice")
	if len(took) != 1 || len(folded) != 1 || len(sent) != 1 {
		t.Fatalf("there are %d, %d and %d spans", len(took), len(folded), len(sent))
	}
	if took[0].instance == folded[0].instance || folded[0].instance != sent[0].instance {
		t.Errorf("taken by %s, folded by %s, sent by %s", took[0].instance, folded[0].instance, sent[0].instance)
	}
}

func TestLogsAndMetricsNameTheTrace(t *testing.T) {
	t.Parallel()
	collector := newCollector(t)
	r := startServerWith(t, embeddedStores(t), Options{TraceExporter: collector.exporter(t)})
	d := tell("web", 1).finished("failed", 1)
	r.record(d)
	r.settle()
	label := `trace_id="` + traceOf(t, d) + `"`
	await(t, "every step to name the trace", func() (bool, error) {
		scraped := r.do(request{method: http.MethodGet, path: "/metrics", header: map[string]string{"Accept": "application/openmetrics-text"}})
		for _, name := range []string{
			"buildtracker_delivery_seconds", "buildtracker_append_seconds", "buildtracker_batch_seconds",
			"buildtracker_fold_latency_seconds", "buildtracker_notice_latency_seconds", "buildtracker_notice_call_seconds",
		} {
			if !hasExemplar(scraped.body, name, label) {
				return false, fmt.Errorf("%s has no exemplar %s", name, label)
			}
		}
		return true, nil
	})
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, `"msg":"notice"`) {
			if want := `"trace_id":"` + traceOf(t, d) + `"`; !strings.Contains(line, want) {
				t.Errorf("the notice is logged without %s: %s", want, line)
			}
			return
		}
	}
	t.Error("the notice is not logged")
}

// hasExemplar says whether a bucket of a histogram has an exemplar.
func hasExemplar(metrics, name, label string) bool {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, name+"_bucket") && strings.Contains(line, label) {
			return true
		}
	}
	return false
}

func TestDeadCollectorIsNobodysTrouble(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(gone.URL))
	if err != nil {
		t.Fatal(err)
	}
	r := startServerWith(t, embeddedStores(t), Options{TraceExporter: exporter})
	r.record(tell("web", 1).finished("failed", 1))
	r.settle()
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > 2*flushTimeout {
		t.Errorf("stopping took %v", took)
	}
	if log := r.log.String(); strings.Count(log, "traces are not exported") != 1 {
		t.Errorf("the log does not say once that traces are not exported:\n%s", log)
	}
	if lost := testutil.ToFloat64(r.server.metrics.spans.WithLabelValues("failed")); lost != 4 {
		t.Errorf("%v spans were lost, want 4", lost)
	}
}

// silent is an exporter whose collector does not answer.
type silent struct{}

func (silent) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	<-ctx.Done()
	return ctx.Err()
}
func (silent) Shutdown(context.Context) error { return nil }

func TestSpansAreDroppedWhenTheCollectorStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics()
		traces := newTracing(t.Context(), tracingOptions{Exporter: silent{}, Metrics: m, Logger: slog.New(slog.DiscardHandler)})
		const more = 7
		began := time.Now()
		for range spansWaiting + more {
			_, span := traces.tracer.Start(t.Context(), "x")
			span.End()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("ending spans took %v", took)
		}
		if got := testutil.ToFloat64(m.spans.WithLabelValues("dropped")); got != more {
			t.Errorf("%v spans were dropped, want %d", got, more)
		}
		if err := traces.close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > flushTimeout {
			t.Errorf("closing took %v", took)
		}
		if got := testutil.ToFloat64(m.spans.WithLabelValues("failed")); got != spansWaiting {
			t.Errorf("%v spans were given up, want %d", got, spansWaiting)
		}
	})
}

// Reads the environment, so it is not parallel.
func TestReplicasSampleTheSameTraces(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
	var replicas [2]*tracing
	for i := range replicas {
		replicas[i] = newTracing(t.Context(), tracingOptions{Exporter: silent{}, Metrics: newMetrics(), Logger: slog.New(slog.DiscardHandler)})
		replicas[i].queue.abandon()
		defer replicas[i].close()
	}
	count := make(map[bool]int)
	for i := range 200 {
		key := sha256.Sum256(fmt.Append(nil, i))
		id := stream.ID(key[:16])
		e := buildkite.Delivery{Key: key}
		r := httptest.NewRequest(http.MethodPost, "/buildkite", http.NoBody)
		ctx := replicas[0].delivery(r, &account{began: time.Now(), event: &e, position: 1})
		events := []decoded{{Event: stream.Event{ID: id, BuildID: "b", Type: "build.finished"}}}
		folded := replicas[1].folded(events, time.Now(), nil) == 0
		if sampled(ctx).IsValid() != folded {
			t.Fatalf("trace %s is sampled by one of two replicas", id)
		}
		count[folded]++
	}
	if count[true] < 50 || count[false] < 50 {
		t.Errorf("%d of 200 traces are sampled, want about half", count[true])
	}
}

// Reads the environment, so it is not parallel.
func TestTracesNeedAnEndpoint(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for name, test := range map[string]struct {
		env  map[string]string
		want bool
		err  string
	}{
		"nothing":            {},
		"an endpoint":        {map[string]string{endpoint: "http://127.0.0.1:1"}, true, ""},
		"an endpoint for it": {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true, ""},
		"turned off":         {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, false, ""},
		"no exporter":        {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		"over gRPC":          {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "http/protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, clear := range []string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
				t.Setenv(clear, test.env[clear])
			}
			exporter, err := TraceExporter(t.Context())
			if (exporter != nil) != test.want || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got an exporter: %v, %v", exporter != nil, err)
			}
			if exporter != nil {
				if err := exporter.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Measures the whole process, so it is not parallel.
func TestWithoutTracesNothingIsAllocated(t *testing.T) {
	traces := newTracing(t.Context(), tracingOptions{})
	if traces != nil {
		t.Fatal("there are traces without an exporter")
	}
	m := newMetrics()
	h := &webhook{metrics: m, traces: traces}
	r := httptest.NewRequest(http.MethodPost, "/buildkite", http.NoBody)
	now := time.Now().Add(-time.Minute) // all of it falls into buckets that are there
	seen := account{began: now, status: http.StatusOK, event: new(buildkite.Delivery), appending: now, appended: now, position: 1}
	events := make([]decoded, 1000)
	for i := range events {
		events[i].Event = stream.Event{BuildID: "b", Type: "build.finished", Time: now}
	}
	for name, work := range map[string]func(){
		"a delivery": func() { h.tell(r, &seen, "recorded", nil) },
		"a batch":    func() { m.folded(events, now, traces.folded(events, now, nil)) },
	} {
		work() // the first makes what stays
		if n := testing.AllocsPerRun(100, work); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
