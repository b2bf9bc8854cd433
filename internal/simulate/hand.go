package simulate

import "time"

// retry has somebody try all failed jobs again, and goes on with the next step
// if they pass.
func (r *run) retry(t time.Time, next int) (time.Time, int) {
	// Most of the time somebody has mended what was wrong before.
	if chance(r.s.world, 0.6) {
		r.breaks = nil
	}
	again := r.failed
	r.failed = nil
	r.resume(t)
	end := t
	for _, source := range again {
		last := source
		if source.step.kind == command {
			last = r.playJob(r.newRetry(source, t, "manual"))
		}
		if end = latest(end, last.now.finished); last.counts() {
			r.failed = append(r.failed, last)
		}
	}
	if len(r.failed) > 0 {
		return end.Add(200 * time.Millisecond), next
	}
	return r.work(end.Add(200*time.Millisecond), next)
}

// unblock has somebody let the build past its block step.
func (r *run) unblock(t time.Time, next int) (time.Time, int) {
	j := r.newJob(next, t)
	j.unblocker = pick(r.s.world, r.pipeline.organization.people)
	j.now.state = "unblocked"
	r.noteJob(t, "job.activated", j)
	r.resume(t.Add(100 * time.Millisecond))
	return r.work(t.Add(200*time.Millisecond), next+1)
}

// cancel has somebody stop the build at t: nothing happens from then on but
// that its jobs are canceled. It returns when the build has finished.
func (r *run) cancel(t time.Time) time.Time {
	kept := r.moments[:0]
	under := make(map[*job]jobVersion) // way, by how they stood
	for _, m := range r.moments {
		if m.at.After(t) {
			continue
		}
		kept = append(kept, m)
		if m.job != nil {
			under[m.job] = m.as
		}
	}
	r.moments, r.failed = kept, nil
	end := t.Add(r.takes(2 * time.Second))
	for _, j := range r.jobs {
		as, begun := under[j]
		if !begun || !as.finished.IsZero() {
			continue
		}
		j.now = as
		j.now.state, j.now.finished = "canceled", end
		if !as.started.IsZero() {
			status := -1
			j.now.exit, j.now.signal = &status, "cancel"
		}
		r.noteJob(end, "job.finished", j)
	}
	end = end.Add(100 * time.Millisecond)
	r.fact.finish("canceled", false)
	r.note(end, "build.finished", func(v *version) {
		v.state, v.finished, v.cancelReason = "canceled", end, "Canceled by a newer build of the branch"
	})
	return end
}
