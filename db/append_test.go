package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// scripted is a store whose commits wait for the test.
type scripted struct {
	batches chan []string // of types, as each commit begins
	results chan error    // what each commit ends with
	next    int64
}

func newScripted() *scripted {
	return &scripted{batches: make(chan []string), results: make(chan error)}
}

func (s *scripted) appendBatch(_ context.Context, batch []entry) ([]Appended, error) {
	types := make([]string, len(batch))
	for i := range batch {
		types[i] = batch[i].Type
	}
	s.batches <- types
	if err := <-s.results; err != nil {
		return nil, err
	}
	results := make([]Appended, len(batch))
	for i := range results {
		s.next++
		results[i].Position = s.next
	}
	return results, nil
}

// commit lets one commit end with err, and returns what was in it.
func (s *scripted) commit(err error) []string {
	types := <-s.batches
	s.results <- err
	return types
}

func named(name string) Delivery {
	d := Delivery{Type: name}
	copy(d.Key[:], name)
	return d
}

// pending is an append that runs.
type pending struct {
	result Appended
	err    error
}

// send starts appends one after the other, so that they queue in this order.
func send(ctx context.Context, g *groupCommit, names ...string) []*pending {
	var list []*pending
	for _, name := range names {
		p := new(pending)
		go func() { p.result, p.err = g.append(ctx, named(name)) }()
		synctest.Wait()
		list = append(list, p)
	}
	return list
}

func group(t *testing.T, s appender, count, size int) *groupCommit {
	g := newGroupCommit(s, count, size)
	t.Cleanup(g.close)
	return g
}

func wantBatch(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatArrivesDuringACommitSharesTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		g := group(t, s, 0, 0)
		sent := send(t.Context(), g, "a", "b", "c", "b", "d")
		wantBatch(t, s.commit(nil), "a")
		wantBatch(t, s.commit(nil), "b", "c", "d") // the second b is no matter for the store
		synctest.Wait()
		want := []Appended{{Position: 1}, {Position: 2}, {Position: 3}, {Duplicate: true}, {Position: 4}}
		for i, p := range sent {
			if p.err != nil || p.result != want[i] {
				t.Errorf("delivery %d: %+v, %v, want %+v", i, p.result, p.err, want[i])
			}
		}
	})
}

// timed is a store whose commits take a while, and that notes their sizes.
type timed struct {
	takes time.Duration
	sizes []int
}

func (s *timed) appendBatch(_ context.Context, batch []entry) ([]Appended, error) {
	time.Sleep(s.takes)
	s.sizes = append(s.sizes, len(batch))
	return make([]Appended, len(batch)), nil
}

func TestCommitWaitsForTheCallersOfTheLatest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &timed{takes: 8 * time.Millisecond}
		g := newGroupCommit(store, 0, 0)
		const callers, times = 10, 20
		var calling sync.WaitGroup
		for n := range callers {
			calling.Go(func() {
				for i := range times {
					time.Sleep(time.Duration(n) * 100 * time.Microsecond) // none comes at once
					if _, err := g.append(t.Context(), named(fmt.Sprint(n, "-", i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		calling.Wait()
		g.close()
		// The first ones find out how many they are.
		if commits := len(store.sizes); commits > times+3 {
			t.Errorf("%d commits for %d rounds of callers: %v", commits, times, store.sizes)
		}
	})
}

func TestCommitDoesNotWaitLongForWhoStaysAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &timed{takes: 80 * time.Millisecond}
		g := newGroupCommit(store, 0, 0)
		send(t.Context(), g, "a", "b", "c", "d")
		time.Sleep(time.Second)
		for range 2 { // of the crowd of four, and then of one
			began := time.Now()
			if _, err := g.append(t.Context(), named("again")); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > store.takes+maxGather {
				t.Errorf("a lone append took %s, the commit %s", took, store.takes)
			}
		}
		began := time.Now()
		if _, err := g.append(t.Context(), named("alone")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != store.takes {
			t.Errorf("an append that has always been alone took %s, the commit %s", took, store.takes)
		}
		g.close()
	})
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	payload := make([]byte, 1000)
	for i := range payload {
		payload[i] = byte(rand.Int())
	}
	for name, limit := range map[string]struct{ count, bytes int }{
		"by count": {3, 1 << 20},
		"by bytes": {100, 3500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				g := group(t, s, limit.count, limit.bytes)
				send(t.Context(), g, "running")
				types := <-s.batches
				wantBatch(t, types, "running")
				for _, name := range []string{"1", "2", "3"} {
					d := named(name)
					d.Data = payload
					go func() { _, _ = g.append(t.Context(), d) }()
					synctest.Wait()
				}
				d := named("4")
				d.Data = payload
				if _, err := g.append(t.Context(), d); !errors.Is(err, ErrFull) {
					t.Errorf("error %v, want %v", err, ErrFull)
				}
				s.results <- nil
				wantBatch(t, s.commit(nil), "1", "2", "3")
				synctest.Wait()
				if now := g.appending(); now.Waiting != 0 || now.Commits == 0 || g.bytes != 0 {
					t.Errorf("%+v, %d bytes left in the queue", now, g.bytes)
				}
			})
		})
	}
}

func TestWaiterThatGaveUpIsNotWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		g := group(t, s, 0, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := send(ctx, g, "begun")
		<-s.batches
		waiting := send(ctx, g, "gave up")
		send(t.Context(), g, "stayed")
		time.Sleep(2 * time.Second) // of the bubble's clock
		synctest.Wait()
		for _, p := range append(begun, waiting...) {
			if !errors.Is(p.err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", p.err, context.DeadlineExceeded)
			}
		}
		s.results <- nil
		wantBatch(t, s.commit(nil), "stayed")
	})
}

// Who gives up while the commit waits for others leaves nobody to commit for, and
// the next one is committed all the same.
func TestAllMayGiveUpBeforeTheirCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGroupCommit(&timed{takes: 80 * time.Millisecond}, 0, 0)
		send(t.Context(), g, "a", "b", "c", "d") // a crowd, for which the next commit waits
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), maxGather/2)
		defer cancel()
		if _, err := g.append(ctx, named("gave up")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		time.Sleep(time.Second) // nobody else came
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := g.append(ctx, named("next")); err != nil {
			t.Errorf("the next one: %v", err)
		}
		g.close()
	})
}

func TestOnlyTheCulpritIsRefused(t *testing.T) {
	t.Parallel()
	for name, culprits := range map[string][]int{
		"the first": {0}, "the last": {16}, "one between": {9}, "two neighbours": {4, 5}, "two apart": {2, 13},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := make(map[string]bool)
			for _, n := range culprits {
				bad[fmt.Sprint(n)] = true
			}
			s := &picky{bad: bad}
			g := group(t, s, 0, 0)
			var waiters sync.WaitGroup
			for n := range 17 {
				waiters.Go(func() {
					_, err := g.append(t.Context(), named(fmt.Sprint(n)))
					if want := bad[fmt.Sprint(n)]; errors.Is(err, ErrRefused) != want || (err != nil) != want {
						t.Errorf("delivery %d: error %v", n, err)
					}
				})
			}
			waiters.Wait()
		})
	}
}

// picky refuses a whole batch for what it holds.
type picky struct{ bad map[string]bool }

func (p *picky) appendBatch(_ context.Context, batch []entry) ([]Appended, error) {
	for i := range batch {
		if p.bad[batch[i].Type] {
			return nil, &contentError{errors.New("bad " + batch[i].Type)}
		}
	}
	return make([]Appended, len(batch)), nil
}

func TestAllWaitersHearThatTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		g := group(t, s, 0, 0)
		sent := send(t.Context(), g, "a", "b", "c")
		away := errors.New("connection refused")
		wantBatch(t, s.commit(away), "a")
		synctest.Wait()
		for i, p := range sent {
			if !errors.Is(p.err, away) || errors.Is(p.err, ErrRefused) {
				t.Errorf("delivery %d: error %v, want %v", i, p.err, away)
			}
		}
		sent = send(t.Context(), g, "d")
		wantBatch(t, s.commit(nil), "d")
		synctest.Wait()
		if sent[0].err != nil {
			t.Errorf("after it is back: %v", sent[0].err)
		}
	})
}

func TestStoreThatFailedACommitIsNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newScripted()
		g := newGroupCommit(store, 0, 0)
		defer g.close()
		commit := func(err error) {
			go func() { _, _ = g.append(t.Context(), named("x")) }()
			store.commit(err)
			synctest.Wait()
		}
		diskFull := errors.New("disk full")
		if err := g.ready(); err != nil {
			t.Errorf("before the first commit: %v", err)
		}
		commit(diskFull)
		if err := g.ready(); !errors.Is(err, diskFull) {
			t.Errorf("after a failed commit: %v, want %v", err, diskFull)
		}
		commit(nil)
		if err := g.ready(); err != nil {
			t.Errorf("after the next commit: %v", err)
		}
		commit(diskFull)
		<-time.After(troubleLasts)
		if err := g.ready(); err != nil {
			t.Errorf("when nothing was tried for a while: %v", err)
		}
	})
}

// away is a store whose first commit fails, and whose others pass.
type away struct{ failed bool }

func (a *away) appendBatch(_ context.Context, batch []entry) ([]Appended, error) {
	if !a.failed {
		a.failed = true
		return nil, errors.New("away")
	}
	return make([]Appended, len(batch)), nil
}

// TestOutcomeIsKnownBeforeTheAnswer runs often: the two used to be told in the
// other order, within microseconds.
func TestOutcomeIsKnownBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	for range 2000 {
		g := newGroupCommit(new(away), 0, 0)
		if _, err := g.append(t.Context(), named("first")); err == nil {
			t.Error("the first append passed")
		}
		if g.ready() == nil {
			t.Error("ready although the latest commit failed")
		}
		if _, err := g.append(t.Context(), named("second")); err != nil {
			t.Errorf("the second append got the first one's error: %v", err)
		}
		if err := g.ready(); err != nil {
			t.Errorf("not ready although the latest commit passed: %v", err)
		}
		g.close()
		if t.Failed() {
			return
		}
	}
}

func TestHalvingEndsWhenTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		g := group(t, s, 0, 0)
		send(t.Context(), g, "first")
		<-s.batches
		sent := send(t.Context(), g, "a", "b", "c", "d")
		s.results <- nil
		away := errors.New("connection refused")
		wantBatch(t, s.commit(&contentError{errors.New("bad")}), "a", "b", "c", "d")
		wantBatch(t, s.commit(away), "a", "b")
		synctest.Wait()
		for i, p := range sent {
			if !errors.Is(p.err, away) {
				t.Errorf("delivery %d: error %v, want %v", i, p.err, away)
			}
		}
	})
}

func TestCloseCommitsWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		g := newGroupCommit(s, 0, 0)
		sent := send(t.Context(), g, "a", "b", "c")
		closed := false
		go func() {
			g.close()
			closed = true
		}()
		synctest.Wait()
		if _, err := g.append(t.Context(), named("late")); !errors.Is(err, ErrClosed) {
			t.Errorf("error %v, want %v", err, ErrClosed)
		}
		wantBatch(t, s.commit(nil), "a")
		wantBatch(t, s.commit(nil), "b", "c")
		synctest.Wait()
		if !closed {
			t.Error("close did not return")
		}
		for i, p := range sent {
			if p.err != nil {
				t.Errorf("delivery %d: %v", i, p.err)
			}
		}
	})
}

func TestBatchIsBounded(t *testing.T) {
	t.Parallel()
	g := &groupCommit{}
	for range 20 {
		g.queue = append(g.queue, &waiter{entry: entry{payload: make([]byte, 3<<20)}})
		g.bytes += 3 << 20
	}
	if n := len(g.take()); n != 5 {
		t.Errorf("%d deliveries of 3 MiB in a batch, want 5", n)
	}
	g.queue, g.bytes = []*waiter{{entry: entry{payload: make([]byte, 20<<20)}}}, 20<<20
	if n := len(g.take()); n != 1 {
		t.Errorf("%d deliveries of 20 MiB in a batch, want 1", n)
	}
	for range 3000 {
		g.queue = append(g.queue, &waiter{})
	}
	if n := len(g.take()); n != maxBatchCount {
		t.Errorf("%d small deliveries in a batch, want %d", n, maxBatchCount)
	}
}

func TestDamagedPayloadClaimsNoMemory(t *testing.T) {
	t.Parallel()
	claimsFourGiB := []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}
	if data, err := unpack(claimsFourGiB); err == nil {
		t.Errorf("unpacked %d bytes", len(data))
	}
}

func TestPackedPayloadsComeBack(t *testing.T) {
	t.Parallel()
	var p packer
	for _, size := range []int{0, 1, 100, 1 << 10, 70 << 10, 3 << 20} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * i >> 3)
		}
		packed := p.pack(data)
		if cap(packed) != len(packed) {
			t.Errorf("%d bytes: %d kept for %d", size, cap(packed), len(packed))
		}
		_ = p.pack([]byte("something else")) // in the same buffer
		if got, err := unpack(packed); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
	if _, err := unpack([]byte{0xff, 1, 2}); err == nil {
		t.Error("garbage was unpacked")
	}
}

func FuzzClean(f *testing.F) {
	f.Add("", 10)
	f.Add("plain", 3)
	f.Add("a\x00b\xff\xed\xa0\x80", 5)
	f.Add("üüü", 3)
	f.Fuzz(func(t *testing.T, s string, max int) {
		max = min(1000, max&0xffff)
		got := clean(s, max)
		d := Delivery{Type: got}
		if err := check(&d); len(got) > max || len(got) <= maxName && err != nil {
			t.Errorf("clean(%q, %d) is %q: %v", s, max, got, err)
		}
	})
}
