package buildtracker

import (
	"strings"
	"testing"
	"time"
)

func TestWebhookHealthSaysWhetherItWorks(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		health webhookHealth
		status string
		says   string
	}{
		"nothing came, and nobody asks":  {webhookHealth{}, "unknown", "set BUILDKITE_TOKEN"},
		"nothing came, nor was compared": {webhookHealth{asks: true}, "unknown", "not compared with Buildkite yet"},
		"nothing came, nothing ran":      {webhookHealth{asks: true, compared: ago(time.Minute)}, "unknown", "no build finished lately"},
		"deliveries come":                {webhookHealth{delivered: ago(time.Minute)}, "ok", "set BUILDKITE_TOKEN"},
		"deliveries come, all of them": {
			webhookHealth{asks: true, delivered: ago(time.Minute), compared: ago(time.Minute), BuildsCompared: 7}, "ok", "Of the latest 7 builds",
		},
		"another replica gets them": {webhookHealth{asks: true, compared: ago(time.Minute), BuildsCompared: 7}, "ok", "another replica"},
		"nobody compares any more":  {webhookHealth{asks: true, compared: ago(2 * time.Hour), BuildsCompared: 7}, "unknown", "last compared with Buildkite 2h0m0s ago"},
		"none for long":             {webhookHealth{delivered: ago(3 * time.Hour)}, "quiet", "No webhook came for 3h0m0s."},
		"they come late":            {webhookHealth{delivered: ago(time.Second), delay: 5 * time.Minute}, "delayed", "longer than 5m0s"},
		"some were lost": {
			webhookHealth{asks: true, delivered: ago(time.Second), delay: 5 * time.Minute, lossAt: ago(time.Minute), lost: 9, of: 4}, "losing", "9 events of 4 builds",
		},
		"some were lost long ago": {webhookHealth{asks: true, delivered: ago(time.Second), lossAt: ago(2 * time.Hour), lost: 9, of: 4}, "ok", "works"},
		"some were refused, and are fetched": {
			webhookHealth{asks: true, delivered: ago(time.Second), lossAt: ago(time.Minute), Refused: []interval{{From: ago(time.Hour)}}}, "refusing", "is fetched as soon",
		},
		"some were refused, and stay lost": {webhookHealth{Refused: []interval{{From: ago(time.Hour), To: now}}}, "refusing", "'build-tracker backfill'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.health.interval = 10 * time.Minute
			c.health.judge(now)
			if c.health.Status != c.status || !strings.Contains(c.health.Message, c.says) {
				t.Errorf("%s: %s\nwant %s, with %q", c.health.Status, c.health.Message, c.status, c.says)
			}
		})
	}
}

func TestWebhookDelayIsMeasured(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	if h := r.webhookHealth(); h.Status != "unknown" || h.DelaySeconds != nil || h.Refused == nil {
		t.Errorf("before any delivery the webhook is %+v", h)
	}
	b := tell("web", 1)
	r.record(b.event("build.running", nil))
	if h := r.webhookHealth(); h.Status != "ok" || h.LastDeliveryAt == nil || h.DelaySeconds != nil {
		t.Errorf("after a delivery the webhook is %+v", h)
	}
	late := b.finished("failed", 5)
	r.record(late)
	if got := r.post(late); got != "duplicate" {
		t.Fatalf("the second is %s", got)
	}
	h := r.webhookHealth()
	if h.Status != "delayed" || h.DelaySeconds == nil || *h.DelaySeconds < 299 || *h.DelaySeconds > 400 {
		t.Errorf("after a late delivery the webhook is %+v", h)
	}
	if metrics := r.get("/metrics").body; !strings.Contains(metrics, "buildtracker_webhook_delay_seconds_count 1\n") {
		t.Error("the delay is not measured once")
	}
}
