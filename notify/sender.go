package notify

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// SenderOptions is what a Sender works with.
type SenderOptions struct {
	Queue     Queue
	Builds    Builds
	Messenger Messenger
	Logger    *slog.Logger
	// ExternalURL is how people reach the page, for a button; may be empty.
	ExternalURL string
	// Workers is how many notices are sent at a time; 0 is 4.
	Workers int
	// ClaimTTL is how long a claim lasts; 0 is 7 s. A sender that died is taken
	// over after ClaimTTL and at most one Sweep.
	ClaimTTL time.Duration
	// Sweep is how often due notices are looked for without a Wake; 0 is 2 s.
	Sweep time.Duration
	// Grace is how long what is in flight may take after Run's context ended;
	// 0 is ClaimTTL.
	Grace   time.Duration
	Metrics Metrics
}

// Metrics are told what happens. A nil one is not called. They are called from
// several goroutines.
type Metrics struct {
	// Began: work on a claimed notice begins. The context it returns is that of
	// the work; what it returns with it is called with how the work ended.
	Began func(ctx context.Context, n Notice) (context.Context, func(Result))
	// Called: a call to the messenger ended, "post", "update" or "find"; outcome
	// is empty when it succeeded. The context is the work's.
	Called func(ctx context.Context, method string, outcome Outcome, took time.Duration)
	// Degraded: a message was refused, and a plainer one is tried.
	Degraded func(refused Level)
	// Panicked: work on a notice panicked.
	Panicked func()
}

// Result is how the work on one claimed notice ended.
type Result string

// The results.
const (
	Posted    Result = "posted"
	Updated   Result = "updated"
	Unchanged Result = "unchanged" // the message says so already
	Unsaid    Result = "unsaid"    // nothing had to be said
	Postponed Result = "postponed" // tried again later
	Lost      Result = "lost"      // another sender took the notice over
	// Unrecorded: the receipt could not be written. The claim ends by itself,
	// and the next sender looks for the message.
	Unrecorded Result = "unrecorded"
)

// Sender brings messages to where the notices of a Queue want them.
type Sender struct {
	o      SenderOptions
	log    *slog.Logger
	wake   chan struct{}
	slots  chan struct{} // a token for each notice that may be begun
	gates  *gates
	quiet  *throttle
	flying sync.WaitGroup

	due retries

	mu    sync.Mutex
	begun map[Subject]bool // what is worked on here
}

// NewSender returns a Sender that does nothing before Run.
func NewSender(o SenderOptions) *Sender {
	o.Workers = cmp.Or(o.Workers, 4)
	o.ClaimTTL = cmp.Or(o.ClaimTTL, 7*time.Second)
	o.Sweep = cmp.Or(o.Sweep, 2*time.Second)
	o.Grace = cmp.Or(o.Grace, o.ClaimTTL)
	s := &Sender{
		o: o, log: cmp.Or(o.Logger, slog.Default()),
		wake:  make(chan struct{}, 1),
		slots: make(chan struct{}, o.Workers),
		gates: newGates(),
		quiet: newThrottle(),
		begun: make(map[Subject]bool),
	}
	for range o.Workers {
		s.slots <- struct{}{}
	}
	return s
}

// Wake says that a notice may be due. It does not block.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends, then finishes what it has begun, in Grace at most,
// and returns. What the time did not suffice for is taken over when its
// claim ends.
func (s *Sender) Run(ctx context.Context) {
	// What is in flight outlives ctx: a message that was sent gets its receipt.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	for ctx.Err() == nil {
		if s.round(ctx, work) {
			continue
		}
		timer := time.NewTimer(s.due.next(time.Now(), s.o.Sweep))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	grace := time.AfterFunc(s.o.Grace, cancel)
	defer grace.Stop()
	s.flying.Wait()
}

// round claims as many notices as there are idle workers and begins them. It
// says whether there may be more.
func (s *Sender) round(ctx, work context.Context) (more bool) {
	idle := s.idle(ctx)
	if idle == 0 {
		return false
	}
	// Not under ctx: a claim whose answer nobody waits for would have to expire.
	claimCtx, cancel := context.WithTimeout(work, queueTimeout)
	defer cancel()
	s.due.forget(time.Now())
	notices, err := s.o.Queue.Claim(claimCtx, idle, s.o.ClaimTTL)
	if err != nil {
		s.log.Log(ctx, s.level("claim"), "notices not claimed", "error", err)
	}
	for range idle - len(notices) {
		s.slots <- struct{}{}
	}
	for _, n := range notices {
		s.begin(ctx, work, n)
	}
	return err == nil && len(notices) == idle
}

// idle waits for an idle worker and takes all there are; 0 when ctx ends first.
func (s *Sender) idle(ctx context.Context) int {
	select {
	case <-ctx.Done():
		return 0
	case <-s.slots:
	}
	for n := 1; ; n++ {
		select {
		case <-s.slots:
		default:
			return n
		}
	}
}

// begin works on n in a goroutine that Run waits for.
func (s *Sender) begin(ctx, work context.Context, n Notice) {
	a := &attempt{s: s, n: n, uncertain: n.Uncertain}
	about := Subject{BuildID: n.BuildID, Kind: n.Kind}
	mine := s.take(about)
	s.flying.Go(func() {
		defer func() {
			s.slots <- struct{}{}
			s.Wake() // its build may have moved on meanwhile
		}()
		switch {
		case !mine: // an earlier attempt of ours still waits for its receipt
			a.postpone(work, Postponement{Wait: time.Second, Reason: "an earlier attempt is under way", Uncertain: true})
			return
		case ctx.Err() != nil:
			a.postpone(work, Postponement{Reason: "shutting down", Uncertain: n.Uncertain})
		default:
			ctx, ended := s.began(work, n)
			ended(a.run(ctx))
		}
		s.leave(about)
	})
}

func (s *Sender) take(about Subject) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun[about] {
		return false
	}
	s.begun[about] = true
	return true
}

func (s *Sender) leave(about Subject) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.begun, about)
}

// retryAt makes Run look for due notices at t.
func (s *Sender) retryAt(t time.Time) {
	if s.due.add(t) {
		s.Wake() // to set its timer anew
	}
}

func (s *Sender) began(ctx context.Context, n Notice) (context.Context, func(Result)) {
	if s.o.Metrics.Began == nil {
		return ctx, func(Result) {}
	}
	return s.o.Metrics.Began(ctx, n)
}

// level is WARN, for one kind of trouble at most once in half a minute, else
// DEBUG.
func (s *Sender) level(kind string) slog.Level {
	if s.quiet.allow(kind, time.Now()) {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// isLost says whether another sender has the notice.
func isLost(err error) bool { return errors.Is(err, ErrLostClaim) }
