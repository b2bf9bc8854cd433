package buildtracker

import (
	"cmp"
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/trace"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/notify"
)

// metrics are this server's own; two servers in one process do not share them.
// docs/metrics.md lists them.
type metrics struct {
	registry *prometheus.Registry

	deliveries    *prometheus.CounterVec
	delivery      *prometheus.HistogramVec
	append        prometheus.Histogram
	foldLatency   prometheus.Histogram
	batch         prometheus.Histogram
	foldedEvents  prometheus.Counter
	setAside      prometheus.Counter
	generations   prometheus.Counter
	lease         prometheus.Gauge
	leaseTaken    prometheus.Counter
	lag           prometheus.Gauge
	notices       *prometheus.CounterVec
	noticeLatency prometheus.Histogram
	slackCalls    *prometheus.HistogramVec
	degraded      *prometheus.CounterVec
	noticePanics  prometheus.Counter
	noticesDue    prometheus.Gauge
	oldestDue     prometheus.Gauge
	eventsSetBack prometheus.Gauge
	eventsDropped prometheus.Counter
	eventsLost    prometheus.Counter
	up            *prometheus.GaugeVec
	spans         *prometheus.CounterVec
	configOK      prometheus.Gauge
	configAt      prometheus.Gauge
	stream        streamMetrics
	export        exportMetrics
	reconcile     reconcileMetrics
	jobs          jobMetrics
}

// The values that labels have. Each is there from the start, so that the first
// of its kind is a change that a query sees.
var (
	deliveryResults = []string{"recorded", "duplicate", "ignored", "unauthorized", "invalid", "too_large", "unavailable"}
	noticeResults   = []string{
		string(notify.Posted), string(notify.Updated), string(notify.Unchanged), string(notify.Unsaid),
		string(notify.Postponed), string(notify.Lost), string(notify.Unrecorded),
	}
	slackMethods = []string{"post", "update", "find"}
	messageForms = []string{notify.Full.String(), notify.Short.String(), notify.Plain.String()}
	spanResults  = []string{"exported", "failed", "dropped"}
)

func newMetrics() *metrics {
	// What people are promised is a limit of a bucket: a message follows its
	// event within 250 ms, a delivery is answered within 5 s.
	quick := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	late := append(quick[:len(quick):len(quick)], 30, 60, 300, 1800)

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	auto := promauto.With(registry)
	m := &metrics{
		registry: registry,
		deliveries: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_deliveries_total", Help: "Webhook deliveries by result: " + strings.Join(deliveryResults, ", ") + ".",
		}, []string{"result"}),
		delivery: auto.NewHistogramVec(histogram("buildtracker_delivery_seconds",
			"Time from a delivery's headers until its answer was ready, by result.", quick), []string{"result"}),
		append: auto.NewHistogram(histogram("buildtracker_append_seconds",
			"Time until a delivery was durable, the wait for a commit included.", quick)),
		foldLatency: auto.NewHistogram(histogram("buildtracker_fold_latency_seconds",
			"Time from when an event was recorded until it was in the build's state.", late)),
		batch: auto.NewHistogram(histogram("buildtracker_batch_seconds",
			"Time to fold and commit one batch of events.", quick)),
		foldedEvents: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_folded_events_total", Help: "Events folded into builds by this replica.",
		}),
		setAside: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_events_set_aside_total", Help: "Events that could not be processed and were set aside by this replica.",
		}),
		eventsSetBack: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_events_set_aside", Help: "Events that are set aside now, over all replicas.",
		}),
		eventsDropped: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_events_dropped_total", Help: "Old events that this replica dropped, as the retention says.",
		}),
		eventsLost: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_events_lost_total", Help: "Events among those dropped that a reader had not read at twice their retention.",
		}),
		generations: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_redis_generations_total", Help: "How often this replica gave up what Redis held and loaded builds anew.",
		}),
		lease: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_lease_held", Help: "1 while this replica is the one that folds.",
		}),
		leaseTaken: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_lease_taken_total", Help: "How often this replica became the one that folds.",
		}),
		lag: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_cursor_lag_events", Help: "Positions between the end of the stream and the tracker's cursor, over all replicas.",
		}),
		notices: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_notices_total", Help: "Claimed notices by how the work on them ended: " + strings.Join(noticeResults, ", ") + ".",
		}, []string{"result"}),
		noticeLatency: auto.NewHistogram(histogram("buildtracker_notice_latency_seconds",
			"Time from when an event was recorded until Slack had the message that follows from it.", late)),
		slackCalls: auto.NewHistogramVec(histogram("buildtracker_notice_call_seconds",
			"Calls to Slack by method ("+strings.Join(slackMethods, ", ")+") and outcome: ok, or what went wrong.", quick), []string{"method", "outcome"}),
		degraded: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_notices_refused_total", Help: "Messages that Slack refused in this form (" + strings.Join(messageForms, ", ") + "); a plainer one was tried.",
		}, []string{"form"}),
		noticePanics: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_notice_panics_total", Help: "Notices whose sending panicked; they are tried again.",
		}),
		noticesDue: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_notices_due", Help: "Notices that are wanted and not sent yet, over all replicas.",
		}),
		oldestDue: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_notices_oldest_due_seconds", Help: "Age of the oldest event whose notice is wanted and not sent yet, over all replicas; 0 without one.",
		}),
		up: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "buildtracker_dependency_up", Help: "1 while this replica can work with its database, or its redis.",
		}, []string{"dependency"}),
		spans: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_trace_spans_total", Help: "Sampled spans by what became of them: exported, failed, or dropped for want of room.",
		}, []string{"result"}),
		configOK: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_config_last_reload_successful", Help: "1 while the configuration file is in force as it was read last, 0 after it was refused.",
		}),
		configAt: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_config_last_reload_success_timestamp_seconds", Help: "When the configuration was last read and found good.",
		}),
		stream:    newStreamMetrics(auto, quick),
		export:    newExportMetrics(auto, quick, late),
		reconcile: newReconcileMetrics(auto),
		jobs:      newJobMetrics(auto),
	}
	for _, result := range deliveryResults {
		m.deliveries.WithLabelValues(result)
		m.delivery.WithLabelValues(result)
	}
	for _, result := range noticeResults {
		m.notices.WithLabelValues(result)
	}
	for _, method := range slackMethods {
		m.slackCalls.WithLabelValues(method, outcomeOK)
	}
	for _, form := range messageForms {
		m.degraded.WithLabelValues(form)
	}
	for _, result := range spanResults {
		m.spans.WithLabelValues(result)
	}
	return m
}

// configReloaded records that the configuration was found good now.
func (m *metrics) configReloaded() {
	m.configOK.Set(1)
	m.configAt.SetToCurrentTime()
}

// outcomeOK is the outcome of a call that succeeded.
const outcomeOK = "ok"

// histogram has buckets for every Prometheus, and native ones for a Prometheus
// that asks for them.
func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}

// describe adds what does not change, and what the store counts itself.
func (m *metrics) describe(version string, store interface{ Appending() db.Appending }) {
	auto := promauto.With(m.registry)
	auto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "buildtracker_build_info", Help: "1, labelled with the version that runs.",
	}, []string{"version", "goversion"}).WithLabelValues(version, runtime.Version()).Set(1)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "buildtracker_append_queue_deliveries", Help: "Deliveries that wait for a commit to begin.",
	}, func() float64 { return float64(store.Appending().Waiting) })
	auto.NewCounterFunc(prometheus.CounterOpts{
		Name: "buildtracker_append_commits_total", Help: "Commits of deliveries; those that come while one runs share the next.",
	}, func() float64 { return float64(store.Appending().Commits) })
}

// observe adds an observation, with the trace it belongs to if there is one.
func observe(h prometheus.Observer, took time.Duration, id trace.TraceID) {
	seconds := max(0, took.Seconds())
	if with, ok := h.(prometheus.ExemplarObserver); ok && id.IsValid() {
		with.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": id.String()})
		return
	}
	h.Observe(seconds)
}

// delivered records a delivery that ends now.
func (m *metrics) delivered(d *account, id trace.TraceID) {
	m.deliveries.WithLabelValues(d.result).Inc()
	observe(m.delivery.WithLabelValues(d.result), time.Since(d.began), id)
	if d.position != 0 {
		observe(m.append, d.appended.Sub(d.appending), id)
	}
}

// folded records a batch that was committed now. The event at traced, if not
// below 0, is in a trace.
func (m *metrics) folded(events []decoded, began time.Time, traced int) {
	now := time.Now()
	var id trace.TraceID
	if traced >= 0 {
		id = trace.TraceID(events[traced].ID)
	}
	observe(m.batch, now.Sub(began), id)
	m.foldedEvents.Add(float64(len(events)))
	for i := range events {
		if i != traced {
			observe(m.foldLatency, now.Sub(events[i].Time), trace.TraceID{})
		} else {
			observe(m.foldLatency, now.Sub(events[i].Time), id)
		}
	}
}

// sender returns what is account of the work of the sender of notices.
func (m *metrics) sender(trail trail) notify.Metrics {
	return notify.Metrics{
		Began: trail.began,
		Called: func(ctx context.Context, method string, outcome notify.Outcome, took time.Duration) {
			observe(m.slackCalls.WithLabelValues(method, cmp.Or(string(outcome), outcomeOK)), took, sampled(ctx))
		},
		Degraded: func(l notify.Level) { m.degraded.WithLabelValues(l.String()).Inc() },
		Panicked: m.noticePanics.Inc,
	}
}
