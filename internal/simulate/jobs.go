package simulate

import (
	"fmt"
	"strings"
	"time"
)

// job is one attempt of a step's.
type job struct {
	id      string
	step    *step
	stepID  string
	name    string
	index   int // of a parallel or matrix step, from 0
	created time.Time
	// source is what it tries again, and how: automatic or manual.
	source    *job
	retryType string
	attempt   int // from 0
	agent     *agent
	child     *run // that a trigger started
	unblocker person

	now jobVersion
}

// jobVersion is how a job stands at a moment.
type jobVersion struct {
	state             string
	started, finished time.Time // zero for not yet
	exit              *int
	soft              bool
	signal            string // why it was stopped
	retriedIn         string
}

// counts: it failed, and the build with it.
func (j *job) counts() bool {
	return !j.now.soft && (j.now.state == "failed" || j.now.state == "timed_out")
}

func (r *run) newJob(at int, t time.Time) *job {
	st := &r.steps[at]
	j := &job{id: r.s.uuid(t), step: st, stepID: r.ids[at], name: st.name, created: t}
	r.jobs = append(r.jobs, j)
	return j
}

// newRetry makes another attempt of a job, and links the two.
func (r *run) newRetry(source *job, t time.Time, how string) *job {
	j := &job{
		id: r.s.uuid(t), step: source.step, stepID: source.stepID, name: source.name, index: source.index,
		created: t, source: source, retryType: how, attempt: source.attempt + 1,
	}
	source.now.retriedIn = j.id
	r.jobs = append(r.jobs, j)
	return j
}

// stepJobs makes the jobs of a step.
func (r *run) stepJobs(at int, t time.Time) []*job {
	st := &r.steps[at]
	var jobs []*job
	for i := range max(1, st.parallel, len(st.matrix)) {
		j := r.newJob(at, t)
		j.index = i
		switch {
		case st.parallel > 0:
			j.name = strings.ReplaceAll(st.name, "%n", fmt.Sprint(i+1))
		case len(st.matrix) > 0:
			j.name = strings.TrimSpace(fmt.Sprintf("%s %s %s", st.name, st.matrix[i].OS, st.matrix[i].Language))
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// playJob plays a job and its automatic retries, and returns the last attempt.
func (r *run) playJob(j *job) *job {
	if j.step.kind == trigger {
		r.playTrigger(j)
		return j
	}
	stubborn := r.isBroken(j.step) && (j.index == 0 || chance(r.s.world, 0.5))
	for retries := 0; ; retries++ {
		r.attempt(j, stubborn)
		if !j.counts() || retries == j.step.retries {
			if j.source != nil && j.now.state == "passed" {
				r.fact.flaked = true
			}
			r.finishJob(j)
			return j
		}
		next := r.newRetry(j, j.now.finished.Add(500*time.Millisecond), "automatic")
		r.finishJob(j)
		j = next
	}
}

// attempt decides how one attempt goes, up to its finish.
func (r *run) attempt(j *job, stubborn bool) {
	dice := r.s.world
	j.now.state = "scheduled"
	r.noteJob(j.created, "job.scheduled", j)
	j.agent = r.pipeline.organization.fleet.pick(dice)
	j.now.state, j.now.started = "running", j.created.Add(r.takes(6*time.Second))
	r.noteJob(j.now.started, "job.started", j)
	j.now.finished = j.now.started.Add(r.takes(j.step.takes))

	fails := stubborn || chance(dice, j.step.flaky)
	if r.s.isBad(j.created) && !j.step.soft {
		fails = fails || chance(dice, 0.9)
	}
	status := 0
	j.now.state = "passed"
	if fails {
		j.now.state, status = "failed", 1+dice.IntN(2)
		switch n := dice.IntN(20); {
		case j.step.soft:
			j.now.soft = true
		case n == 0:
			j.now.state, status, j.now.signal = "timed_out", 255, "cancel"
		case n == 1:
			status, j.now.signal = -1, "agent_stop"
			r.s.loseAgent(j.agent, j.now.finished)
		}
	}
	j.now.exit = &status
}

func (r *run) finishJob(j *job) { r.noteJob(j.now.finished, "job.finished", j) }

// playTrigger starts another build, and waits for it unless the step is async.
func (r *run) playTrigger(j *job) {
	dice := r.s.world
	p := r.pipeline.triggers[j.step.target]
	j.now.started = j.created.Add(r.takes(time.Second))
	c := r.s.newRun(p, j.now.started)
	c.parent, c.tempo = r, r.tempo
	c.commit, c.message, c.author, c.source, c.branch = r.commit, r.message, r.author, "trigger_job", p.defaultBranch
	if j.step.async { // tests, on the branch itself
		c.branch = r.branch
	}
	c.fact.parent, c.fact.onDefault = r.fact, c.branch == p.defaultBranch
	if chance(dice, p.trouble) {
		c.breaks = r.s.anyStep(p)
	}
	c.plan()
	finished, failed := c.live()
	j.child = c
	j.now.state, j.now.finished = "passed", j.now.started.Add(100*time.Millisecond)
	if !j.step.async {
		j.now.finished = finished.Add(300 * time.Millisecond)
		if failed {
			j.now.state, j.now.soft = "failed", j.step.soft
		}
	}
	r.finishJob(j)
}
