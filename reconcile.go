package buildtracker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
)

const (
	// foldWait bounds the wait for the tracker before builds are compared.
	foldWait = 2 * time.Minute
	// settleTime is how long webhooks of a finished build may be under way.
	settleTime = time.Minute
	// overlap is how far a look goes back behind the one before: a build may have
	// left the list while it was read, and clocks differ.
	overlap = time.Hour
)

// reconciler appends to the stream what Buildkite's REST API has of finished
// builds and the stream has not: the payloads that webhooks would have been,
// marked as what they are.
//
// What is missing is told by the build's row, so a look that finds everything
// appends nothing. Rows follow the stream: builds are compared when the tracker is
// past where the stream ended when they were shown.
type reconciler struct {
	api interface {
		Builds(ctx context.Context, q buildkite.BuildsQuery, do func(buildkite.BuildsPage) error) error
	}
	db       reconcileStore
	live     func() *config.Live
	recorded func(buildID string)
	metrics  *reconcileMetrics
	log      *slog.Logger
}

type reconcileStore interface {
	appender
	rowReader
	streamReader
	Reconciliation(ctx context.Context, name string) (string, error)
	SetReconciliation(ctx context.Context, name, state string) error
}

// streamReader tells how far the stream is, and its readers.
type streamReader interface {
	Head(ctx context.Context) (int64, error)
	Cursor(ctx context.Context, name string) (db.Cursor, error)
}

// look is a look at the builds of an organization, or of one pipeline, and how far
// it is.
type look struct {
	Organization string `json:"organization"`
	Pipeline     string `json:"pipeline,omitempty"`
	// Since and Until bound when a build finished; a zero Until does not.
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
	// Settled leaves builds that finished just now to a later look.
	Settled bool `json:"settled,omitempty"`

	// Began is when Buildkite was first asked, by its clock; zero before. Before is
	// where the list goes on.
	Began  time.Time `json:"began,omitzero"`
	Before time.Time `json:"before,omitzero"`
	// Builds counts those that were compared, and Missing what was appended.
	Builds  int64 `json:"builds"`
	Missing int64 `json:"missing"`
}

// wants says whether a build that was shown in answer to a request at asked is
// looked at.
func (l *look) wants(b *build.BuildFacts, asked time.Time) bool {
	switch finished := b.FinishedAt; {
	case finished.IsZero(), finished.Before(l.Since):
		return false
	case !l.Until.IsZero() && finished.After(l.Until):
		return false
	default:
		return !l.Settled || finished.Before(asked.Add(-settleTime))
	}
}

// run looks, from where l is on, and calls kept after each page with about how
// many builds are left.
func (r *reconciler) run(ctx context.Context, l *look, kept func(left int) error) error {
	q := buildkite.BuildsQuery{Organization: l.Organization, Pipeline: l.Pipeline, FinishedFrom: l.Since, Before: l.Before}
	return r.api.Builds(ctx, q, func(p buildkite.BuildsPage) error {
		if l.Began.IsZero() {
			l.Began = p.Asked
		}
		if err := r.compare(ctx, l, p); err != nil {
			return err
		}
		l.Before = p.Before
		return kept(p.Left)
	})
}

// compare appends what the stream lacks of a page of builds.
func (r *reconciler) compare(ctx context.Context, l *look, p buildkite.BuildsPage) error {
	var shown []*buildkite.Shown
	var ids []string
	for _, raw := range p.Builds {
		one, err := buildkite.ReadShown(l.Organization, raw)
		if err != nil {
			r.log.WarnContext(ctx, "a build that Buildkite shows cannot be read, and is passed over", "organization", l.Organization, "error", err)
			continue
		}
		if l.wants(&one.Facts.Build, p.Asked) {
			shown, ids = append(shown, one), append(ids, one.Facts.Build.ID)
		}
	}
	if len(shown) == 0 {
		return nil
	}
	if err := r.caughtUp(ctx); err != nil {
		return err
	}
	rows, err := r.db.Builds(ctx, ids)
	if err != nil {
		return err
	}
	known := make(map[string]*build.Build, len(rows))
	for _, row := range rows {
		// A damaged row knows nothing; what is appended for it twice is a duplicate.
		known[row.ID], _ = build.Decode(row.Snapshot)
	}
	for _, one := range shown {
		missing := build.MissingIn(known[one.Facts.Build.ID], &one.Facts)
		n, err := r.append(ctx, one, missing)
		l.Missing += n
		if err != nil {
			return err
		}
	}
	l.Builds += int64(len(shown))
	r.metrics.builds.Add(float64(len(shown)))
	return nil
}

// append records what is missing, and returns how many events it was.
func (r *reconciler) append(ctx context.Context, shown *buildkite.Shown, missing build.Missing) (n int64, err error) {
	if missing.None() {
		return 0, nil
	}
	live := r.live()
	deliveries, err := shown.Deliveries(missing, buildkite.Options{EnvKeep: live.EnvKeep})
	if err != nil { // its text is what cannot be read, and will not change
		r.log.WarnContext(ctx, "what a build lacks cannot be made", "build", shown.Facts.Build.ID, "error", err)
		return 0, nil
	}
	for _, d := range deliveries {
		at, err := r.db.Append(ctx, db.Delivery{
			Key: d.Key, Organization: d.Organization, Pipeline: d.Pipeline, Number: d.Number,
			BuildID: d.BuildID, Type: d.Event, Data: d.Data, Team: live.TeamOf(d.Organization, d.Pipeline),
			Own: stepEvents(d),
		})
		switch {
		case errors.Is(err, db.ErrRefused):
			r.log.WarnContext(ctx, "the store cannot hold an event that was missing", "build", d.BuildID, "event", d.Event, "error", err)
		case err != nil:
			return n, fmt.Errorf("record what build %s lacks: %w", d.BuildID, err)
		case !at.Duplicate:
			n++
			r.metrics.missing.WithLabelValues(d.Event).Inc()
			r.recorded(d.BuildID)
		}
	}
	return n, nil
}

// caughtUp waits until the tracker has read what is in the stream now.
func (r *reconciler) caughtUp(ctx context.Context) error {
	head, err := r.db.Head(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, foldWait, errors.New("builds are compared when all events before are folded, which did not happen in time: see the server's log for why, and whether Redis answers"))
	defer cancel()
	for {
		cursor, err := r.db.Cursor(ctx, trackerCursor)
		if err == nil && cursor.Position >= head {
			return nil
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// load reads what was kept under a name into v, and says whether there was any.
// What cannot be read is as nothing.
func (r *reconciler) load(ctx context.Context, name string, v any) (bool, error) {
	text, err := r.db.Reconciliation(ctx, name)
	if err != nil || text == "" {
		return false, err
	}
	return json.Unmarshal([]byte(text), v) == nil, nil
}

// keep replaces what was kept under a name.
func (r *reconciler) keep(ctx context.Context, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep how far a look is: %w", err)
	}
	return r.db.SetReconciliation(ctx, name, string(text))
}
