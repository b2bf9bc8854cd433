package stream_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/stream"
)

func TestStreamIsFilteredAndFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		events := func() {
			r.append("a", "build.finished", "{}")
			r.append("", "agent.lost", "{}")
			r.append("b", stream.TypeStatus, isFailed)
			r.append("b", "build.finished", "{}")
		}
		events()
		for _, c := range []struct {
			name  string
			q     stream.Filter
			after int64
			want  []string
		}{
			{"all", stream.Filter{}, 0, []string{"0 build.finished", "@2 agent.lost", "0 status", "1 build.finished"}},
			{"after a position", stream.Filter{}, 2, []string{"0 status", "1 build.finished"}},
			{"a pipeline", stream.Filter{Organization: "acme", Pipeline: "pipeline of b"}, 0, []string{"0 status", "1 build.finished"}},
			{"types", stream.Filter{Types: []string{stream.TypeStatus, "agent.lost"}}, 0, []string{"@2 agent.lost", "0 status"}},
			{"nobody", stream.Filter{Organization: "other"}, 0, nil},
		} {
			s := r.whole(t, c.q, c.after)
			defer s.Close()
			check(t, c.name, append(c.want, "waits"), drain(t, s))
		}
		statuses := r.whole(t, stream.Filter{Types: []string{stream.TypeStatus}}, 4)
		all := r.whole(t, stream.Filter{}, 4)
		defer statuses.Close()
		defer all.Close()
		check(t, "nothing new", []string{"waits"}, drain(t, statuses))
		events()
		check(t, "followed", []string{"2 status", "waits"}, drain(t, statuses))
		check(t, "followed", []string{"1 build.finished", "@6 agent.lost", "2 status", "3 build.finished", "waits"}, drain(t, all))
	})
}

func TestStreamIsFollowedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		s := r.whole(t, stream.Filter{}, 0)
		defer s.Close()
		began := time.Now()
		for range 10 {
			want := r.append("b", "job.started", "{}")
			got, err := s.Next(t.Context())
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Fatalf("%v (-want +got):\n%s", err, diff)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("hinted events took %v", took)
		}
		if got := r.store.count("ReadStream"); got > 11 {
			t.Errorf("%d reads for 10 appends", got)
		}
	})
}

// What a filter passes over is not read again and again.
func TestStreamFilterSkipsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for range 5000 {
			r.store.add("a", "job.started", "{}")
		}
		s := r.whole(t, stream.Filter{Pipeline: "pipeline of b"}, 0)
		defer s.Close()
		check(t, "events", []string{"waits"}, drain(t, s))
		reads := r.store.count("ReadStream")
		for range 51 {
			r.append("a", "job.started", "{}")
			check(t, "events", []string{"waits"}, drain(t, s))
		}
		// Where a hint and a look at the head come together there are two reads.
		if got := r.store.count("ReadStream") - reads; got > 60 {
			t.Errorf("%d reads for 51 appended events", got)
		}
		r.append("b", "job.started", "{}")
		check(t, "events", []string{"0 job.started", "waits"}, drain(t, s))
	})
}

func TestDroppedEventsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for range 3 {
			r.append("a", "job.started", "{}")
			r.append("b", "job.started", "{}")
		}
		r.append("b", stream.TypeStatus, isPassed)
		r.store.drop("a", 3)
		r.store.drop("b", 2)
		for _, c := range []struct {
			name, build string
			from        int64
			want        []string
		}{
			{"the first", "b", 0, []string{"gap 2", "2 job.started", "3 status", "end"}},
			{"one of them", "b", 1, []string{"gap 2", "2 job.started", "3 status", "end"}},
			{"none of them", "b", 2, []string{"2 job.started", "3 status", "end"}},
			{"all", "a", 0, []string{"gap 3", "waits"}},
			{"all, at the next", "a", 3, []string{"waits"}},
		} {
			s := r.build(t, c.build, c.from)
			check(t, c.name, c.want, drain(t, s))
			s.Close()
		}
		for _, c := range []struct {
			name  string
			after int64
			want  []string
		}{
			{"the stream's first", 0, []string{"gap 6", "2 job.started", "3 status", "waits"}},
			{"the last dropped", 4, []string{"gap 6", "2 job.started", "3 status", "waits"}},
			{"none of the stream's", 5, []string{"2 job.started", "3 status", "waits"}},
		} {
			s := r.whole(t, stream.Filter{}, c.after)
			check(t, c.name, c.want, drain(t, s))
			s.Close()
		}
		r.store.drop("b", 4)
		s := r.whole(t, stream.Filter{}, 0)
		defer s.Close()
		check(t, "the whole stream", []string{"gap 8", "waits"}, drain(t, s))
		r.append("b", stream.TypeNotice, "{}")
		check(t, "and goes on", []string{"4 notice", "waits"}, drain(t, s))
	})
}

// Events that are dropped before a watcher, or its feed, comes to read them.
func TestEventsDroppedWhileFollowingAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append("b", "build.started", "{}")
		s := r.build(t, "b", 0)
		defer s.Close()
		check(t, "stored", []string{"0 build.started", "waits"}, drain(t, s))
		r.store.add("b", "job.started", "{}")
		r.store.drop("b", 2)
		check(t, "all dropped", []string{"gap 2", "waits"}, drain(t, s))
		r.store.add("b", "job.started", "{}")
		r.store.add("b", "job.finished", "{}")
		r.store.drop("b", 3)
		check(t, "some dropped", []string{"gap 3", "3 job.finished", "waits"}, drain(t, s))
	})
}
