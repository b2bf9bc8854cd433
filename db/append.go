package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Limits of one commit of the group. What waits beyond them goes into the next.
const (
	maxBatchCount = 1024
	maxBatchBytes = 16 << 20
)

// Limits of the queue, unless options say otherwise.
const (
	defaultQueueCount = 4096
	defaultQueueBytes = 64 << 20
)

// maxGather bounds how long a commit waits for callers that are about to come.
const maxGather = 2 * time.Millisecond

// appendTimeout bounds one commit. Buildkite waits 5 seconds for an answer.
const appendTimeout = 4 * time.Second

// entry is a delivery as a backend writes it: checked, the payload compressed.
type entry struct {
	Delivery
	payload []byte
	own     []entry // of the delivery's own, recorded behind it
}

// appender writes a batch of entries with distinct keys in one transaction and
// returns where each stands. A contentError means that nothing was written and
// that some entry of the batch is to blame; any other error, that the store
// could not be reached, and the outcome may be unknown.
type appender interface {
	appendBatch(ctx context.Context, batch []entry) ([]Appended, error)
}

// contentError is the store's refusal of what a batch holds.
type contentError struct{ err error }

func (e *contentError) Error() string { return e.err.Error() }
func (e *contentError) Unwrap() error { return e.err }

// groupCommit gathers the deliveries that arrive while one commit runs into the
// next one. One goroutine commits.
type groupCommit struct {
	store    appender
	maxCount int
	maxBytes int
	packer   packer

	mu     sync.Mutex
	filled sync.Cond // the queue has grown, or closed or gathered is set
	queue  []*waiter
	bytes  int // of the payloads in queue
	closed bool
	// commits counts those that succeeded.
	commits int64
	// crowd is how many callers there were when the latest commit ended: those
	// that it answered, who come again, and those that waited behind it.
	crowd int
	// gather is how long it is worth to wait for them, and gathered that it is over.
	gather   time.Duration
	gathered bool
	// trouble is why the latest commit failed; nil when it did not.
	trouble  error
	troubled time.Time

	stopped chan struct{} // closed when the goroutine has ended
}

// waiter is a delivery and the caller that waits for it.
type waiter struct {
	entry
	done   chan struct{} // closed when result and err are set
	result Appended
	err    error
}

func (w *waiter) settle(a Appended, err error) { w.result, w.err = a, err }

// newGroupCommit starts the goroutine; close ends it. A limit of 0 is the default.
func newGroupCommit(store appender, maxCount, maxBytes int) *groupCommit {
	if maxCount <= 0 {
		maxCount = defaultQueueCount
	}
	if maxBytes <= 0 {
		maxBytes = defaultQueueBytes
	}
	g := &groupCommit{store: store, maxCount: maxCount, maxBytes: maxBytes, stopped: make(chan struct{})}
	g.filled.L = &g.mu
	go g.run()
	return g
}

// append is Store.Append.
func (g *groupCommit) append(ctx context.Context, d Delivery) (Appended, error) {
	if err := check(&d); err != nil {
		return Appended{}, err
	}
	w := &waiter{entry: entry{Delivery: d}, done: make(chan struct{})}
	w.payload = g.packer.pack(d.Data)
	w.Data = nil // the caller's; only the compressed form waits
	w.own, w.Own = ownEntries(d.Own), nil
	if err := g.enqueue(w); err != nil {
		return Appended{}, err
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		if g.withdraw(w) {
			return Appended{}, fmt.Errorf("append: %w", context.Cause(ctx))
		}
		select {
		case <-w.done: // both at once: the known outcome counts
		default:
			return Appended{}, fmt.Errorf("append, outcome unknown: %w", context.Cause(ctx))
		}
	}
	return w.result, w.err
}

func (g *groupCommit) enqueue(w *waiter) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	if len(g.queue) >= g.maxCount || len(g.queue) > 0 && g.bytes+len(w.payload) > g.maxBytes {
		return ErrFull
	}
	g.queue = append(g.queue, w)
	g.bytes += len(w.payload)
	g.filled.Signal()
	return nil
}

// withdraw takes w out of the queue. False: its commit has begun.
func (g *groupCommit) withdraw(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queue, w)
	if i < 0 {
		return false
	}
	g.queue = slices.Delete(g.queue, i, i+1)
	g.bytes -= len(w.payload)
	return true
}

// appending is Store.Appending.
func (g *groupCommit) appending() Appending {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Appending{Waiting: len(g.queue), Commits: g.commits}
}

// troubleLasts is how long a store that failed a commit counts as failing when
// no other commit was tried: a probe may succeed where a commit does not, as on
// a disk that is almost full.
const troubleLasts = 5 * time.Second

// ready returns why the next delivery would not be taken.
func (g *groupCommit) ready() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) >= g.maxCount || g.bytes >= g.maxBytes {
		return ErrFull
	}
	if g.trouble != nil && time.Since(g.troubled) < troubleLasts {
		return g.trouble
	}
	return nil
}

// outcome remembers how the latest commit went: how many it answered, and how
// long it took. When the store is away, it returns who waits behind the batch.
func (g *groupCommit) outcome(answered int, took time.Duration, err error) (behind []*waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trouble, g.troubled = err, time.Now()
	if err == nil {
		g.commits++
	}
	if err != nil {
		behind = g.dequeue(len(g.queue))
	}
	g.crowd, g.gather = answered+len(g.queue), min(took/4, maxGather)
	return behind
}

// close refuses new deliveries, commits those that wait, and returns when the
// goroutine has ended.
func (g *groupCommit) close() {
	g.mu.Lock()
	g.closed = true
	g.filled.Signal()
	g.mu.Unlock()
	<-g.stopped
}

func (g *groupCommit) run() {
	defer close(g.stopped)
	for {
		batch := g.take()
		if len(batch) == 0 {
			return
		}
		began := time.Now()
		err := g.commit(batch)
		// Before anyone is answered: who asks next sees how it went, and is not
		// taken for one who waited behind this batch. Those are told at once,
		// rather than after a timeout of their own.
		behind := g.outcome(len(batch), time.Since(began), err)
		settleAll(behind, err)
		for _, w := range append(batch, behind...) {
			close(w.done)
		}
	}
}

// take waits for deliveries and returns as many as one commit may hold. None
// means closed.
func (g *groupCommit) take() []*waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		for len(g.queue) == 0 && !g.closed {
			g.filled.Wait()
		}
		g.wait()
		if len(g.queue) > 0 || g.closed {
			break
		} // else those for whom it waited gave up meanwhile, all of them
	}
	n, size := 0, 0
	for n < len(g.queue) && n < maxBatchCount {
		size += len(g.queue[n].payload)
		if n > 0 && size > maxBatchBytes {
			break
		}
		n++
	}
	return g.dequeue(n)
}

// wait lets the crowd come before the next commit. Without it, the callers of
// a busy store fall into two halves that wait for each other's commits, each of
// half the size.
func (g *groupCommit) wait() {
	if len(g.queue) >= g.crowd || g.closed {
		return
	}
	g.gathered = false
	timer := time.AfterFunc(g.gather, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.gathered = true
		g.filled.Signal()
	})
	defer timer.Stop()
	for len(g.queue) < min(g.crowd, maxBatchCount) && !g.gathered && !g.closed {
		g.filled.Wait()
	}
}

func (g *groupCommit) dequeue(n int) []*waiter {
	batch := slices.Clone(g.queue[:n])
	g.queue = slices.Delete(g.queue, 0, n)
	for _, w := range batch {
		g.bytes -= len(w.payload)
	}
	return batch
}

// commit writes a batch and settles its waiters. The error is the store's when
// it could not be reached.
func (g *groupCommit) commit(batch []*waiter) error {
	first := make(map[[32]byte]*waiter, len(batch))
	distinct := batch[:0:0]
	var repeats []*waiter
	for _, w := range batch {
		if first[w.Key] == nil {
			first[w.Key] = w
			distinct = append(distinct, w)
		} else {
			repeats = append(repeats, w)
		}
	}
	err := g.write(distinct)
	for _, w := range repeats {
		if f := first[w.Key]; f.err != nil {
			w.settle(Appended{}, f.err)
		} else {
			w.settle(Appended{Duplicate: true}, nil)
		}
	}
	return err
}

// write commits waiters with distinct keys and settles them. A batch that is
// refused for its content is halved until only the culprits are left.
func (g *groupCommit) write(batch []*waiter) error {
	entries, at := flatten(batch)
	ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
	results, err := g.store.appendBatch(ctx, entries)
	cancel()
	if err == nil {
		for i, w := range batch {
			w.settle(results[at[i]], nil)
		}
		return nil
	}
	var content *contentError
	if !errors.As(err, &content) {
		err = fmt.Errorf("append: %w", err)
		settleAll(batch, err)
		return err
	}
	if len(batch) == 1 {
		batch[0].settle(Appended{}, fmt.Errorf("append: %w: %w", ErrRefused, content.err))
		return nil
	}
	half := len(batch) / 2
	if err := g.write(batch[:half]); err != nil {
		settleAll(batch[half:], err)
		return err
	}
	return g.write(batch[half:])
}

// flatten returns the waiters' entries, each with its own behind it, and where in
// them each waiter's is. Of two with one key the first is left.
func flatten(batch []*waiter) (entries []entry, at []int) {
	var seen map[[32]byte]bool
	at = make([]int, len(batch))
	for i, w := range batch {
		at[i] = len(entries)
		entries = append(entries, w.entry)
		for _, own := range w.own {
			if seen[own.Key] {
				continue
			}
			if seen == nil {
				seen = make(map[[32]byte]bool)
			}
			seen[own.Key] = true
			entries = append(entries, own)
		}
	}
	return entries, at
}

func settleAll(batch []*waiter, err error) {
	for _, w := range batch {
		w.settle(Appended{}, err)
	}
}
