package load

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"
)

// Delivery is one webhook delivery.
type Delivery struct {
	Event   string
	Body    []byte
	BuildID string
	// JobID is empty in an event of the build itself.
	JobID string
}

// Shape says what a build's deliveries are.
type Shape struct {
	Jobs int
	// Finishes leaves out everything but how jobs and the build ended.
	Finishes bool
}

// Deliveries is how many a build has.
func (s Shape) Deliveries() int {
	if s.Finishes {
		return s.Jobs + 1
	}
	return 3*s.Jobs + 3
}

// Build is a build whose deliveries can be made in any order, again and again.
type Build struct {
	ID, Organization, Pipeline, Branch string
	Number                             int64
	// Failed: its last job fails, and so does it.
	Failed bool

	shape     Shape
	templates *templates
	common    values
	jobs      []job
}

type job struct{ id, key, step, stepID string }

type templates struct{ build, job template }

// Organization is the slug of all builds.
const Organization = "acme"

// BuildOptions say what a build is.
type BuildOptions struct {
	Pipeline string
	Branch   string
	Number   int64
	Failed   bool
	Shape    Shape
	// Finished is when the build ended. A job takes a second.
	Finished time.Time
}

// Maker makes builds. It is for one goroutine.
type Maker struct {
	random    *rand.Rand
	templates *templates
}

// NewMaker returns a maker whose ids follow from the seed.
func NewMaker(seed uint64) (*Maker, error) {
	var t templates
	var err error
	if t.build, err = newTemplate(buildText); err != nil {
		return nil, err
	}
	if t.job, err = newTemplate(jobText); err != nil {
		return nil, err
	}
	return &Maker{random: rand.New(rand.NewPCG(seed, 1)), templates: &t}, nil
}

// Build makes one.
func (m *Maker) Build(o BuildOptions) *Build {
	id := m.uuid()
	b := &Build{
		ID: id, Organization: Organization, Pipeline: o.Pipeline, Branch: o.Branch, Number: o.Number, Failed: o.Failed,
		shape: o.Shape, templates: m.templates,
		jobs: make([]job, o.Shape.Jobs),
	}
	for i := range b.jobs {
		id := m.uuid()
		b.jobs[i] = job{id: id, key: id[24:], step: fmt.Sprintf("step-%02d", i), stepID: m.uuid()}
	}
	began := o.Finished.Add(-time.Duration(o.Shape.Jobs+1) * time.Second)
	v := &b.common
	v[organization], v[pipeline], v[branch] = Organization, o.Pipeline, o.Branch
	v[number] = fmt.Sprint(o.Number)
	v[buildID], v[buildKey] = id, id[24:]
	v[commit] = m.hex(20)
	v[createdAt], v[startedAt], v[finishedAt] = stamp(began), quoted(began), quoted(o.Finished)
	return b
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func quoted(t time.Time) string { return `"` + stamp(t) + `"` }

// Deliveries is how many the build has.
func (b *Build) Deliveries() int { return b.shape.Deliveries() }

// Delivery makes the n-th in Buildkite's order, from 0, with its body appended to dst.
func (b *Build) Delivery(n int, dst []byte) Delivery {
	last := b.Deliveries() - 1
	v := b.common
	switch {
	case n == last:
		v[event], v[buildState] = "build.finished", outcome(b.Failed)
		return b.delivery(&b.templates.build, &v, dst)
	case b.shape.Finishes:
		return b.jobDelivery(&v, n, "job.finished", dst)
	case n < 2:
		v[event] = [...]string{"build.scheduled", "build.running"}[n]
		v[buildState], v[finishedAt] = [...]string{"scheduled", "running"}[n], "null"
		if n == 0 {
			v[startedAt] = "null"
		}
		return b.delivery(&b.templates.build, &v, dst)
	default:
		n -= 2
		return b.jobDelivery(&v, n/3, [...]string{"job.scheduled", "job.started", "job.finished"}[n%3], dst)
	}
}

func (b *Build) jobDelivery(v *values, n int, name string, dst []byte) Delivery {
	j := &b.jobs[n]
	v[event], v[buildState] = name, "running"
	v[jobStartedAt], v[jobFinishedAt] = v[startedAt], v[finishedAt]
	v[finishedAt] = "null"
	v[jobID], v[jobKey], v[step], v[stepID], v[exitStatus] = j.id, j.key, j.step, j.stepID, "null"
	switch name {
	case "job.scheduled":
		v[jobState], v[jobStartedAt], v[jobFinishedAt] = "scheduled", "null", "null"
	case "job.started":
		v[jobState], v[jobFinishedAt] = "running", "null"
	default:
		failed := b.Failed && n == len(b.jobs)-1
		v[jobState], v[exitStatus] = outcome(failed), "0"
		if failed {
			v[exitStatus] = "1"
		}
	}
	return b.delivery(&b.templates.job, v, dst)
}

func (b *Build) delivery(t *template, v *values, dst []byte) Delivery {
	return Delivery{Event: v[event], Body: t.appendTo(dst, v), BuildID: b.ID, JobID: v[jobID]}
}

func outcome(failed bool) string {
	if failed {
		return "failed"
	}
	return "passed"
}

// uuid returns 36 random characters in the form of a UUID.
func (m *Maker) uuid() string {
	h := m.hex(16)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// hex returns n random bytes, n up to 24, in hexadecimal.
func (m *Maker) hex(n int) string {
	var raw [24]byte
	for i := 0; i < n; i += 8 {
		r := m.random.Uint64()
		for k := range 8 {
			raw[i+k] = byte(r >> (8 * k))
		}
	}
	return hex.EncodeToString(raw[:n])
}
