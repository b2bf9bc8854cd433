package buildtracker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// reconcileMetrics tell of webhooks that were lost.
type reconcileMetrics struct {
	requests   *prometheus.CounterVec
	builds     prometheus.Counter
	missing    *prometheus.CounterVec
	succeeded  prometheus.Gauge
	delay      prometheus.Histogram
	gaps       prometheus.Gauge
	unfinished prometheus.Gauge
}

func newReconcileMetrics(auto promauto.Factory) reconcileMetrics {
	m := reconcileMetrics{
		requests: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_buildkite_requests_total", Help: "Requests to Buildkite's REST API for builds and addresses by outcome: the status, or no_answer.",
		}, []string{"outcome"}),
		builds: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_reconcile_builds_total", Help: "Finished builds of Buildkite that this replica compared with the stream.",
		}),
		missing: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_reconcile_events_missing_total", Help: "Events that no webhook had told of and this replica appended, by event.",
		}, []string{"event"}),
		succeeded: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_reconcile_last_success_timestamp_seconds", Help: "When this replica last compared all organizations with the stream; 0 before.",
		}),
		delay: auto.NewHistogram(histogram("buildtracker_webhook_delay_seconds",
			"Time from when a build or a job finished until its webhook arrived.", []float64{.25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200})),
		gaps: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_build_number_gaps", Help: "Numbers of which there is no build, between those of each pipeline in the last seven days, over all replicas.",
		}),
		unfinished: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_builds_unfinished", Help: "Builds of the last seven days that run for more than a day, over all replicas.",
		}),
	}
	for _, event := range []string{"build.finished", "job.finished"} {
		m.missing.WithLabelValues(event)
	}
	for _, outcome := range []string{"200", "429", "500", "no_answer"} {
		m.requests.WithLabelValues(outcome)
	}
	return m
}

// asked counts a request to Buildkite.
func (m *reconcileMetrics) asked(outcome string) { m.requests.WithLabelValues(outcome).Inc() }

// arrived records the webhook of what finished at a time.
func (m *reconcileMetrics) arrived(finished time.Time) time.Duration {
	delay := max(0, time.Since(finished))
	m.delay.Observe(delay.Seconds())
	return delay
}

// describeRefusals adds how many intervals of refusals there are.
func (m *metrics) describeRefusals(of *refusals) {
	promauto.With(m.registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "buildtracker_webhook_refusals", Help: "Intervals in which this replica refused deliveries with 503 and whose builds it has not fetched yet.",
	}, func() float64 { return float64(len(of.all())) })
}
