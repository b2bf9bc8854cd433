package buildtracker

import (
	"context"
	"errors"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/notify"
)

// noticeQueue is the database as the sender of notices sees it.
type noticeQueue struct {
	db noticeStore
	// appended is called for each event of ours about a build.
	appended func(buildID string)
}

type noticeStore interface {
	Claim(ctx context.Context, limit int, ttl time.Duration) ([]db.Notice, error)
	Extend(ctx context.Context, n db.Notice, ttl time.Duration) error
	Receipt(ctx context.Context, n db.Notice, r db.Receipt) error
	Postpone(ctx context.Context, n db.Notice, p db.Postponement) error
	Notices(ctx context.Context, buildIDs []string) ([]db.Notice, error)
}

func (q noticeQueue) Claim(ctx context.Context, limit int, ttl time.Duration) ([]notify.Notice, error) {
	return notices(q.db.Claim(ctx, limit, ttl))
}

func (q noticeQueue) Notices(ctx context.Context, buildIDs []string) ([]notify.Notice, error) {
	return notices(q.db.Notices(ctx, buildIDs))
}

func (q noticeQueue) Extend(ctx context.Context, n notify.Notice, ttl time.Duration) error {
	return claimError(q.db.Extend(ctx, db.Notice(n), ttl))
}

func (q noticeQueue) Receipt(ctx context.Context, n notify.Notice, r notify.Receipt) error {
	own := noticeEvent(n, r)
	err := claimError(q.db.Receipt(ctx, db.Notice(n), db.Receipt{
		SentRev: r.SentRev, BodyHash: r.BodyHash, Channel: r.Channel, TS: r.TS, Unsent: r.Unsent, Own: own,
	}))
	if err == nil && len(own) > 0 {
		q.appended(n.BuildID)
	}
	return err
}

func (q noticeQueue) Postpone(ctx context.Context, n notify.Notice, p notify.Postponement) error {
	return claimError(q.db.Postpone(ctx, db.Notice(n), db.Postponement(p)))
}

func notices(found []db.Notice, err error) ([]notify.Notice, error) {
	out := make([]notify.Notice, len(found))
	for i, n := range found {
		out[i] = notify.Notice(n)
	}
	return out, err
}

func claimError(err error) error {
	if errors.Is(err, db.ErrLostClaim) {
		return notify.ErrLostClaim
	}
	return err
}

// committedBuilds reads builds as they were committed last.
type committedBuilds struct{ db rowReader }

type rowReader interface {
	Builds(ctx context.Context, ids []string) ([]db.Row, error)
}

func (c committedBuilds) Build(ctx context.Context, id string) (*build.Build, error) {
	rows, err := c.db.Builds(ctx, []string{id})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return build.Decode(rows[0].Snapshot)
}
