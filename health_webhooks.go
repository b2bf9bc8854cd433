package buildtracker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/db"
)

const (
	// quietAfter is how long a webhook may be silent, and lossShown how long a loss
	// that was made up for is told of.
	quietAfter = time.Hour
	lossShown  = time.Hour
	// slowDelay is what the median delay may not exceed, and delaysKept of how many
	// deliveries it is.
	slowDelay  = time.Minute
	delaysKept = 50
	// Numbers and builds are counted, every lossInterval, among those created in
	// lossWindow; one that runs for longer than lossAge is lost.
	lossInterval = 5 * time.Minute
	lossWindow   = 7 * 24 * time.Hour
	lossAge      = 24 * time.Hour
)

// arrivals are the deliveries that this process recorded, as far as they tell
// how the webhook goes.
type arrivals struct {
	metrics *reconcileMetrics

	mu     sync.Mutex
	latest time.Time
	delays [delaysKept]time.Duration
	n      int // of delays, ever
}

// arrived records a delivery that came now and the time at which what it tells
// of finished; zero for another one.
func (a *arrivals) arrived(finished time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.latest = time.Now()
	if !finished.IsZero() {
		a.delays[a.n%delaysKept] = a.metrics.arrived(finished)
		a.n++
	}
}

// state returns when the latest delivery came, zero for none, and the median delay
// of the latest that finished something; ok is false where there is none.
func (a *arrivals) state() (latest time.Time, delay time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == 0 {
		return a.latest, 0, false
	}
	some := slices.Clone(a.delays[:min(a.n, delaysKept)])
	slices.Sort(some)
	return a.latest, some[len(some)/2], true
}

// webhookHealth is the answer of GET /api/health/webhooks.
type webhookHealth struct {
	// Status is ok, quiet, delayed, losing, refusing or unknown; Message says it in
	// words, and what to do.
	Status  string `json:"status"`
	Message string `json:"message"`
	// LastDeliveryAt and DelaySeconds are of the replica that answers.
	LastDeliveryAt *time.Time `json:"last_delivery_at"`
	DelaySeconds   *float64   `json:"delay_seconds"`
	// ReconciledAt is when Buildkite's builds were last compared with the stream: how
	// many there were, and how many events were missing.
	ReconciledAt   *time.Time `json:"reconciled_at"`
	BuildsCompared int64      `json:"builds_compared"`
	EventsMissing  int64      `json:"events_missing"`
	// NumberGaps and BuildsUnfinished are of the last seven days.
	NumberGaps       int64 `json:"number_gaps"`
	BuildsUnfinished int64 `json:"builds_unfinished"`
	// Refused are the times in which this replica refused deliveries, and whose builds
	// were not fetched yet.
	Refused []interval `json:"refused"`

	asks      bool // Buildkite's API is asked
	lossAt    time.Time
	lost, of  int64
	compared  time.Time     // zero for not yet
	interval  time.Duration // in which it is again
	delivered time.Time
	delay     time.Duration
}

// webhooks answers whether the webhook works.
func (h *health) webhooks(w http.ResponseWriter, r *http.Request) error {
	answer, err := h.webhookHealth(r.Context())
	if err != nil {
		return unavailable("The store does not answer now: how the webhook goes cannot be told.", err)
	}
	answer.judge(time.Now())
	return writeJSON(w, answer)
}

func (h *health) webhookHealth(ctx context.Context) (*webhookHealth, error) {
	lost, err := h.losses(ctx)
	if err != nil {
		return nil, err
	}
	answer := &webhookHealth{
		NumberGaps: lost.Gaps, BuildsUnfinished: lost.Unfinished,
		Refused: append([]interval{}, h.s.refusals.all()...), asks: h.s.schedule != nil,
	}
	if at, delay, ok := h.s.arrivals.state(); !at.IsZero() {
		answer.delivered, answer.LastDeliveryAt = at, &at
		if ok {
			seconds := delay.Seconds()
			answer.delay, answer.DelaySeconds = delay, &seconds
		}
	}
	organizations := h.s.cfg.Reconcile.Organizations
	if len(organizations) == 0 {
		if organizations, err = h.s.db.Organizations(ctx); err != nil {
			return nil, err
		}
	}
	for _, organization := range organizations {
		text, err := h.s.db.Reconciliation(ctx, checkedName(organization))
		if err != nil {
			return nil, err
		}
		var c checked
		if text == "" || json.Unmarshal([]byte(text), &c) != nil {
			continue
		}
		answer.add(&c)
	}
	answer.interval = h.s.cfg.Reconcile.Interval
	return answer, nil
}

// losses counts what cannot be fetched, or shows late.
func (h *health) losses(ctx context.Context) (db.Losses, error) {
	now := time.Now()
	return h.s.db.CountLosses(ctx, db.LossQuery{Since: now.Add(-lossWindow), Before: now.Add(-lossAge)})
}

// watchLosses keeps the gauges of the losses, until ctx ends. They stay as they are
// when the database does not answer.
func (h *health) watchLosses(ctx context.Context) {
	for {
		if lost, err := h.losses(ctx); err == nil {
			h.s.metrics.reconcile.gaps.Set(float64(lost.Gaps))
			h.s.metrics.reconcile.unfinished.Set(float64(lost.Unfinished))
		}
		if !sleep(ctx, jitter(lossInterval)) {
			return
		}
	}
}

// add counts an organization.
func (a *webhookHealth) add(c *checked) {
	a.BuildsCompared += c.Look.Builds
	a.EventsMissing += c.Look.Missing
	if c.At.After(a.compared) {
		a.compared, a.ReconciledAt = c.At, &c.At
	}
	if c.LossAt.After(a.lossAt) {
		a.lossAt, a.lost, a.of = c.LossAt, c.Lost, c.Of
	}
}

// judge says how the webhook goes, the worst first.
func (a *webhookHealth) judge(now time.Time) {
	silent, proof := now.Sub(a.delivered), a.proof(now)
	switch {
	case len(a.Refused) > 0:
		a.Status = "refusing"
		a.Message = "This server refused deliveries, which Buildkite does not send again. "
		if a.asks {
			a.Message += "What they told of is fetched as soon as the stores take deliveries; if this stays, see /-/readyz and the server's log."
		} else {
			a.Message += "Set BUILDKITE_TOKEN to have what they told of fetched, or run 'build-tracker backfill'."
		}
	case !a.lossAt.IsZero() && now.Sub(a.lossAt) < lossShown:
		a.Status = "losing"
		a.Message = fmt.Sprintf("Webhooks are lost: %d events of %d builds that Buildkite has finished never came, and were fetched. Look at the webhook's recent deliveries in Buildkite's notification settings, and at buildkitestatus.com.", a.lost, a.of)
	case a.delay > slowDelay:
		a.Status = "delayed"
		a.Message = fmt.Sprintf("Webhooks come late: half of the latest took longer than %s from the end of a build or job. Look at buildkitestatus.com, and at what stands before this server.", a.delay.Round(time.Second))
	case !a.delivered.IsZero() && silent < quietAfter:
		a.Status = "ok"
		a.Message = "The webhook works." + proof
	case a.BuildsCompared > 0 && !a.stale(now):
		a.Status = "ok"
		a.Message = "The webhook works, by way of another replica or before this one started." + proof
	case !a.delivered.IsZero():
		a.Status = "quiet"
		a.Message = fmt.Sprintf("No webhook came for %s.%s If builds run, look whether the webhook is enabled in Buildkite's notification settings.", silent.Round(time.Minute), proof)
	default:
		a.Status = "unknown"
		a.Message = "No webhook came since this server started." + proof + " If builds run, look in Buildkite's notification settings whether the webhook points to this server's /buildkite."
	}
}

// proof says what the judgement rests on.
func (a *webhookHealth) proof(now time.Time) string {
	switch {
	case !a.asks:
		return " Whether every event arrives is not known: set BUILDKITE_TOKEN to have it compared with Buildkite."
	case a.compared.IsZero():
		return " It was not compared with Buildkite yet."
	case a.stale(now):
		return fmt.Sprintf(" It was last compared with Buildkite %s ago: the server's log says why not since.", now.Sub(a.compared).Round(time.Minute))
	case a.BuildsCompared == 0:
		return " By Buildkite's account, no build finished lately."
	}
	return fmt.Sprintf(" Of the latest %d builds that Buildkite has finished, every event was here.", a.BuildsCompared)
}

// stale: three looks at Buildkite's builds are overdue.
func (a *webhookHealth) stale(now time.Time) bool { return now.Sub(a.compared) > 3*a.interval }
