package buildtracker

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// told is one build of a hand-written story.
type told struct {
	pipeline string
	number   int
	fields   map[string]any
}

func tell(pipeline string, number int) *told {
	return &told{pipeline: pipeline, number: number, fields: map[string]any{
		"id": fmt.Sprintf("%s-%d", pipeline, number), "number": number, "branch": "main", "state": "running",
		"web_url": fmt.Sprintf("https://buildkite.com/acme/%s/builds/%d", pipeline, number), "message": "A change", "commit": "abc",
	}}
}

func (b *told) id() string { return fmt.Sprint(b.fields["id"]) }

// from says which build triggered this one.
func (b *told) from(parent *told) *told {
	b.fields["triggered_from"] = map[string]any{"build_id": parent.id(), "build_number": parent.number, "build_pipeline_slug": parent.pipeline}
	return b
}

// finished is the build's finish, minutes ago.
func (b *told) finished(state string, minutesAgo int) traffic.Delivery {
	b.fields["state"], b.fields["finished_at"] = state, time.Now().Add(-time.Duration(minutesAgo)*time.Minute).UTC().Format(time.RFC3339Nano)
	return b.event("build.finished", nil)
}

// job is the finish of one of its jobs.
func (b *told) job(name, state string, more ...any) traffic.Delivery {
	job := map[string]any{
		"id": b.id() + name + state, "type": "script", "name": name, "state": state,
		"finished_at": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano), "web_url": "https://buildkite.com/job/" + name,
	}
	for i := 0; i+1 < len(more); i += 2 {
		job[fmt.Sprint(more[i])] = more[i+1]
	}
	return b.event("job.finished", job)
}

func (b *told) event(event string, job map[string]any) traffic.Delivery {
	payload := map[string]any{
		"event": event, "build": b.fields,
		"pipeline":     map[string]any{"slug": b.pipeline, "name": b.pipeline, "default_branch": "main"},
		"organization": map[string]any{"slug": "acme"},
	}
	if job != nil {
		payload["job"] = job
	}
	body, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	return traffic.Delivery{Event: event, Body: body, BuildID: b.id()}
}

// headers returns the first line of each message, by build.
func (r *rig) headers() map[string]string {
	r.t.Helper()
	r.fold()
	r.speak()
	out := make(map[string]string)
	for id, text := range r.said.last(r.t) {
		out[id], _, _ = strings.Cut(text, "\n")
	}
	return out
}

func (r *rig) expect(want map[string]string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.headers()); diff != "" {
		r.t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestTriggeredBuildSpeaksWhenItsParentDoesNot(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newRig(t, s)
		defer r.close()
		parent := tell("web", 1)
		child := tell("deploy", 1).from(parent)
		r.append(parent.event("build.running", nil), child.job("smoke", "failed"), child.finished("failed", 5))
		r.expect(map[string]string{})
		r.append(parent.finished("passed", 4))
		r.expect(map[string]string{"deploy-1": ":red_circle: Build 1 failed"})
	})
}

func TestParentSpeaksForTheBuildsItTriggered(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newRig(t, s)
		defer r.close()
		parent := tell("web", 1)
		child := tell("deploy", 1).from(parent)
		grandchild := tell("verify", 1).from(child)
		// The youngest comes first: nothing is known of what triggered it.
		r.append(grandchild.job("curl", "failed"))
		r.fold()
		r.append(child.event("build.running", nil), parent.event("build.running", nil), grandchild.finished("failed", 6))
		r.fold()
		r.append(child.finished("failed", 5), parent.finished("failed", 4))
		r.expect(map[string]string{"web-1": ":red_circle: Build 1 failed"})
		if text := r.said.last(t)["web-1"]; !strings.Contains(text, "verify: curl") {
			t.Errorf("the message does not name what failed: %s", text)
		}
	})
}

func TestStreakEditsOnlyTheNewestMessageOfItsRow(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newRig(t, s)
		defer r.close()
		one, two, three, four := tell("web", 1), tell("web", 2), tell("web", 3), tell("web", 4)
		r.append(two.finished("failed", 9))
		r.headers()
		r.append(three.finished("failed", 8))
		r.headers()
		r.append(four.finished("failed", 7))
		r.expect(map[string]string{
			"web-2": ":red_circle: Build 2 failed",
			"web-3": ":red_circle: Build 3 failed (2nd failure)",
			"web-4": ":red_circle: Build 4 failed (:exclamation: 3rd failure)",
		})
		r.append(one.finished("failed", 10)) // it was late
		r.expect(map[string]string{
			"web-1": ":red_circle: Build 1 failed",
			"web-2": ":red_circle: Build 2 failed",
			"web-3": ":red_circle: Build 3 failed (2nd failure)",
			"web-4": ":red_circle: Build 4 failed (:bangbang: 4th failure)",
		})
		r.append(three.finished("passed", 1)) // a retry fixed it
		r.expect(map[string]string{
			"web-1": ":red_circle: Build 1 failed",
			"web-2": ":red_circle: Build 2 failed (2nd failure)", // the newest of its row now
			"web-3": ":large_green_circle: Build 3 fixed",
			"web-4": ":red_circle: Build 4 failed",
		})
		views := r.builds([]string{"web-2", "web-3", "web-4"})
		if got := views["web-2"].ConsecutiveFailures; got != 2 {
			t.Errorf("build 2 is failure %d of its row, want 2", got)
		}
		if v := views["web-4"]; v.ConsecutiveFailures != 1 || orZero(v.FirstFailedNumber) != 4 || orZero(v.LastPassedNumber) != 3 {
			t.Errorf("build 4 is failure %d, first %d, last passed %d; want 1, 4, 3", v.ConsecutiveFailures, orZero(v.FirstFailedNumber), orZero(v.LastPassedNumber))
		}
	})
}

func TestNothingIsSaidOf(t *testing.T) {
	t.Parallel()
	stories := map[string]func(b *told) []traffic.Delivery{
		"a passed build": func(b *told) []traffic.Delivery { return []traffic.Delivery{b.finished("passed", 1)} },
		"a build of another branch": func(b *told) []traffic.Delivery {
			b.fields["branch"] = "feature"
			return []traffic.Delivery{b.finished("failed", 1)}
		},
		"a build that finished long ago": func(b *told) []traffic.Delivery { return []traffic.Delivery{b.finished("failed", 25*60)} },
		"a build fixed by an automatic retry": func(b *told) []traffic.Delivery {
			return []traffic.Delivery{b.job("test", "failed"), b.job("test", "passed"), b.finished("passed", 1)}
		},
		"a failure that was fixed before it was said": func(b *told) []traffic.Delivery {
			return []traffic.Delivery{b.finished("failed", 2), b.finished("passed", 1)}
		},
		"a finish during a retry": func(b *told) []traffic.Delivery {
			return []traffic.Delivery{b.job("test", "failed"), b.event("build.finished", nil)}
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, embeddedStores(t))
			defer r.close()
			r.append(story(tell("web", 1))...)
			r.expect(map[string]string{})
		})
	}
}

func TestMessageFollowsItsBuild(t *testing.T) {
	t.Parallel()
	r := newRig(t, embeddedStores(t))
	defer r.close()
	b := tell("web", 42)
	r.append(b.finished("failed", 9))
	r.expect(map[string]string{"web-42": ":red_circle: Build 42 failed"})
	r.append(b.job("late", "failed"))
	r.headers()
	if text := r.said.last(t)["web-42"]; !strings.Contains(text, "● late - ") {
		t.Errorf("a job that came late is not in the message: %s", text)
	}
	r.append(b.job("late", "passed", "created_at", time.Now().UTC().Format(time.RFC3339), "finished_at", time.Now().UTC().Format(time.RFC3339)), b.finished("passed", 1))
	r.expect(map[string]string{"web-42": ":large_green_circle: Build 42 fixed"})
	if n := len(r.said.messages); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}
