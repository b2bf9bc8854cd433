package buildtracker

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stats"
)

// defaultStats is how far back a question goes that does not say.
const defaultStats = 30 * 24 * time.Hour

// statsReader is what the answer needs of the database.
type statsReader interface {
	Tallies(ctx context.Context, q db.TallyQuery) ([]db.Tally, error)
	deliveries
	Head(ctx context.Context) (int64, error)
}

// statsRoute answers what builds of some days add up to.
type statsRoute struct {
	store statsReader
	live  func() *config.Live
}

// statsAnswer is a report with what it is about. Organization and pipeline are empty
// for all builds, and so is branch.
type statsAnswer struct {
	Organization string `json:"organization"`
	Pipeline     string `json:"pipeline"`
	Branch       string `json:"branch"`
	// Since is the start of the first day. Builds are counted that finished from then
	// on and were known Until, which is null before all are counted.
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until"`
	stats.Report
	// Days are those with builds.
	Days []statsDay `json:"days"`
}

type statsDay struct {
	Date     string `json:"date"` // UTC
	Builds   int64  `json:"builds"`
	Failures int64  `json:"failures"`
}

func (s *statsRoute) answer(w http.ResponseWriter, r *http.Request) error {
	now := time.Now()
	q, err := s.query(r.URL.Query(), now)
	if err != nil {
		return err
	}
	a := statsAnswer{Organization: q.Organization, Pipeline: q.Pipeline, Branch: q.Branch, Since: q.Since, Days: []statsDay{}}
	if a.Until, err = s.until(r.Context(), now); err != nil {
		return unavailable("The database did not answer. Try again.", err)
	}
	tallies, err := s.store.Tallies(r.Context(), q)
	if err != nil {
		return unavailable("The database did not answer. Try again.", err)
	}
	var sum stats.Tally
	for _, t := range tallies {
		builds, failures := sum.Builds(), sum.Failures()
		if err := sum.AddStored(t.Data); err != nil {
			return err
		}
		a.Days = append(a.Days, statsDay{t.Day.Format(time.DateOnly), sum.Builds() - builds, sum.Failures() - failures})
	}
	a.Report = sum.Report()
	return writeJSON(w, a)
}

// until is up to when builds are counted: until now, if all there is in the stream
// was; nil before all days were counted once.
func (s *statsRoute) until(ctx context.Context, now time.Time) (*time.Time, error) {
	// In this order: what comes in between is not taken for counted.
	until, err := foldedUntil(ctx, s.store, now)
	if err != nil {
		return nil, err
	}
	cursor, err := s.store.Cursor(ctx, statsCursor)
	if err != nil {
		return nil, err
	}
	counted, ok := countedUntil(cursor.State)
	if !ok {
		return nil, nil
	}
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if head != cursor.Position {
		until = counted
	}
	until = until.UTC().Truncate(time.Second)
	return &until, nil
}

// query reads what is asked for.
func (s *statsRoute) query(query url.Values, now time.Time) (q db.TallyQuery, err error) {
	q.Format = stats.Format
	q.Branch = query.Get("branch")
	if q.Organization, q.Pipeline, err = pipelineParam(query); err != nil {
		return q, err
	}
	switch {
	case q.Pipeline != "" && q.Organization == "":
		return q, fail(http.StatusBadRequest, "The parameter pipeline is ORGANIZATION/PIPELINE.")
	case q.Branch != "" && q.Pipeline == "":
		return q, fail(http.StatusBadRequest, "The parameter branch needs a pipeline: add pipeline=ORGANIZATION/PIPELINE.")
	}
	since := now.Add(-defaultStats)
	if text := query.Get("since"); text != "" {
		if since, err = sinceParam(text, now); err != nil {
			return q, fail(http.StatusBadRequest, "The parameter since is "+err.Error()+".")
		}
	}
	if oldest := now.Add(-s.live().Retention.Builds); since.Before(oldest) {
		since = oldest
	}
	q.Since = startOfDay(since)
	return q, nil
}

var errFuture = errors.New("a time in the past")

// sinceParam reads an age, a day or a time of the past.
func sinceParam(text string, now time.Time) (time.Time, error) {
	since, err := config.ParseTime(text, now)
	if err == nil && since.After(now) {
		err = errFuture
	}
	return since, err
}
