package notify

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	maxBackoff = 60 * time.Second
	// receiptPatience is how long a receipt is tried again when the queue does
	// not answer. While it does not, nobody else can take the notice over.
	receiptPatience = 30 * time.Second
	maxReason       = 500
)

// settle writes the receipt.
func (a *attempt) settle(ctx context.Context, r Receipt, result Result) Result {
	giveUp := time.Now().Add(receiptPatience)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 4*time.Second) {
		err := a.queue(ctx, func(ctx context.Context) error { return a.s.o.Queue.Receipt(ctx, a.n, r) })
		switch {
		case err == nil:
			a.dropStale(ctx)
			return result
		case isLost(err):
			a.yield(ctx, r, result)
			return Lost
		}
		a.s.log.Log(ctx, a.s.level("receipt"), "receipt not written", "build", a.n.BuildID, "error", err)
		if time.Now().Add(wait).After(giveUp) || !sleep(ctx, wait) {
			return Unrecorded
		}
	}
}

// fail gives the notice up for now, and says when it is tried again.
func (a *attempt) fail(ctx context.Context, err error) Result {
	if isLost(err) {
		return Lost
	}
	p := Postponement{Wait: backoff(a.n.Attempts), Reason: err.Error(), Failed: true, Uncertain: a.uncertain}
	kind := "failed"
	if e := outcomeOf(err); errorOutcome(err) != "" {
		kind = e.Op + e.Code
		switch e.Outcome {
		case RateLimited:
			p.Wait, p.Failed = e.Wait, false
			a.s.log.DebugContext(ctx, "notice waits", "build", a.n.BuildID, "error", err, "wait", p.Wait)
			return a.postpone(ctx, p)
		case Misconfigured:
			a.s.log.Log(ctx, a.s.level(kind), "notices do not get through", "advice", e.Advice, "error", err, "retry_in", p.Wait.String())
			return a.postpone(ctx, p)
		}
	}
	a.s.log.Log(ctx, a.s.level(kind), "notice not sent", "build", a.n.BuildID, "error", err, "attempts", a.n.Attempts+1, "retry_in", p.Wait.String())
	return a.postpone(ctx, p)
}

func (a *attempt) postpone(ctx context.Context, p Postponement) Result {
	if len(p.Reason) > maxReason {
		p.Reason = strings.ToValidUTF8(p.Reason[:maxReason], "")
	}
	err := a.queue(ctx, func(ctx context.Context) error { return a.s.o.Queue.Postpone(ctx, a.n, p) })
	switch {
	case isLost(err):
		return Lost
	case err != nil:
		a.s.log.Log(ctx, a.s.level("postpone"), "notice not given back; its claim ends by itself", "build", a.n.BuildID, "error", err)
	case p.Wait > 0:
		a.s.retryAt(time.Now().Add(p.Wait))
	}
	return Postponed
}

// backoff returns 1, 2, 4 … 60 s by the number of failed attempts before, and
// up to a tenth more, so that what failed together does not come back together.
func backoff(failed int) time.Duration {
	wait := maxBackoff
	if failed < 6 {
		wait = time.Second << max(failed, 0)
	}
	return wait + rand.N(wait/10)
}

// yield cleans up after a send whose claim was lost. Another sender has the
// notice: when it has settled on a message, ours is one too many, unless it is
// that one.
func (a *attempt) yield(ctx context.Context, r Receipt, result Result) {
	if r.TS == "" || result != Posted && result != Updated {
		return
	}
	ours := Ref{Channel: r.Channel, TS: r.TS}
	now, settled := a.successor(ctx)
	switch {
	case !settled:
		a.s.log.WarnContext(ctx, "a notice was taken over, and its message is left as it is", "build", a.n.BuildID)
	case now.TS != r.TS:
		a.s.log.InfoContext(ctx, "a notice was taken over: removing the second message", "build", a.n.BuildID)
		a.remove(ctx, ours)
	case !bytes.Equal(now.BodyHash, r.BodyHash):
		a.repair(ctx, ours) // ours may have come after the successor's
	}
}

// successor waits, for two claims at most, until the sender that took the
// notice over has written a receipt, and returns the notice then. To remove a
// message before would be to remove what the other may just have found.
func (a *attempt) successor(ctx context.Context) (Notice, bool) {
	giveUp := time.Now().Add(2 * a.s.o.ClaimTTL)
	for {
		var rows []Notice
		err := a.queue(ctx, func(ctx context.Context) (err error) {
			rows, err = a.s.o.Queue.Notices(ctx, []string{a.n.BuildID})
			return err
		})
		for _, n := range rows {
			if err == nil && n.Kind == a.n.Kind && (n.TS != a.n.TS || n.SentRev != a.n.SentRev) {
				return n, true
			}
		}
		if wait := a.s.o.ClaimTTL / 14; time.Now().Add(wait).After(giveUp) || !sleep(ctx, wait) {
			return Notice{}, false
		}
	}
}

// repair makes the message say once more what the build is now.
func (a *attempt) repair(ctx context.Context, ref Ref) {
	b, err := a.load(ctx)
	if err != nil || b == nil {
		return
	}
	mention := a.s.o.Messenger.Mention(ctx, b.AuthorEmail.V)
	for level := Full; level <= Plain; level++ {
		m := Render(b, RenderOptions{Mention: mention, ExternalURL: a.s.o.ExternalURL, Level: level})
		if _, err = a.s.o.Messenger.Update(ctx, ref, m, a.subject()); errorOutcome(err) != Rejected {
			break
		}
	}
	if err != nil {
		a.s.log.WarnContext(ctx, "a message may be out of date until its build changes", "build", a.n.BuildID, "error", err)
	}
}

// dropStale removes a message that could not be edited and has a successor.
func (a *attempt) dropStale(ctx context.Context) {
	if a.stale != (Ref{}) {
		a.remove(ctx, a.stale)
	}
}

func (a *attempt) remove(ctx context.Context, ref Ref) {
	if err := a.s.o.Messenger.Delete(ctx, ref); err != nil {
		a.s.log.WarnContext(ctx, "a second message was not removed", "build", a.n.BuildID, "error", err)
	}
}

// sleep waits for d; false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
