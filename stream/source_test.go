package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/build-tracker/build-tracker/stream"
)

func TestFailedReadIsReturnedAndTriedAgain(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []struct {
		method    string
		whole     bool
		following bool // it fails when the source has caught up, else from the start
	}{
		{method: "NextSeqs"},
		{method: "LastTold"},
		{method: "ReadBuild"},
		{method: "ReadBuild", following: true},
		{method: "Dropped", whole: true},
		{method: "Head", whole: true},
		{method: "ReadStream", whole: true},
		{method: "ReadStream", whole: true, following: true},
	} {
		t.Run(fmt.Sprint(c.method, " following=", c.following), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.append("b", "build.scheduled", "{}")
				open := func() *stream.EventSource {
					if c.whole {
						return r.whole(t, stream.Filter{}, 0)
					}
					return r.build(t, "b", 0)
				}
				var s *stream.EventSource
				if c.following {
					s = open()
					check(t, "stored", []string{"0 build.scheduled", "waits"}, drain(t, s))
					r.store.fail(c.method, broken)
				} else {
					r.store.fail(c.method, broken)
					s = open()
				}
				defer s.Close()
				r.append("b", "build.started", "{}")
				for range 3 {
					_, err := s.Next(t.Context())
					if !errors.Is(err, broken) {
						t.Fatalf("Next returned %v", err)
					}
					if err.Error() == broken.Error() {
						t.Errorf("%q does not say what failed", err)
					}
				}
				r.store.fail(c.method, nil)
				want := []string{"0 build.scheduled", "1 build.started", "waits"}
				if c.following {
					want = want[1:]
				}
				got := drain(t, s)
				if len(got) > 0 && strings.Contains(got[0], broken.Error()) { // was under way
					got = drain(t, s)
				}
				check(t, "recovered", want, got)
			})
		})
	}
}

func TestFailedReadIsToldToAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		broken := errors.New("broken")
		results := make(chan string, 10)
		for range cap(results) {
			s := r.build(t, "b", 0)
			defer s.Close()
			go func() {
				_, first := s.Next(context.Background())
				e, second := s.Next(context.Background())
				results <- fmt.Sprint(errors.Is(first, broken), " ", tell(e, second))
			}()
		}
		synctest.Wait()
		r.store.slow(time.Second)
		r.store.fail("ReadBuild", broken)
		r.append("b", "build.scheduled", "{}")
		time.Sleep(500 * time.Millisecond)
		r.store.fail("ReadBuild", nil) // for the next read, not the one under way
		for range cap(results) {
			if got := <-results; got != "true 0 build.scheduled" {
				t.Error(got)
			}
		}
		if got := r.store.count("ReadBuild"); got > 3 {
			t.Errorf("%d reads", got)
		}
	})
}

func TestSilentStoreIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append("b", "build.scheduled", "{}")
		s := r.build(t, "b", 0)
		defer s.Close()
		synctest.Wait()
		r.store.slow(time.Hour)
		began := time.Now()
		if e, err := s.Next(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(e, err)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("took %v", took)
		}
		r.store.slow(0)
		check(t, "recovered", []string{"0 build.scheduled", "waits"}, drain(t, s))
	})
}

func TestCloseWakesNext(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]time.Duration{"while it waits": 0, "while it reads": time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.append("", "agent.connected", "{}")
				r.store.slow(slow)
				ends := make(chan error, 2)
				build, whole := r.build(t, "b", 0), r.whole(t, stream.Filter{}, 1)
				for _, s := range []*stream.EventSource{build, whole} {
					go func() {
						_, err := s.Next(context.Background())
						ends <- err
					}()
				}
				synctest.Wait()
				began := time.Now()
				build.Close()
				build.Close()
				if err := <-ends; !errors.Is(err, stream.ErrClosed) {
					t.Error(err)
				}
				r.Close()
				if err := <-ends; !errors.Is(err, stream.ErrClosed) {
					t.Error(err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("took %v", took)
				}
				if _, err := build.Next(t.Context()); !errors.Is(err, stream.ErrClosed) {
					t.Error(err)
				}
				if _, err := r.Build("b", 0); !errors.Is(err, stream.ErrClosed) {
					t.Error(err)
				}
				if got := r.Stats(); got != (stream.FollowerStats{}) {
					t.Errorf("left: %+v", got)
				}
			})
		})
	}
}

func TestEndOfContextLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const events = 400
		r.store.slow(30 * time.Millisecond)
		go func() {
			for range events {
				r.append("b", "job.started", "{}")
				time.Sleep(3 * time.Millisecond)
			}
			r.append("b", stream.TypeStatus, isPassed)
		}()
		s := r.build(t, "b", 0)
		defer s.Close()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for seq, timeouts := int64(0), 0; ; {
			if _, err := s.Next(ended); !errors.Is(err, context.Canceled) && !errors.Is(err, stream.ErrEndOfBuildEventStream) {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Millisecond)
			e, err := s.Next(ctx)
			cancel()
			if errors.Is(err, stream.ErrEndOfBuildEventStream) {
				if seq != events+1 || timeouts == 0 {
					t.Errorf("ended before seq %d, after %d timeouts", seq, timeouts)
				}
				return
			}
			if errors.Is(err, context.DeadlineExceeded) {
				timeouts++
				continue
			}
			if err != nil || e.Seq != seq {
				t.Fatalf("seq %d, %v; want %d", e.Seq, err, seq)
			}
			seq++
		}
	})
}

func TestAllEndsWithTheBuildOrAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append("b", "build.scheduled", "{}")
		r.append("b", "build.started", "{}")
		r.append("b", stream.TypeStatus, isPassed)
		r.store.drop("b", 1)
		s := r.build(t, "b", 0)
		defer s.Close()
		all := func() (got []string) {
			for e, err := range s.All(t.Context()) {
				got = append(got, tell(e, err))
			}
			return got
		}
		check(t, "to the gap", []string{"gap 1"}, all())
		check(t, "to the end", []string{"1 build.started", "2 status"}, all())
		check(t, "behind it", nil, all())
		s.Close()
		check(t, "closed", []string{stream.ErrClosed.Error()}, all())
	})
}

func TestBuildWithoutAnIDIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if s, err := r.Build("", 0); err == nil {
		s.Close()
		t.Error("it opened")
	}
}

func TestReadySaysWhetherNextHasAnEventAtHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append("b", "build.scheduled", "{}")
		r.append("b", "build.started", "{}")
		build := r.build(t, "b", 0)
		statuses := r.whole(t, stream.Filter{Types: []string{stream.TypeStatus}}, 2)
		defer build.Close()
		defer statuses.Close()
		ready := func(when string, want bool, s *stream.EventSource) {
			t.Helper()
			synctest.Wait()
			if got := s.Ready(); got != want {
				t.Errorf("%s: %v", when, got)
			}
		}
		ready("opened", false, build)
		if _, err := build.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		ready("in a batch", true, build)
		check(t, "stored", []string{"1 build.started", "waits"}, drain(t, build))
		ready("caught up", false, build)
		check(t, "statuses", []string{"waits"}, drain(t, statuses))
		r.append("b", "build.finished", "{}")
		ready("followed", true, build)
		ready("the filter selects nothing", false, statuses)
		r.append("b", stream.TypeStatus, isPassed)
		ready("the filter selects something", true, statuses)
		check(t, "followed", []string{"2 build.finished", "3 status", "end"}, drain(t, build))
		ready("ended", false, build)
	})
}
