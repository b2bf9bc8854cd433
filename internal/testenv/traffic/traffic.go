// Package traffic makes Buildkite webhook deliveries for tests, together with
// what they must add up to. The truth is computed from the definitions, apart
// from the code that is tested.
package traffic

import (
	"encoding/json"
	"fmt"
	"time"
)

// Dice returns a number from 0 to n-1. All of a world follows from its throws.
type Dice func(n int) int

// Delivery is one webhook delivery.
type Delivery struct {
	Event string
	Body  []byte
	// BuildID names the build it is about.
	BuildID string
}

// Truth is what a build's deliveries must add up to, in whatever order.
type Truth struct {
	ID, Organization, Pipeline, Branch string
	Number                             int64
	// Status is ours: running, passed, failed, fixed, canceled, blocked.
	Status      string
	Failures    int
	FirstFailed int64
	LastPassed  int64
	// Message says whether a notice must be there at the end.
	Message Message
	// Newest: it is the latest failure of its row.
	Newest bool
}

// Message is what must be said of a build.
type Message int

const (
	// Never: it is on another branch, or never failed.
	Never Message = iota
	// Perhaps: it failed and was fixed; whether it was announced depends on how
	// fast deliveries came.
	Perhaps
	// Once: it failed, and says so.
	Once
)

// World is a history of builds.
type World struct {
	Deliveries []Delivery
	Builds     []Truth

	roll  Dice
	start time.Time
	ids   int
	next  map[string]int64
}

// Options say what a world is like.
type Options struct {
	// Builds is how many builds there are, triggered ones not counted.
	Builds int
	// Start is when the first begins. Zero is an hour ago.
	Start time.Time
	// Triggers lets builds trigger others.
	Triggers bool
	// Padding adds this many bytes to each payload.
	Padding int
	// Name keeps the ids of one world apart from those of another.
	Name string
}

// New makes a world.
func New(roll Dice, opts Options) *World {
	w := &World{roll: roll, start: opts.Start, next: make(map[string]int64)}
	if w.start.IsZero() {
		w.start = time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	}
	for i := range opts.Builds {
		b := w.newBuild(opts, []string{"web", "api"}[roll(2)], w.start.Add(time.Duration(i)*time.Second))
		b.live(opts.Triggers, 0)
	}
	w.count()
	return w
}

// build is one build while it is made.
type build struct {
	w     *World
	opts  Options
	truth int // index into w.Builds
	json  map[string]any
	pipe  map[string]any
	now   time.Time
	// linked: its payloads say which job is a retry of which. Older ones do not.
	linked bool
}

func (w *World) id(opts Options, kind string) string {
	w.ids++
	return fmt.Sprintf("%s%s-%08d", opts.Name, kind, w.ids)
}

func (w *World) newBuild(opts Options, pipeline string, now time.Time) *build {
	w.next[pipeline]++
	number := w.next[pipeline]
	branch := "main"
	if w.roll(5) == 0 {
		branch = "feature"
	}
	id := w.id(opts, "build")
	organization := opts.Name + "acme"
	w.Builds = append(w.Builds, Truth{ID: id, Organization: organization, Pipeline: pipeline, Branch: branch, Number: number, Status: "running"})
	return &build{
		w: w, opts: opts, truth: len(w.Builds) - 1, now: now, linked: w.roll(2) == 0,
		pipe: map[string]any{
			"id": "pipeline-" + pipeline, "slug": pipeline, "name": pipeline, "default_branch": "main",
			"repository":           "git@github.com:acme/" + pipeline + ".git",
			"url":                  "https://api.buildkite.com/v2/organizations/" + organization + "/pipelines/" + pipeline,
			"running_builds_count": w.roll(9), "provider": map[string]any{"id": "github", "webhook_url": "https://webhook.buildkite.com/deliver/secret"},
		},
		json: map[string]any{
			"id": id, "number": number, "branch": branch, "commit": fmt.Sprintf("%040x", 1000+number), "message": fmt.Sprintf("Change %d of %s\n\nWith a body.", number, pipeline),
			"web_url": fmt.Sprintf("https://buildkite.com/%s/%s/builds/%d", organization, pipeline, number),
			"url":     fmt.Sprintf("https://api.buildkite.com/v2/organizations/%s/pipelines/%s/builds/%d", organization, pipeline, number),
			"author":  map[string]any{"name": "Ada", "email": "ada@example.com"}, "state": "scheduled", "blocked": false,
			"created_at": stamp(now), "started_at": nil, "finished_at": nil,
		},
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (b *build) tick() time.Time {
	b.now = b.now.Add(time.Duration(1+b.w.roll(900)) * time.Millisecond)
	return b.now
}

// send records a delivery of the build as it is now.
func (b *build) send(event string, job map[string]any) {
	payload := map[string]any{
		"event": event, "build": b.json, "pipeline": b.pipe,
		"sender": map[string]any{"id": "u", "name": "Ada"},
	}
	if job != nil {
		payload["job"] = job
	}
	if b.opts.Padding > 0 {
		payload["padding"] = fmt.Sprintf("%0*d", b.opts.Padding, b.w.ids)
	}
	body, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	b.w.Deliveries = append(b.w.Deliveries, Delivery{Event: event, Body: body, BuildID: b.w.Builds[b.truth].ID})
}

// live plays the build from its creation to its end.
func (b *build) live(triggers bool, depth int) {
	roll := b.w.roll
	b.send("build.scheduled", nil)
	b.json["state"], b.json["started_at"] = "running", stamp(b.tick())
	b.send("build.running", nil)

	failed, fixed := false, false
	for step := range 1 + roll(3) {
		f, x := b.step(fmt.Sprintf("step-%c", 'a'+step))
		failed, fixed = failed || f, fixed || x
	}
	if triggers && depth < 2 && roll(3) == 0 {
		failed = b.trigger(depth) || failed
	}

	truth := &b.w.Builds[b.truth]
	switch roll(8) {
	case 0:
		b.finish("canceled", false)
		truth.Status = "canceled"
		return
	case 1:
		b.finish("passed", true)
		truth.Status = "blocked"
		return
	case 2: // its finish never comes
		return
	}
	if !failed {
		b.finish("passed", false)
		truth.Status = "passed"
		if fixed {
			truth.Status = "fixed"
		}
		return
	}
	b.finish("failed", false)
	truth.Status = "failed"
	if roll(3) > 0 {
		return
	}
	// Somebody retries it: it runs again, and finishes again.
	b.json["state"], b.json["finished_at"] = "running", nil
	b.tick()
	b.send("build.running", nil)
	if roll(2) == 0 {
		b.finish("failed", false)
		return
	}
	b.finish("passed", false)
	truth.Status = "fixed"
}

func (b *build) finish(state string, blocked bool) {
	b.json["state"], b.json["blocked"], b.json["finished_at"] = state, blocked, stamp(b.tick())
	b.send("build.finished", nil)
}

// step plays one step: one job, some parallel ones or a small matrix, each
// with retries. It says whether one failed to the end, and whether a retry
// fixed one.
func (b *build) step(name string) (failed, fixed bool) {
	roll := b.w.roll
	step := map[string]any{"id": b.w.id(b.opts, "step"), "key": name}
	kind, count := roll(4), 1
	if kind >= 2 {
		count = 2 + roll(2)
	}
	for i := range count {
		job := map[string]any{"type": "script", "name": name, "step": step, "step_key": name}
		switch kind {
		case 2:
			job["parallel_group_index"] = i
		case 3:
			job["matrix"] = map[string]any{"os": fmt.Sprint("os", i)}
			job["name"] = fmt.Sprintf("%s os%d", name, i)
		}
		f, x := b.job(job)
		failed, fixed = failed || f, fixed || x
	}
	return failed, fixed
}

// job plays a job and its retries.
func (b *build) job(like map[string]any) (failed, fixed bool) {
	roll := b.w.roll
	source := ""
	before := false
	for {
		id := b.w.id(b.opts, "job")
		job := map[string]any{
			"id": id, "state": "scheduled", "created_at": stamp(b.now), "finished_at": nil, "exit_status": nil, "soft_failed": false,
			"web_url": fmt.Sprint(b.json["web_url"], "#", id),
		}
		for k, v := range like {
			job[k] = v
		}
		if source != "" && b.linked {
			job["retry_source"] = map[string]any{"job_id": source, "retry_type": "automatic"}
		}
		b.send("job.scheduled", job)
		job["state"], job["started_at"] = "running", stamp(b.tick())
		b.send("job.started", job)
		job["finished_at"] = stamp(b.tick())
		outcome := roll(8)
		switch outcome {
		case 0, 1:
			job["state"], job["exit_status"] = "failed", 1
		case 2:
			job["state"], job["exit_status"], job["soft_failed"] = "failed", 1, true
		case 3:
			job["state"], job["exit_status"] = "timed_out", -1
		default:
			job["state"], job["exit_status"] = "passed", 0
		}
		b.send("job.finished", job)
		ok := outcome > 3
		if outcome == 2 {
			return false, false
		}
		if ok {
			return false, before
		}
		before = true
		if roll(2) == 0 {
			return true, false
		}
		source = id
	}
}

// trigger has a trigger step start a build of another pipeline and says
// whether that failed this one.
func (b *build) trigger(depth int) bool {
	roll := b.w.roll
	child := b.w.newBuild(b.opts, "deploy", b.tick())
	child.json["triggered_from"] = map[string]any{
		"build_id": b.json["id"], "build_number": b.json["number"], "build_pipeline_slug": b.pipe["slug"],
	}
	async, soft := roll(4) == 0, roll(6) == 0
	job := map[string]any{
		"id": b.w.id(b.opts, "job"), "type": "trigger", "name": "deploy", "state": "running", "created_at": stamp(b.now), "finished_at": nil, "async": async,
		"triggered_build": map[string]any{"id": child.json["id"], "number": child.json["number"]},
	}
	b.send("job.started", job)
	child.live(true, depth+1)
	b.now = child.tick()
	status := b.w.Builds[child.truth].Status
	failed := status == "failed" && !async
	job["finished_at"], job["state"] = stamp(b.tick()), "passed"
	if failed {
		job["state"], job["soft_failed"] = "failed", soft
	}
	b.send("job.finished", job)
	return failed && !soft
}
