package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/stream"
)

// tell says what Next returned in a word: the seq and type, or the error.
func tell(e stream.Event, err error) string {
	var gap *stream.GapError
	switch {
	case errors.As(err, &gap):
		return fmt.Sprintf("gap %d", gap.First)
	case errors.Is(err, stream.ErrEndOfBuildEventStream):
		return "end"
	case errors.Is(err, context.DeadlineExceeded):
		return "waits"
	case err != nil:
		return err.Error()
	case e.BuildID == "":
		return fmt.Sprintf("@%d %s", e.Position, e.Type)
	default:
		return fmt.Sprintf("%d %s", e.Seq, e.Type)
	}
}

// drain tells what Next returns until the end, an error, or a wait of more than a
// second of the bubble's time. A gap is no reason to stop.
func drain(t *testing.T, s *stream.EventSource) (all []string) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 1100*time.Millisecond)
		e, err := s.Next(ctx)
		cancel()
		all = append(all, tell(e, err))
		if err != nil && !errors.As(err, new(*stream.GapError)) {
			return all
		}
	}
}

func check(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestBuildIsCaughtUpThenFollowedThenEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append("b", "build.scheduled", "{}")
		r.append("b", stream.TypeStatus, isRunning)
		s := r.build(t, "b", 0)
		defer s.Close()
		check(t, "stored", []string{"0 build.scheduled", "1 status", "waits"}, drain(t, s))
		if got := s.Status(); got != "running" {
			t.Errorf("status is %q", got)
		}
		began := time.Now()
		for i, typ := range []string{"job.started", stream.TypeStart, "build.finished"} {
			want := r.append("b", typ, fmt.Sprint(i))
			got, err := s.Next(t.Context())
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Fatalf("%v (-want +got):\n%s", err, diff)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("hinted events took %v", took)
		}
		r.append("b", stream.TypeStatus, isFailed)
		check(t, "the end", []string{"5 status", "end"}, drain(t, s))
		r.append("b", "job.started", "{}")
		check(t, "after the end", []string{"end"}, drain(t, s))
		if got := s.Status(); got != "failed" {
			t.Errorf("status is %q", got)
		}
	})
}

func TestWhatEndsABuild(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// stored before it is opened, appended later; a word is a type, or what a
		// status tells.
		stored, appended string
		from             int64
		want             []string
		status           string
	}{
		{name: "nothing yet", want: []string{"waits"}},
		{name: "first events of a build that did not exist", appended: "build.scheduled passed", want: []string{"0 build.scheduled", "1 status", "end"}, status: "passed"},
		{name: "a final status", stored: "build.finished failed", want: []string{"0 build.finished", "1 status", "end"}, status: "failed"},
		{name: "not a running one", stored: "build.started running", want: []string{"0 build.started", "1 status", "waits"}, status: "running"},
		{name: "not what Buildkite says", stored: "build.finished", want: []string{"0 build.finished", "waits"}},
		{name: "not what is said about jobs or messages", stored: "job.started start notice log error initialize finish", from: 6, want: []string{"6 finish", "waits"}},
		{name: "a notice that is stored before is delivered", stored: "build.finished failed notice", want: []string{"0 build.finished", "1 status", "2 notice", "end"}, status: "failed"},
		{name: "Buildkite's reopen it", stored: "failed job.started", want: []string{"0 status", "1 job.started", "waits"}},
		{name: "a running status reopens it", stored: "failed running", want: []string{"0 status", "1 status", "waits"}, status: "running"},
		{name: "unreadable status", stored: "damaged", want: []string{"0 status", "waits"}},
		{name: "opened behind the end", stored: "build.finished failed notice log", from: 3, want: []string{"3 log", "end"}, status: "failed"},
		{name: "opened at the end", stored: "build.finished failed notice", from: 3, want: []string{"end"}, status: "failed"},
		{name: "opened beyond the end", stored: "failed", from: 9, want: []string{"end"}, status: "failed"},
		{name: "opened beyond what there is", stored: "build.started", appended: "job.started passed", from: 2, want: []string{"2 status", "end"}, status: "passed"},
		{name: "a negative seq is all", stored: "failed", from: -7, want: []string{"0 status", "end"}, status: "failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				add := func(words string) {
					for _, word := range strings.Fields(words) {
						switch word {
						case "running", "passed", "failed":
							r.append("b", stream.TypeStatus, `{"status":"`+word+`"}`)
						case "damaged":
							r.append("b", stream.TypeStatus, "")
						default:
							r.append("b", word, "{}")
						}
					}
				}
				add(c.stored)
				s := r.build(t, "b", c.from)
				defer s.Close()
				synctest.Wait()
				add(c.appended)
				check(t, "events", c.want, drain(t, s))
				if got := s.Status(); got != c.status {
					t.Errorf("status is %q, want %q", got, c.status)
				}
			})
		})
	}
}

func TestEndIsNotToldTooEarly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first string // event that is stored
		from  int64
		// act appends while queries of 10 ms each are under way.
		act  func(r *rig)
		want []string
	}{
		"appended between the queries that open": {
			first: "job.started", from: 1,
			act: func(r *rig) {
				time.Sleep(15 * time.Millisecond)
				r.store.add("b", "job.started", "{}")
				r.store.add("b", stream.TypeStatus, isPassed)
			},
			want: []string{"1 job.started", "2 status", "end"},
		},
		"reopened before the stored events are read": {
			first: stream.TypeStatus,
			act: func(r *rig) {
				time.Sleep(25 * time.Millisecond)
				r.store.add("b", "job.started", "{}")
			},
			want: []string{"0 status", "1 job.started", "waits"},
		},
		"reopened in the middle of an append": {
			first: "job.started", from: 256,
			act: func(r *rig) {
				time.Sleep(30 * time.Millisecond)
				for range 255 {
					r.store.add("b", stream.TypeNotice, "{}")
				}
				r.store.add("b", stream.TypeStatus, isPassed)
				r.append("b", "job.started", "{}")
			},
			want: []string{"256 status", "257 job.started", "waits"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.append("b", c.first, isFailed)
				r.store.slow(10 * time.Millisecond)
				s := r.build(t, "b", c.from)
				defer s.Close()
				go c.act(r)
				check(t, "events", c.want, drain(t, s))
			})
		})
	}
}

// A watcher that comes from another replica may have seen more than is known here.
func TestEndThatWasReopenedElsewhereIsNotTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append("b", stream.TypeStatus, isFailed)
		first := r.build(t, "b", 0)
		defer first.Close()
		if _, err := first.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, typ := range []string{"job.started", stream.TypeNotice, stream.TypeNotice} {
			r.store.add("b", typ, "{}") // without a hint
		}
		for from, want := range map[int64][]string{
			1: {"1 job.started", "2 notice", "3 notice", "waits"},
			3: {"3 notice", "waits"},
			4: {"waits"},
		} {
			s := r.build(t, "b", from)
			check(t, fmt.Sprint("from ", from), want, drain(t, s))
			s.Close()
		}
	})
}

func TestEventsComeWithoutHints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withoutHints)
		build, whole := r.build(t, "b", 0), r.whole(t, stream.Filter{}, 0)
		defer build.Close()
		defer whole.Close()
		for i := range int64(5) {
			r.append("b", "job.started", "{}")
			for name, s := range map[string]*stream.EventSource{"build": build, "whole stream": whole} {
				began := time.Now()
				e, err := s.Next(t.Context())
				if err != nil || e.Seq != i {
					t.Fatalf("%s: seq %d, %v; want %d", name, e.Seq, err, i)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("%s: seq %d took %v", name, i, took)
				}
			}
			time.Sleep(700 * time.Millisecond)
		}
		idle := r.store.count("NextSeqs")
		time.Sleep(10 * time.Second)
		if again := r.store.count("NextSeqs"); again > idle+1 {
			t.Errorf("%d queries for builds while nothing was appended", again-idle)
		}
	})
}

func TestLostHintsAreMadeUpForAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const builds = 2500 // some pages
		r := newRig(t, func(o *stream.FollowerOptions) { o.QueueSize = 1 })
		var sources []*stream.EventSource
		for i := range builds {
			s := r.build(t, fmt.Sprint("b", i), 0)
			defer s.Close()
			sources = append(sources, s)
		}
		time.Sleep(time.Second) // no read was a moment ago
		began := time.Now()
		for i := range builds {
			r.append(fmt.Sprint("b", i), "build.scheduled", "{}") // most find the queue full
		}
		for _, s := range sources {
			if e, err := s.Next(t.Context()); err != nil || e.Seq != 0 {
				t.Fatal(e, err)
			}
		}
		if took := time.Since(began); took > 100*time.Millisecond { // not only when all builds are looked at
			t.Errorf("took %v", took)
		}
	})
}

func TestAppendsBetweenQueriesAreNeitherMissedNorDoubled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withoutHints)
		r.store.slow(37 * time.Millisecond) // so that every query has appends before, in and after it
		const events = 300
		var sources []*stream.EventSource
		go func() {
			for range events {
				r.append("b", "job.started", "{}")
				time.Sleep(11 * time.Millisecond)
			}
			r.append("b", stream.TypeStatus, isPassed)
		}()
		for i := range 20 {
			time.Sleep(50 * time.Millisecond)
			s := r.build(t, "b", int64(i))
			defer s.Close()
			sources = append(sources, s)
		}
		for i, s := range sources {
			want := int64(i)
			for e, err := range s.All(t.Context()) {
				if err != nil || e.Seq != want {
					t.Fatalf("source %d: seq %d, %v; want %d", i, e.Seq, err, want)
				}
				want++
			}
			if want != events+1 {
				t.Errorf("source %d ended before seq %d", i, want)
			}
		}
	})
}

func TestPagesCutForTheirSizeAreReadToTheEnd(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 3<<20)
	for _, c := range []struct {
		name   string
		page   int
		data   []string // of what one read finds
		within time.Duration
	}{
		{"after a large event", 4 << 20, []string{"{}", large, large}, 0},
		{"before a large event", 3 << 20, []string{"{}", large}, time.Second},
		{"after each event", 1, []string{"{}", "{}", "{}"}, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.store.page = c.page
				s := r.build(t, "b", 0)
				defer s.Close()
				synctest.Wait()
				began := time.Now()
				for _, data := range c.data {
					r.store.add("b", "job.finished", data)
				}
				r.append("b", stream.TypeStatus, isPassed)
				var want int64
				for e, err := range s.All(t.Context()) {
					if err != nil || e.Seq != want {
						t.Fatalf("seq %d, %v; want %d", e.Seq, err, want)
					}
					want++
				}
				if want != int64(len(c.data)+1) {
					t.Errorf("ended before seq %d", want)
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestFailedLooksAtTheHeadAreMadeUpFor(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Head", "NextSeqs"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				r := newRig(t, func(o *stream.FollowerOptions) {
					withoutHints(o)
					o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				})
				s := r.build(t, "b", 0)
				defer s.Close()
				check(t, "at first", []string{"waits"}, drain(t, s))
				r.store.fail(method, errors.New("broken"))
				r.append("b", "build.scheduled", "{}")
				time.Sleep(10 * time.Second)
				check(t, "failing", []string{"waits"}, drain(t, s))
				r.store.fail(method, nil)
				check(t, "recovered", []string{"0 build.scheduled", "waits"}, drain(t, s))
				synctest.Wait()
				if lines := strings.Count(log.String(), "\n"); lines != 2 || !strings.Contains(log.String(), "broken") {
					t.Errorf("logged:\n%s", &log)
				}
			})
		})
	}
}
