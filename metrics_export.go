package buildtracker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/build-tracker/build-tracker/analytics"
)

// exportMetrics are of the export to BigQuery.
type exportMetrics struct {
	rows     *prometheus.CounterVec
	rejected *prometheus.CounterVec
	lost     *prometheus.CounterVec
	failures *prometheus.CounterVec
	batch    prometheus.Histogram
	latency  prometheus.Histogram
	lag      prometheus.Gauge
}

// sessionFailed is the reason, beside the remedies, of what is no append's failure.
const sessionFailed = "session"

func newExportMetrics(auto promauto.Factory, quick, late []float64) exportMetrics {
	m := exportMetrics{
		rows: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_export_rows_total", Help: "Rows that BigQuery confirmed, by table.",
		}, []string{"table"}),
		rejected: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_export_rejected_rows_total", Help: "Rows that BigQuery cannot hold or refused, by table; they are in the table rejected.",
		}, []string{"table"}),
		lost: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_export_lost_rows_total", Help: "Rows that BigQuery had confirmed and does not have, by table.",
		}, []string{"table"}),
		failures: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "buildtracker_export_failures_total", Help: "Appends to BigQuery that failed and are tried again, by what was done about it; session is that the export itself had to begin anew.",
		}, []string{"reason"}),
		batch: auto.NewHistogram(histogram("buildtracker_export_batch_seconds",
			"Time to append and commit one batch of rows.", quick)),
		latency: auto.NewHistogram(histogram("buildtracker_export_latency_seconds",
			"Time from when an event was recorded until its rows were in BigQuery, of the last event of each batch.", late)),
		lag: auto.NewGauge(prometheus.GaugeOpts{
			Name: "buildtracker_export_lag_events", Help: "Positions between the end of the stream and the cursor of the export, over all replicas; 0 without an export.",
		}),
	}
	for _, t := range analytics.Tables() {
		m.rows.WithLabelValues(t.Name)
		m.rejected.WithLabelValues(t.Name)
		m.lost.WithLabelValues(t.Name)
	}
	for _, r := range remedies() {
		m.failures.WithLabelValues(string(r))
	}
	m.failures.WithLabelValues(sessionFailed)
	return m
}

// exported records a batch that was committed now.
func (m *exportMetrics) exported(b *exportBatch, began time.Time) {
	m.batch.Observe(time.Since(began).Seconds())
	m.latency.Observe(max(0, time.Since(b.last).Seconds()))
	for i, t := range analytics.Tables() {
		m.rows.WithLabelValues(t.Name).Add(float64(len(b.tables[i].encoded)))
	}
}
