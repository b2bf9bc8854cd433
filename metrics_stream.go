package buildtracker

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/bus"
	"github.com/build-tracker/build-tracker/stream"
)

// streamMetrics are of the live stream.
type streamMetrics struct {
	watchers   prometheus.Gauge
	refused    prometheus.Counter
	lag        prometheus.Histogram
	reads      *prometheus.CounterVec
	statements *prometheus.CounterVec
	lostHints  prometheus.Counter
	ignored    prometheus.Counter
	joined     prometheus.Gauge
	channels   prometheus.Gauge

	finished     *prometheus.CounterVec
	lostMessages prometheus.Counter
	handled      *prometheus.HistogramVec
	running      *prometheus.GaugeVec
	busy         *prometheus.CounterVec
}

func newStreamMetrics(auto promauto.Factory, quick []float64) streamMetrics {
	m := streamMetrics{
		watchers: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_watchers", Help: "Streams of events that this replica serves now.",
		}),
		refused: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_watchers_refused_total", Help: "Streams that were refused because as many were open as a replica serves.",
		}),
		lag: auto.NewHistogram(histogram("buildtracker_follow_latency_seconds",
			"Time from when an event was recorded until it was at hand for who watches it.", quick)),
		reads: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_follow_reads_total", Help: "Reads of events for watchers by result: ok or failed.",
		}, []string{"result"}),
		statements: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_bus_statements_total", Help: "Statements that told the other replicas of events by result: ok or failed.",
		}, []string{"result"}),
		lostHints: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_bus_hints_lost_total", Help: "Hints that found a full queue; what they hinted at is found a second later.",
		}),
		ignored: auto.NewCounter(prometheus.CounterOpts{
			Name: "buildtracker_bus_payloads_ignored_total", Help: "Notifications on our channel that are not ours.",
		}),
		joined: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_bus_joined", Help: "1 while this replica hears the others' notifications.",
		}),
		channels: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_bus_channels", Help: "Channels that somebody listens to in this process.",
		}),
	}
	m.finished = auto.NewCounterVec(prometheus.CounterOpts{
		Name: "buildtracker_builds_finished_total", Help: "Builds that finished, or finished again, as this replica folded them, by status.",
	}, []string{"status"})
	m.lostMessages = auto.NewCounter(prometheus.CounterOpts{
		Name: "buildtracker_topic_messages_lost_total", Help: "Messages that were not published on the topics, because subscribers were too slow.",
	})
	m.handled = auto.NewHistogramVec(histogram("buildtracker_topic_handler_seconds",
		"Time that a subscriber of a topic took for a message, by subscriber and result: ok or failed.", quick), []string{"topic", "subscriber", "result"})
	m.running = auto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "buildtracker_topic_handlers_running", Help: "Messages that a subscriber of a topic handles now.",
	}, []string{"topic", "subscriber"})
	m.busy = auto.NewCounterVec(prometheus.CounterOpts{
		Name: "buildtracker_topic_messages_refused_total", Help: "Messages that a subscriber was not given because it handled as many as it may.",
	}, []string{"topic", "subscriber"})
	for _, status := range finalStatuses {
		m.finished.WithLabelValues(string(status))
	}
	for _, result := range []string{outcomeOK, outcomeFailed} {
		m.reads.WithLabelValues(result)
		m.statements.WithLabelValues(result)
	}
	return m
}

var finalStatuses = []build.Status{build.Passed, build.Failed, build.Fixed, build.Canceled, build.Blocked, build.Unknown}

// finished counts a build that finished.
func (m *metrics) finished(_ context.Context, r bus.PipelineResult) error {
	m.stream.finished.WithLabelValues(r.Status).Inc()
	return nil
}

// topics returns what is account of the subscribers to topics.
func (m *metrics) topics() bus.Options {
	return bus.Options{
		Started: func(s *bus.Subscription) { m.stream.running.WithLabelValues(s.Topic(), s.Name()).Inc() },
		Handled: func(s *bus.Subscription, took time.Duration, err error) {
			m.stream.running.WithLabelValues(s.Topic(), s.Name()).Dec()
			m.stream.handled.WithLabelValues(s.Topic(), s.Name(), resultOf(err)).Observe(took.Seconds())
		},
		Refused: func(s *bus.Subscription) { m.stream.busy.WithLabelValues(s.Topic(), s.Name()).Inc() },
	}
}

const outcomeFailed = "failed"

func resultOf(err error) string {
	if err != nil {
		return outcomeFailed
	}
	return outcomeOK
}

// bus returns what is account of the notifications bus.
func (m *metrics) bus() stream.BusMetrics {
	return stream.BusMetrics{
		Sent:      func(err error) { m.stream.statements.WithLabelValues(resultOf(err)).Inc() },
		Lost:      func(hints int) { m.stream.lostHints.Add(float64(hints)) },
		Ignored:   m.stream.ignored.Inc,
		Joined:    func(joined bool) { m.stream.joined.Set(map[bool]float64{true: 1}[joined]) },
		Listening: func(channels int) { m.stream.channels.Set(float64(channels)) },
	}
}

// follower returns what is account of following events.
func (m *metrics) follower() stream.FollowerMetrics {
	return stream.FollowerMetrics{
		Read: func(_ time.Duration, _ int, err error) { m.stream.reads.WithLabelValues(resultOf(err)).Inc() },
		Lag:  func(lag time.Duration) { m.stream.lag.Observe(max(0, lag.Seconds())) },
	}
}
