package buildtracker

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/build-tracker/build-tracker/config"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// families are all metrics of a server, of which one of each is there.
func families(t testing.TB) []*dto.MetricFamily {
	t.Helper()
	s, err := New(t.Context(), &config.Config{
		ListenAddr: "127.0.0.1:0", DataDir: t.TempDir(), BuildTTL: time.Hour, Notices: true, NoticeMaxAge: time.Hour,
	}, Options{Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.health.measure(t.Context())
	found, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// own are those that are not of Go and the process.
func own(all []*dto.MetricFamily) (ours []*dto.MetricFamily) {
	for _, f := range all {
		if strings.HasPrefix(f.GetName(), "buildtracker_") {
			ours = append(ours, f)
		}
	}
	return ours
}

func TestMetricsAreNamedAsPrometheusWants(t *testing.T) {
	t.Parallel()
	found := own(families(t))
	problems, err := promlint.NewWithMetricFamilies(found).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range found {
		if !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s has no sentence as its help: %q", f.GetName(), f.GetHelp())
		}
		if n := len(f.Metric); n > 20 {
			t.Errorf("%s has %d series before anything happened", f.GetName(), n)
		}
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	const path = "docs/metrics.md"
	var want bytes.Buffer
	want.WriteString(`# Metrics

What ` + "`GET /metrics`" + ` answers, besides the ` + "`go_` and `process_`" + ` metrics that every Go program has. Asked for OpenMetrics,
histograms name a trace with what they count (exemplars, label ` + "`trace_id`" + `) while traces are on; a Prometheus that asks for
native histograms gets them. In production the route needs a token.

"Over all replicas" means that each replica reports the same: take the maximum, not the sum.
[Alerting rules](../deploy/prometheus/alerts.yaml) and a [dashboard](../deploy/grafana/dashboard.json) use them.

This file is written by ` + "`go test -run TestMetricsAreDocumented . -update`" + `.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
`)
	for _, f := range own(families(t)) {
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labelsOf(f), ", "), f.GetHelp())
	}
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("%s is not what the server has; write it with -update (-want +got):\n%s", path, diff)
	}
}

// labelsOf are the names of a metric's own labels.
func labelsOf(f *dto.MetricFamily) (names []string) {
	for _, l := range f.Metric[0].Label {
		names = append(names, "`"+l.GetName()+"`")
	}
	slices.SortFunc(names, cmp.Compare[string])
	return names
}

func TestMetricsAreServedInTheFormThatIsAskedFor(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	for accept, want := range map[string]string{
		"":                             "text/plain",
		"application/openmetrics-text": "application/openmetrics-text",
		// What Prometheus asks for where it takes native histograms.
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited": "application/vnd.google.protobuf",
	} {
		got := r.do(request{method: http.MethodGet, path: "/metrics", header: map[string]string{"Accept": accept}})
		if kind := got.header.Get("Content-Type"); got.status != http.StatusOK || !strings.HasPrefix(kind, want) {
			t.Errorf("asked for %q the server answers %d, %s", accept, got.status, kind)
		}
	}
}

func TestOldestNoticeHasTheAgeOfItsEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	var o oldest
	if age := o.age(t.Context(), r.db, 0); age != 0 {
		t.Errorf("no notice is %v old", age)
	}
	at := r.append(tell("web", 1).finished("failed", 1))[0]
	recorded := time.Now()
	r.fold()
	rev, err := r.db.OldestDue(t.Context())
	if err != nil || rev != at.Position {
		t.Fatalf("the oldest due wants %d, %v; want %d", rev, err, at.Position)
	}
	if age := o.age(t.Context(), r.db, rev); age < 0 || age > time.Since(recorded)+time.Minute {
		t.Errorf("the notice is %v old", age)
	}
	if o.at.After(recorded) {
		t.Errorf("the notice is as old as the question: %v", o.at)
	}
	if age := o.age(t.Context(), r.db, 1<<40); age > time.Minute {
		t.Errorf("a notice whose event is gone is %v old", age)
	}
}
