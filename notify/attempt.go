package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/build-tracker/build-tracker/build"
)

// attempt is the work on one claimed notice, by one goroutine.
type attempt struct {
	s *Sender
	n Notice
	// uncertain: a message may be in the channel that the notice does not know
	// of, or one it knows may say something else than it was told.
	uncertain bool
	// stale is a message that could not be edited and has been replaced.
	stale Ref
	// looked: a message that is gone has been searched a substitute for.
	looked bool
}

// run does the work. A panic harms this notice only: it is tried again later.
func (a *attempt) run(ctx context.Context) (r Result) {
	defer func() {
		if p := recover(); p != nil {
			if a.s.o.Metrics.Panicked != nil {
				a.s.o.Metrics.Panicked()
			}
			a.s.log.ErrorContext(ctx, "work on a notice panicked", "build", a.n.BuildID, "panic", p, "stack", string(debug.Stack()))
			r = a.fail(ctx, fmt.Errorf("panic: %v", p))
		}
	}()
	return a.work(ctx)
}

func (a *attempt) work(ctx context.Context) Result {
	ref := a.known()
	// Before anything is loaded: while Slack wants a wait, many come by here.
	if wait := a.s.gates.wait(a.s.nextCall(ref), time.Now()); wait > 0 {
		return a.fail(ctx, &Error{Op: "send", Outcome: RateLimited, Wait: wait})
	}
	b, err := a.load(ctx)
	if err != nil {
		return a.fail(ctx, err)
	}
	if b == nil { // its row is gone: what was said stays
		return a.settle(ctx, Receipt{
			SentRev: a.n.WantedRev, BodyHash: a.n.BodyHash, Channel: a.n.Channel, TS: a.n.TS, Unsent: !a.sent(),
		}, Unsaid)
	}
	sent := a.sent()
	if ref.TS == "" && a.uncertain {
		found, err := a.find(ctx, b, ref)
		switch {
		case a.inVain(err):
			sent = true // better a second message than a first one nobody corrects
		case err != nil:
			return a.fail(ctx, err)
		case found.TS != "":
			ref, sent, a.n.BodyHash = found, true, nil
		}
	}
	if !sent && b.Status() != build.Failed {
		return a.settle(ctx, Receipt{SentRev: b.Rev, Unsent: true}, Unsaid)
	}
	return a.say(ctx, b, ref)
}

// sent: the notice has been said before, in the channel or in the log.
func (a *attempt) sent() bool { return a.n.TS != "" || len(a.n.BodyHash) > 0 }

var errBehind = errors.New("the build's state is behind what the notice wants")

// load returns the build as it is now; nil when it is no more.
func (a *attempt) load(ctx context.Context) (*build.Build, error) {
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	b, err := a.s.o.Builds.Build(ctx, a.n.BuildID)
	if err != nil {
		return nil, fmt.Errorf("load the build: %w", err)
	}
	if b != nil && b.Rev < a.n.WantedRev {
		return nil, errBehind
	}
	return b, nil
}

// say brings the message at ref, or a new one, to what b says: in full, or in
// the plainest form that Slack does not refuse.
func (a *attempt) say(ctx context.Context, b *build.Build, ref Ref) Result {
	mention := ""
	if b.AuthorEmail.V != "" {
		mention = a.s.o.Messenger.Mention(ctx, b.AuthorEmail.V)
	}
	for level := Full; ; level++ {
		m := Render(b, RenderOptions{Mention: mention, ExternalURL: a.s.o.ExternalURL, Level: level})
		r := Receipt{SentRev: b.Rev, BodyHash: m.Hash(), Channel: ref.Channel, TS: ref.TS}
		if !a.uncertain && ref == a.known() && bytes.Equal(r.BodyHash, a.n.BodyHash) {
			return a.settle(ctx, r, Unchanged)
		}
		at, result, err := a.deliver(ctx, b, ref, m)
		ref = at
		if errorOutcome(err) == Rejected && level < Plain {
			a.s.log.Log(ctx, a.s.level("rejected"), "Slack refuses a message, trying a plainer one",
				"build", a.n.BuildID, "level", level.String(), "error", err)
			if a.s.o.Metrics.Degraded != nil {
				a.s.o.Metrics.Degraded(level)
			}
			continue
		}
		if err != nil {
			return a.fail(ctx, err)
		}
		r.Channel, r.TS = ref.Channel, ref.TS
		r.Said = &Said{Action: "sent", Build: b}
		if result == Updated {
			r.Said.Action = "edited"
		}
		return a.settle(ctx, r, result)
	}
}

// deliver edits the message at ref, or posts one where there is none, and
// returns where the message is now.
func (a *attempt) deliver(ctx context.Context, b *build.Build, ref Ref, m Message) (Ref, Result, error) {
	about := a.subject()
	if ref.TS != "" {
		err := a.send(ctx, gateKey{"update", ref.Channel}, func(ctx context.Context) (err error) {
			_, err = a.s.o.Messenger.Update(ctx, ref, m, about)
			return err
		})
		if errorOutcome(err) != Gone {
			return ref, Updated, err
		}
		if e, _ := errors.AsType[*Error](err); e.Code != "message_not_found" {
			a.stale = ref
		}
		a.s.log.InfoContext(ctx, "a message cannot be edited any more, posting a new one", "build", a.n.BuildID, "error", err)
		found, err := a.findOther(ctx, b, ref)
		if err != nil {
			return ref, Updated, err
		}
		if ref = found; ref.TS != "" {
			return a.deliver(ctx, b, ref, m)
		}
	}
	at := Ref{}
	err := a.send(ctx, gateKey{"post", a.s.o.Messenger.Channel()}, func(ctx context.Context) (err error) {
		at, err = a.s.o.Messenger.Post(ctx, m, about)
		return err
	})
	return at, Posted, err
}

// findOther looks, once, for a message besides the one at ref, if one is to be
// feared.
func (a *attempt) findOther(ctx context.Context, b *build.Build, ref Ref) (Ref, error) {
	if !a.uncertain || a.looked {
		return Ref{}, nil
	}
	a.looked = true
	found, err := a.find(ctx, b, ref)
	if a.inVain(err) {
		return Ref{}, nil
	}
	return found, err
}

// searchAttempts is how many failed attempts a search is worth: half a minute.
const searchAttempts = 5

// inVain says whether a search that ended so is not worth another.
func (a *attempt) inVain(err error) bool {
	switch errorOutcome(err) {
	case Unsearchable:
		return true
	case NotSent, Uncertain:
		return a.n.Attempts >= searchAttempts
	}
	return false
}

const searchPages = 5

// find looks for a message about the notice, other than the one at not. When it
// has looked far enough, nothing is uncertain any more.
func (a *attempt) find(ctx context.Context, b *build.Build, not Ref) (Ref, error) {
	search := Search{Subject: a.subject(), Except: not, Since: firstFinish(b, time.Now()).Add(-time.Hour)}
	for range searchPages {
		var page Found
		err := a.call(ctx, gateKey{"find", a.s.o.Messenger.Channel()}, func(ctx context.Context) (err error) {
			page, err = a.s.o.Messenger.Find(ctx, search)
			return err
		})
		if err != nil {
			return Ref{}, err
		}
		if page.Ref.TS != "" {
			return page.Ref, nil
		}
		if search.Cursor = page.Next; search.Cursor == "" {
			break
		}
	}
	a.uncertain = false
	return Ref{}, nil
}

// firstFinish is the earliest time at which the build can have been announced.
func firstFinish(b *build.Build, now time.Time) time.Time {
	first := now
	for _, t := range []time.Time{b.FirstFailed.Time(), b.Latest.Time()} {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// known is where the notice says its message is.
func (a *attempt) known() Ref { return Ref{Channel: a.n.Channel, TS: a.n.TS} }

func (a *attempt) subject() Subject { return Subject{BuildID: a.n.BuildID, Kind: a.n.Kind} }

// nextCall is the call that a message at ref needs next.
func (s *Sender) nextCall(ref Ref) gateKey {
	if ref.TS != "" {
		return gateKey{"update", ref.Channel}
	}
	return gateKey{"post", s.o.Messenger.Channel()}
}

// errorOutcome returns what err says of the message; empty for none and for an
// error that is not the messenger's.
func errorOutcome(err error) Outcome {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	return ""
}
