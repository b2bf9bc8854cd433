package dbtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/build-tracker/build-tracker/db"
)

var notices = map[string]func(*testing.T, db.Store){
	"a notice is wanted, claimed, sent":         testNotice,
	"a want without create moves what is there": testWantExisting,
	"a want never lowers":                       testWantLower,
	"claims are exclusive":                      testClaimExclusive,
	"an expired claim is uncertain":             testExpiredClaim,
	"a lost claim writes nothing":               testLostClaim,
	"a claim is given up once":                  testGivenUp,
	"a claim is extended":                       testExtend,
	"a postponed notice waits":                  testPostpone,
	"a want raised while claimed is due after":  testRaiseWhileClaimed,
	"a settled notice is due at a new want":     testSettledRaise,
	"nothing said is a receipt too":             testUnsent,
}

const hour = time.Hour

// want commits wants, wherever the cursor is.
func want(t *testing.T, s db.Store, wants ...db.Want) {
	t.Helper()
	at := must(s.Cursor(t.Context(), "tracker"))(t).Position
	commit(t, s, at, at+1, db.Batch{Wants: wants})
}

func wantNew(t *testing.T, s db.Store, id string, rev int64) {
	t.Helper()
	want(t, s, db.Want{BuildID: id, Kind: "failed", Rev: rev, Create: true})
}

// claimOne claims the one notice that is due.
func claimOne(t *testing.T, s db.Store, ttl time.Duration) db.Notice {
	t.Helper()
	claimed := must(s.Claim(t.Context(), 10, ttl))(t)
	if len(claimed) != 1 {
		t.Fatalf("claimed %d notices, want 1: %+v", len(claimed), claimed)
	}
	return claimed[0]
}

func noneDue(t *testing.T, s db.Store) {
	t.Helper()
	if claimed := must(s.Claim(t.Context(), 10, hour))(t); len(claimed) != 0 {
		t.Fatalf("claimed %+v, want none", claimed)
	}
}

func wantNotice(t *testing.T, got, want db.Notice) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(db.Notice{}, "Token", "SentAt"), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func stored(t *testing.T, s db.Store, id string) db.Notice {
	t.Helper()
	found := must(s.Notices(t.Context(), []string{id, "unknown", "\x00"}))(t)
	if len(found) != 1 {
		t.Fatalf("%d notices of %s, want 1", len(found), id)
	}
	return found[0]
}

func receipt(rev int64) db.Receipt {
	return db.Receipt{SentRev: rev, BodyHash: []byte{1, 2}, Channel: "C1", TS: "123.456"}
}

func testNotice(t *testing.T, s db.Store) {
	noneDue(t, s)
	wantNew(t, s, "a", 5)
	n := claimOne(t, s, hour)
	wantNotice(t, n, db.Notice{BuildID: "a", Kind: "failed", WantedRev: 5})
	if n.Token == 0 || !n.SentAt.IsZero() {
		t.Errorf("claimed %+v", n)
	}
	noneDue(t, s)
	if due := must(s.CountDue(t.Context()))(t); due != 1 {
		t.Errorf("%d due while claimed, want 1", due)
	}
	wantNew(t, s, "b", 7)
	if rev := must(s.OldestDue(t.Context()))(t); rev != 5 {
		t.Errorf("the oldest due wants %d, want 5", rev)
	}
	noError(t, s.Receipt(t.Context(), claimOne(t, s, hour), receipt(7)))
	noError(t, s.Receipt(t.Context(), n, receipt(5)))
	got := stored(t, s, "a")
	wantNotice(t, got, db.Notice{BuildID: "a", Kind: "failed", WantedRev: 5, SentRev: 5, BodyHash: []byte{1, 2}, Channel: "C1", TS: "123.456"})
	if age := time.Since(got.SentAt); age < -time.Minute || age > time.Minute {
		t.Errorf("sent at %v", got.SentAt)
	}
	noneDue(t, s)
	if due := must(s.CountDue(t.Context()))(t); due != 0 {
		t.Errorf("%d due, want 0", due)
	}
	if rev := must(s.OldestDue(t.Context()))(t); rev != 0 {
		t.Errorf("the oldest due wants %d, want none", rev)
	}
}

func testWantExisting(t *testing.T, s db.Store) {
	want(t, s, db.Want{BuildID: "a", Kind: "failed", Rev: 1})
	if found := must(s.Notices(t.Context(), []string{"a"}))(t); len(found) != 0 {
		t.Fatalf("made %+v", found)
	}
	wantNew(t, s, "a", 2)
	want(t, s, db.Want{BuildID: "a", Kind: "failed", Rev: 3}, db.Want{BuildID: "a", Kind: "other", Rev: 3})
	wantNotice(t, stored(t, s, "a"), db.Notice{BuildID: "a", Kind: "failed", WantedRev: 3})
}

func testWantLower(t *testing.T, s db.Store) {
	wantNew(t, s, "a", 5)
	noError(t, s.Receipt(t.Context(), claimOne(t, s, hour), receipt(7))) // rendered at a later revision
	wantNew(t, s, "a", 4)
	want(t, s, db.Want{BuildID: "a", Kind: "failed", Rev: 3})
	if got := stored(t, s, "a").WantedRev; got != 5 {
		t.Errorf("wanted %d, want 5", got)
	}
	wantNew(t, s, "a", 6)
	noneDue(t, s) // revision 6 is in what was sent
}

func testClaimExclusive(t *testing.T, s db.Store) {
	const total, senders = 40, 8
	var wants []db.Want
	for n := range total {
		wants = append(wants, db.Want{BuildID: fmt.Sprintf("build-%d", n), Kind: "failed", Rev: 1, Create: true})
	}
	want(t, s, wants...)
	var mu sync.Mutex
	owners := make(map[string]int)
	tokens := make(map[int64]bool)
	var group sync.WaitGroup
	for range senders {
		group.Go(func() {
			for {
				claimed, err := s.Claim(t.Context(), 3, hour)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, n := range claimed {
					owners[n.BuildID]++
					tokens[n.Token] = true
				}
				done := len(owners) == total
				mu.Unlock()
				if len(claimed) == 0 && done {
					return
				}
			}
		})
	}
	group.Wait()
	for id, n := range owners {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
	if len(tokens) != total {
		t.Errorf("%d tokens for %d claims", len(tokens), total)
	}
}

func testExpiredClaim(t *testing.T, s db.Store) {
	wantNew(t, s, "a", 1)
	first := claimOne(t, s, 0) // ends at once
	if first.Uncertain {
		t.Error("the first claim is uncertain")
	}
	second := claimOne(t, s, hour)
	if !second.Uncertain || second.Token == first.Token {
		t.Errorf("after %+v the second claim is %+v", first, second)
	}
	noError(t, s.Receipt(t.Context(), second, receipt(1)))
	wantNew(t, s, "a", 2)
	if third := claimOne(t, s, hour); third.Uncertain {
		t.Error("a claim after a receipt is uncertain")
	}
}

func testLostClaim(t *testing.T, s db.Store) {
	wantNew(t, s, "a", 1)
	lost := claimOne(t, s, 0)
	held := claimOne(t, s, hour)
	before := stored(t, s, "a")
	wantError(t, s.Receipt(t.Context(), lost, receipt(1)), db.ErrLostClaim)
	wantError(t, s.Postpone(t.Context(), lost, db.Postponement{Failed: true}), db.ErrLostClaim)
	wantError(t, s.Extend(t.Context(), lost, hour), db.ErrLostClaim)
	if diff := cmp.Diff(before, stored(t, s, "a")); diff != "" {
		t.Error(diff)
	}
	noError(t, s.Receipt(t.Context(), held, receipt(1)))
}

func testGivenUp(t *testing.T, s db.Store) {
	wantNew(t, s, "a", 1)
	n := claimOne(t, s, hour)
	noError(t, s.Receipt(t.Context(), n, receipt(1)))
	wantError(t, s.Receipt(t.Context(), n, receipt(1)), db.ErrLostClaim)
	wantError(t, s.Extend(t.Context(), n, hour), db.ErrLostClaim)
	wantError(t, s.Postpone(t.Context(), n, db.Postponement{}), db.ErrLostClaim)
}

func testExtend(t *testing.T, s db.Store) {
	wantNew(t, s, "a", 1)
	n := claimOne(t, s, 0)
	noError(t, s.Extend(t.Context(), n, hour)) // it had ended, but nobody took it
	noneDue(t, s)
	noError(t, s.Receipt(t.Context(), n, receipt(1)))
}

func testPostpone(t *testing.T, s db.Store) {
	wantNew(t, s, "a", 1)
	reason := strings.Repeat("x", 400) + strings.Repeat("ü\x00", 400)
	noError(t, s.Postpone(t.Context(), claimOne(t, s, hour), db.Postponement{Reason: reason, Failed: true}))
	n := claimOne(t, s, hour)
	if n.Uncertain || n.Attempts != 1 || len(n.LastError) > 500 || !strings.HasPrefix(n.LastError, "xxx") {
		t.Errorf("after a failure: %+v", n)
	}
	noError(t, s.Postpone(t.Context(), n, db.Postponement{Reason: "429"}))
	n = claimOne(t, s, hour)
	if n.Attempts != 1 || n.LastError != "429" {
		t.Errorf("after a limit: %+v", n)
	}
	noError(t, s.Postpone(t.Context(), n, db.Postponement{Reason: "timeout", Failed: true, Uncertain: true}))
	n = claimOne(t, s, hour)
	if !n.Uncertain || n.Attempts != 2 {
		t.Errorf("after a timeout: %+v", n)
	}
	noError(t, s.Postpone(t.Context(), n, db.Postponement{Wait: hour, Failed: true}))
	noneDue(t, s)
	wantNew(t, s, "a", 2) // a new want does not shorten the wait
	noneDue(t, s)
	if due := must(s.CountDue(t.Context()))(t); due != 1 {
		t.Errorf("%d due, want 1", due)
	}
	wantNotice(t, stored(t, s, "a"), db.Notice{BuildID: "a", Kind: "failed", WantedRev: 2, Attempts: 3})
}

func testRaiseWhileClaimed(t *testing.T, s db.Store) {
	wantNew(t, s, "a", 1)
	n := claimOne(t, s, hour)
	wantNew(t, s, "a", 2)
	noneDue(t, s)
	noError(t, s.Receipt(t.Context(), n, receipt(1)))
	wantNotice(t, claimOne(t, s, hour), db.Notice{
		BuildID: "a", Kind: "failed", WantedRev: 2, SentRev: 1, BodyHash: []byte{1, 2}, Channel: "C1", TS: "123.456",
	})
}

// testSettledRaise: the wait of an earlier failure ended with the receipt.
func testSettledRaise(t *testing.T, s db.Store) {
	wantNew(t, s, "a", 1)
	noError(t, s.Postpone(t.Context(), claimOne(t, s, hour), db.Postponement{Failed: true, Reason: "x"}))
	noError(t, s.Receipt(t.Context(), claimOne(t, s, hour), receipt(1)))
	wantNew(t, s, "a", 2)
	n := claimOne(t, s, hour)
	if n.Attempts != 0 || n.LastError != "" {
		t.Errorf("after a receipt: %+v", n)
	}
}

func testUnsent(t *testing.T, s db.Store) {
	wantNew(t, s, "a", 1)
	noError(t, s.Receipt(t.Context(), claimOne(t, s, hour), receipt(1)))
	sent := stored(t, s, "a").SentAt
	wantNew(t, s, "a", 2)
	noError(t, s.Receipt(t.Context(), claimOne(t, s, hour), db.Receipt{SentRev: 2, Channel: "no", TS: "no", Unsent: true}))
	got := stored(t, s, "a")
	wantNotice(t, got, db.Notice{BuildID: "a", Kind: "failed", WantedRev: 2, SentRev: 2, Channel: "C1", TS: "123.456"})
	if !got.SentAt.Equal(sent) {
		t.Errorf("sent at %v, before %v", got.SentAt, sent)
	}
}
