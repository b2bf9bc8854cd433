package buildtracker

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/build-tracker/build-tracker/notify"
)

// metrics are this server's own; two servers in one process do not share them.
type metrics struct {
	registry *prometheus.Registry

	deliveries    *prometheus.CounterVec
	append        prometheus.Histogram
	foldLatency   prometheus.Histogram
	batch         prometheus.Histogram
	foldedEvents  prometheus.Counter
	setAside      prometheus.Counter
	epochs        prometheus.Counter
	lease         prometheus.Gauge
	lag           prometheus.Gauge
	notices       *prometheus.CounterVec
	slackCalls    *prometheus.HistogramVec
	degraded      *prometheus.CounterVec
	noticePanics  prometheus.Counter
	noticesDue    prometheus.Gauge
	eventsSetBack prometheus.Gauge
}

func newMetrics() *metrics {
	latency := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_deliveries_total",
			Help: "Webhook deliveries by result: recorded, duplicate, ignored, unauthorized, invalid, too_large, unavailable.",
		}, []string{"result"}),
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "buildtracker_append_seconds", Help: "Time until a delivery was durable.", Buckets: latency,
		}),
		foldLatency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "buildtracker_fold_latency_seconds", Help: "Time from when an event was recorded until it was in the build's state.", Buckets: latency,
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "buildtracker_batch_seconds", Help: "Time to fold and commit one batch of events.", Buckets: latency,
		}),
		foldedEvents: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_folded_events_total", Help: "Events folded into builds by this replica.",
		}),
		setAside: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_events_set_aside_total", Help: "Events that could not be processed and were set aside by this replica.",
		}),
		eventsSetBack: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_events_set_aside", Help: "Events that are set aside now.",
		}),
		epochs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_redis_epochs_total", Help: "How often this replica gave up what Redis held and loaded builds anew.",
		}),
		lease: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_lease_held", Help: "1 while this replica is the one that folds.",
		}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_cursor_lag_events", Help: "Positions between the end of the stream and the tracker's cursor.",
		}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_notices_total",
			Help: "Claimed notices by how the work on them ended: posted, updated, unchanged, unsaid, postponed, lost, unrecorded.",
		}, []string{"result"}),
		slackCalls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "buildtracker_notice_call_seconds", Help: "Calls to Slack by method and outcome.", Buckets: latency,
		}, []string{"method", "outcome"}),
		degraded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_notices_refused_total", Help: "Messages that Slack refused in this form; a plainer one was tried.",
		}, []string{"form"}),
		noticePanics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_notice_panics_total", Help: "Notices whose sending panicked; they are tried again.",
		}),
		noticesDue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_notices_due", Help: "Notices that are wanted and not sent yet.",
		}),
	}
	m.registry.MustRegister(
		m.deliveries, m.append, m.foldLatency, m.batch, m.foldedEvents, m.setAside, m.eventsSetBack,
		m.epochs, m.lease, m.lag, m.notices, m.slackCalls, m.degraded, m.noticePanics, m.noticesDue,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// folded records a batch that was committed now.
func (m *metrics) folded(events []decoded, began time.Time) {
	now := time.Now()
	m.batch.Observe(now.Sub(began).Seconds())
	m.foldedEvents.Add(float64(len(events)))
	for i := range events {
		m.foldLatency.Observe(now.Sub(events[i].Time).Seconds())
	}
}

// sender returns what counts the work of the sender of notices.
func (m *metrics) sender() notify.Metrics {
	return notify.Metrics{
		Called: func(method string, outcome notify.Outcome, took time.Duration) {
			m.slackCalls.WithLabelValues(method, cmp.Or(string(outcome), "ok")).Observe(took.Seconds())
		},
		Ended:    func(r notify.Result) { m.notices.WithLabelValues(string(r)).Inc() },
		Degraded: func(l notify.Level) { m.degraded.WithLabelValues(l.String()).Inc() },
		Panicked: m.noticePanics.Inc,
	}
}
