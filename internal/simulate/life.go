package simulate

import (
	"slices"
	"time"
)

// live plays the build from its creation to its end, and sends it. It returns
// when it finished for the first time, and whether it failed then.
func (r *run) live() (finished time.Time, failed bool) {
	defer r.send()
	dice := r.s.world
	t := r.created
	r.note(t, "build.scheduled", func(v *version) { v.state = "scheduled" })
	if r.parent == nil && chance(dice, 0.02) {
		t = t.Add(r.takes(time.Minute))
		r.fact.status = "unknown" // Buildkite's "skipped" is no word of ours
		r.note(t, "build.skipped", func(v *version) { v.state = "skipped" })
		return t, false
	}
	began := t.Add(r.takes(3 * time.Second))
	r.note(began, "build.running", func(v *version) { v.state, v.started = "running", began })

	t, next := r.work(began, 0)
	if r.parent == nil && !r.triggered() && chance(dice, 0.04) {
		return r.cancel(began.Add(between(dice, time.Second, t.Sub(began)))), false
	}
	finished, failed = t, len(r.failed) > 0
	for byHand := 0; ; byHand++ { // most builds leave it at the first time
		var acts bool
		var again time.Time
		switch {
		case len(r.failed) > 0:
			most := 90 * time.Minute
			hasty := chance(dice, 0.2)
			if hasty {
				most = time.Minute
			}
			again, acts = r.later(t, 20*time.Second, most)
			acts = acts && byHand == 0 && chance(dice, 0.25)
			if acts && hasty {
				// It is running again when Buildkite gets to say that it failed.
				r.note(t, "build.finished", nil)
			} else {
				r.finish(t, "failed", false)
			}
			if !acts {
				return finished, failed
			}
			t, next = r.retry(again, next)
		case next < len(r.steps): // at a block step
			r.finish(t, "passed", true)
			again, acts = r.later(t, time.Minute, 2*time.Hour)
			if !acts || !chance(dice, 0.6) {
				return finished, failed
			}
			t, next = r.unblock(again, next)
		default:
			r.finish(t, "passed", false)
			return finished, failed
		}
	}
}

// finish ends the build, for now.
func (r *run) finish(t time.Time, state string, blocked bool) {
	r.fact.finish(state, blocked)
	r.note(t, "build.finished", func(v *version) { v.state, v.blocked, v.finished = state, blocked, t })
}

// triggered: it started other builds.
func (r *run) triggered() bool {
	return slices.ContainsFunc(r.jobs, func(j *job) bool { return j.child != nil })
}

// resume has a finished build run again.
func (r *run) resume(t time.Time) {
	r.note(t, "build.running", func(v *version) { v.state, v.blocked, v.finished = "running", false, time.Time{} })
}

// work plays the steps from the next one on, until some failed, one blocks or
// all are done. It returns when that was, and which step would be next.
func (r *run) work(t time.Time, next int) (time.Time, int) {
	for next < len(r.steps) {
		switch st := &r.steps[next]; st.kind {
		case wait:
			j := r.newJob(next, t)
			j.now.state, j.now.finished = "finished", t
			r.noteJob(t, "job.finished", j)
			next++
		case block:
			return t, next
		default:
			t, next = r.together(t, next)
			if len(r.failed) > 0 {
				return t, next
			}
		}
	}
	return t, next
}

// together plays the steps up to the next wait or block: at the same time.
func (r *run) together(t time.Time, next int) (time.Time, int) {
	end, failing := t, time.Time{}
	for ; next < len(r.steps) && (r.steps[next].kind == command || r.steps[next].kind == trigger); next++ {
		for _, j := range r.stepJobs(next, t) {
			last := r.playJob(j)
			if end = latest(end, last.now.finished); last.counts() {
				r.failed = append(r.failed, last)
				if failing.IsZero() || last.now.finished.Before(failing) {
					failing = last.now.finished
				}
			}
		}
	}
	if failing.Before(end) && !failing.IsZero() {
		r.note(failing.Add(50*time.Millisecond), "build.failing", func(v *version) {
			if v.state == "running" {
				v.state = "failing"
			}
		})
	}
	return end.Add(200 * time.Millisecond), next
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
