package buildtracker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// jobMetrics are of work that is done in the background.
type jobMetrics struct {
	triggers *prometheus.CounterVec
	waiting  prometheus.Gauge
}

// How an attempt to trigger the metrics pipeline ends.
const (
	triggered     = "triggered"
	triggerFound  = "found"      // an attempt before had done it
	triggerOwn    = "descendant" // not done: the metrics pipeline started that build
	triggerGone   = "gone"       // not done: the build is no longer kept
	triggerRefuse = "refused"    // by Buildkite, for what somebody has to put right
	triggerFailed = "failed"
	triggerGiveUp = "given_up" // failed or refused for the last time
)

func newJobMetrics(auto promauto.Factory) jobMetrics {
	m := jobMetrics{
		triggers: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_triggers_total",
			Help: "Attempts to trigger the metrics pipeline after a build by result: triggered, found, descendant, gone; refused and failed are tried again, given_up is not.",
		}, []string{"result"}),
		waiting: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_jobs_waiting", Help: "Jobs, such as triggers of the metrics pipeline, that have not ended, over all replicas.",
		}),
	}
	for _, result := range []string{triggered, triggerFound, triggerOwn, triggerGone, triggerRefuse, triggerFailed, triggerGiveUp} {
		m.triggers.WithLabelValues(result)
	}
	return m
}
