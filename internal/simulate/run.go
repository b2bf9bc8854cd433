package simulate

import (
	"slices"
	"time"
)

// run is one build: what it is, and what happens to it.
type run struct {
	s        *Simulation
	pipeline *pipeline
	id       string
	commit   string
	message  string
	branch   string
	source   string // webhook, ui, schedule or trigger_job
	pull     int    // 0 for none
	author   person
	parent   *run // that triggered it; nil for none
	created  time.Time
	// number is 0 until it is created: builds are numbered in that order, and a
	// triggered one is planned before.
	number int64

	steps  []step
	ids    []string // of the steps
	breaks *step    // fails whatever is tried; nil for none
	tempo  float64  // how long everything takes, 1 as planned

	moments []moment
	jobs    []*job // in the order in which they were created
	failed  []*job // last attempts that failed
	fact    *fact
}

// version is how a build stands at a moment.
type version struct {
	state             string
	blocked           bool
	started, finished time.Time // zero for not yet
	cancelReason      string
}

// moment is a time at which Buildkite tells something about a build.
type moment struct {
	at    time.Time
	event string
	// change is what becomes of the build; nil when nothing does.
	change func(*version)
	// job is what it is about, as it stands then; nil when it is about the build.
	job *job
	as  jobVersion
	// build is how the build stands; known when all moments are.
	build version
}

// note records a moment in the life of the build.
func (r *run) note(at time.Time, event string, change func(*version)) {
	r.moments = append(r.moments, moment{at: at, event: event, change: change})
}

// noteJob records a moment in the life of one of its jobs.
func (r *run) noteJob(at time.Time, event string, j *job) {
	r.moments = append(r.moments, moment{at: at, event: event, job: j, as: j.now})
}

// begin starts a build that nobody triggered, and sends what becomes of it.
func (s *Simulation) begin(t time.Time) {
	s.begun++
	p := s.pickPipeline()
	b := s.pickBranch(p)
	r := s.newRun(p, t)
	r.author = pick(s.world, p.organization.people)
	r.branch, r.source = p.defaultBranch, "webhook"
	topic, merged := pick(s.world, topics), 0
	switch {
	case b != nil:
		r.branch, r.author, r.pull, topic = b.name, b.author, b.pull, b.topic
	case t.Hour() < 6:
		r.source = "schedule"
	case chance(s.world, 0.1):
		r.source = "ui"
	default:
		p.pull++
		merged = p.pull
	}
	r.message = message(s.world, topic, merged)
	r.fact.onDefault = b == nil
	r.breaks = s.mishap(p, b)
	r.plan()
	r.live()
}

// newRun makes a build that begins at t. It gets its number then.
func (s *Simulation) newRun(p *pipeline, t time.Time) *run {
	r := &run{s: s, pipeline: p, id: s.uuid(t), commit: s.commit(), created: t, tempo: 1}
	if s.opts.Pace > 0 && t.After(s.end) {
		r.tempo = 0.1
	}
	r.fact = &fact{organization: p.organization.slug, pipeline: p.slug, id: r.id}
	if s.opts.Pace == 0 {
		s.facts = append(s.facts, r.fact)
	}
	s.at(t, func(time.Time) {
		s.builds++
		p.number++
		r.number, r.fact.number = p.number, p.number
	})
	return r
}

// plan decides which steps the build has.
func (r *run) plan() {
	r.fact.branch = r.branch
	for _, st := range r.pipeline.steps {
		if !st.mainOnly || r.branch == r.pipeline.defaultBranch {
			r.steps = append(r.steps, st)
			r.ids = append(r.ids, r.s.uuid(r.created))
		}
	}
}

// isBroken: every attempt of the step fails.
func (r *run) isBroken(st *step) bool { return r.breaks != nil && r.breaks.key == st.key }

// takes returns how long something takes that takes d by and large.
func (r *run) takes(d time.Duration) time.Duration {
	d = time.Duration(float64(d) * r.tempo)
	return between(r.s.world, d*7/10, d*13/10)
}

// later returns a time when somebody acts, at least least after t and at most
// most; false when the history ends before that comes to anything.
func (r *run) later(t time.Time, least, most time.Duration) (time.Time, bool) {
	t = t.Add(time.Duration(float64(between(r.s.world, least, most)) * r.tempo))
	return t, r.s.opts.Pace > 0 || t.Before(r.s.end.Add(-lastRun))
}

// send hands all moments to the line.
func (r *run) send() {
	slices.SortStableFunc(r.moments, func(x, y moment) int { return x.at.Compare(y.at) })
	var now version
	for i := range r.moments {
		m := &r.moments[i]
		if m.change != nil {
			m.change(&now)
		}
		m.build = now
	}
	r.hurry()
	for i := range r.moments {
		m := &r.moments[i]
		var next time.Time
		if i+1 < len(r.moments) {
			next = r.moments[i+1].at
		}
		r.s.deliver(m.at, next, func() Delivery { return r.render(m) })
	}
	r.jobs, r.failed = nil, nil
}

// hurry has a few payloads show a later version of their job than their event
// names: Buildkite shows it as it is when it sends.
func (r *run) hurry() {
	for i := range r.moments {
		m := &r.moments[i]
		if m.event != "job.started" || !chance(r.s.world, 0.02) {
			continue
		}
		for _, later := range r.moments[i+1:] {
			if later.job == m.job {
				m.at, m.as, m.build = later.at, later.as, later.build
				break
			}
		}
	}
}
