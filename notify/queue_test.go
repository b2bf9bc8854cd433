package notify_test

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/notify"
)

// memoryQueue is a Queue as the store is one: a claim is a token until a time.
type memoryQueue struct {
	mu        sync.Mutex
	rows      map[notify.Subject]*row
	postponed []notify.Postponement
	receipts  []notify.Receipt
	// beforeReceipt, if set, runs before a receipt is looked at, without mu.
	beforeReceipt func(notify.Notice)
	// beforeExtend, if set, likewise.
	beforeExtend func()
	down         error
}

type row struct {
	notify.Notice
	claimedUntil, nextTry time.Time
}

func newQueue() *memoryQueue { return &memoryQueue{rows: make(map[notify.Subject]*row)} }

func failedOf(id string) notify.Subject { return notify.Subject{BuildID: id, Kind: notify.KindFailed} }

func (q *memoryQueue) want(id string, rev int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rows[failedOf(id)]
	if r == nil {
		r = &row{Notice: notify.Notice{BuildID: id, Kind: notify.KindFailed}}
		q.rows[failedOf(id)] = r
	}
	r.WantedRev = rev
}

// change runs f on a row as another sender would.
func (q *memoryQueue) change(id string, f func(*row)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f(q.rows[failedOf(id)])
}

func (q *memoryQueue) notice(id string) notify.Notice {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.rows[failedOf(id)].Notice
}

func (q *memoryQueue) waits() []notify.Postponement {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]notify.Postponement(nil), q.postponed...)
}

func (q *memoryQueue) claimed() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.rows {
		if !r.claimedUntil.IsZero() {
			n++
		}
	}
	return n
}

func (q *memoryQueue) Claim(_ context.Context, limit int, ttl time.Duration) ([]notify.Notice, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down != nil {
		return nil, q.down
	}
	now := time.Now()
	var out []notify.Notice
	for _, r := range q.rows {
		if len(out) == limit {
			break
		}
		if r.WantedRev <= r.SentRev || r.nextTry.After(now) || r.claimedUntil.After(now) {
			continue
		}
		r.Uncertain = r.Uncertain || !r.claimedUntil.IsZero()
		r.Token++
		r.claimedUntil = now.Add(ttl)
		out = append(out, r.Notice)
	}
	return out, nil
}

// held returns the row when n's claim is still the latest.
func (q *memoryQueue) held(n notify.Notice) (*row, error) {
	if q.down != nil {
		return nil, q.down
	}
	r := q.rows[notify.Subject{BuildID: n.BuildID, Kind: n.Kind}]
	if r.Token != n.Token {
		return nil, notify.ErrLostClaim
	}
	return r, nil
}

func (q *memoryQueue) Extend(_ context.Context, n notify.Notice, ttl time.Duration) error {
	if q.beforeExtend != nil {
		q.beforeExtend()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.held(n)
	if err != nil {
		return err
	}
	r.claimedUntil = time.Now().Add(ttl)
	return nil
}

func (q *memoryQueue) Receipt(_ context.Context, n notify.Notice, got notify.Receipt) error {
	if q.beforeReceipt != nil {
		q.beforeReceipt(n)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.held(n)
	if err != nil {
		return err
	}
	r.SentRev, r.BodyHash, r.Channel, r.TS = got.SentRev, bytes.Clone(got.BodyHash), got.Channel, got.TS
	r.Attempts, r.LastError, r.Uncertain, r.claimedUntil = 0, "", false, time.Time{}
	q.receipts = append(q.receipts, got)
	return nil
}

func (q *memoryQueue) Postpone(_ context.Context, n notify.Notice, p notify.Postponement) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.held(n)
	if err != nil {
		return err
	}
	if p.Failed {
		r.Attempts++
	}
	r.LastError, r.Uncertain = p.Reason, p.Uncertain
	r.nextTry, r.claimedUntil = time.Now().Add(p.Wait), time.Time{}
	q.postponed = append(q.postponed, p)
	return nil
}

func (q *memoryQueue) Notices(_ context.Context, ids []string) ([]notify.Notice, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []notify.Notice
	for _, id := range ids {
		if r := q.rows[failedOf(id)]; r != nil {
			out = append(out, r.Notice)
		}
	}
	return out, nil
}

// memoryBuilds are the builds by id.
type memoryBuilds struct {
	mu     sync.Mutex
	builds map[string]*build.Build
	// load, if set, runs first; an error of it is returned.
	load func(ctx context.Context, id string) error
}

func (m *memoryBuilds) set(b *build.Build) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.builds == nil {
		m.builds = make(map[string]*build.Build)
	}
	m.builds[b.ID] = b.Clone()
}

func (m *memoryBuilds) Build(ctx context.Context, id string) (*build.Build, error) {
	if m.load != nil {
		if err := m.load(ctx, id); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.builds[id]; b != nil {
		return b.Clone(), nil
	}
	return nil, nil
}
