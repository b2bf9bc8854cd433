package buildtracker

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

// odd is a delivery that somebody made to do harm, or that came out of a
// strange repository.
type odd struct {
	traffic.Delivery
	status int
}

// oddities are odd deliveries by what is odd. Each is of a pipeline of its own.
func oddities() map[string]odd {
	finished := func(status int, old, new string) odd {
		b := tell("PIPELINE", 1)
		b.fields["author"] = map[string]any{"name": "AUTHOR", "email": "EMAIL"}
		b.fields["pad"] = "PAD"
		b.fields["message"] = "MESSAGE"
		b.fields["branch"] = "BRANCH"
		b.fields["meta_data"] = []any{"RAW"}
		d := b.finished("failed", 1)
		d.Body = []byte(strings.Replace(string(d.Body), old, new, 1))
		return odd{d, status}
	}
	jobs := make([]string, 10_000)
	for i := range jobs {
		jobs[i] = fmt.Sprintf(`{"id":"j%d","type":"script","name":"job %d","step_key":"s%d","state":"failed","exit_status":1,"finished_at":"2024-05-01T10:00:00Z"}`, i, i, i/3)
	}
	const m = 1 << 20
	return map[string]odd{
		"NUL in the message":          finished(200, "MESSAGE", `a\u0000b`),
		"surrogates in the message":   finished(200, "MESSAGE", `\ud800\ud800\udfff\udc00 \uD83D`),
		"NUL in the branch":           finished(200, "BRANCH", `\u0000`),
		"surrogates in the branch":    finished(200, "BRANCH", `a\udfff`),
		"NUL in the author":           finished(200, "AUTHOR", `\u0000\ud800`),
		"NUL in the email":            finished(200, "EMAIL", `\u0000\ud800@x`),
		"NUL in the pipeline's name":  finished(200, `"name":"PIPELINE"`, `"name":"\u0000\ud800"`),
		"NUL in the state":            finished(200, `"failed"`, `"fai\u0000led\ud800"`),
		"NUL in the commit":           finished(200, `"commit":"abc"`, `"commit":"\u0000\ud800"`),
		"NUL in an URL":               finished(200, `"https://buildkite.com/acme/PIPELINE/builds/1"`, `"https://buildkite.com/\u0000\ud800"`),
		"NUL in the build's id":       finished(400, `"id":"PIPELINE-1"`, `"id":"PIPELINE\u0000"`),
		"NUL in the slug":             finished(400, `"slug":"PIPELINE"`, `"slug":"PIPELINE\u0000"`),
		"NUL in the organization":     finished(400, `"slug":"acme"`, `"slug":"ac\u0000me"`),
		"NUL in a name":               finished(200, `"pad"`, `"\u0000\ud800"`),
		"escaped control characters":  finished(200, "MESSAGE", `\u0001\u0007\u001b[31m\u007f\u0085\u2028\u202e`),
		"a raw control character":     finished(400, "MESSAGE", "\x00"),
		"invalid UTF-8":               finished(200, "MESSAGE", "\xff\xfe\xc0\x80 \xed\xa0\x80"),
		"invalid UTF-8 in a branch":   finished(200, "BRANCH", "\xff"),
		"invalid UTF-8 in a name":     finished(200, `"pad"`, "\"\xff\""),
		"invalid UTF-8 in the slug":   finished(400, `"slug":"PIPELINE"`, "\"slug\":\"PIPELINE\xff\""),
		"arrays in arrays":            finished(400, `"RAW"`, strings.Repeat("[", 2*m)+strings.Repeat("]", 2*m)),
		"objects in objects":          finished(400, `"RAW"`, strings.Repeat(`{"a":`, m/2)+"1"+strings.Repeat("}", m/2)),
		"open arrays":                 finished(400, `"RAW"`, strings.Repeat("[", 4*m)),
		"many arrays":                 finished(200, `"RAW"`, strings.Repeat("[[]],", m-1000)+"[]"),
		"more than 5 MiB":             finished(413, "PAD", strings.Repeat("x", 5*m)),
		"a huge message":              finished(200, "MESSAGE", strings.Repeat(`\u0000`, 4*m/6)),
		"a huge branch":               finished(200, "BRANCH", strings.Repeat("é", m)),
		"a huge author":               finished(200, "AUTHOR", strings.Repeat("<!channel>", m/10)),
		"a huge slug":                 finished(400, `"slug":"PIPELINE"`, `"slug":"`+strings.Repeat("x", m)+`"`),
		"a huge event":                finished(400, `"event":"build.finished"`, `"event":"build.`+strings.Repeat("x", m)+`"`),
		"a key twice":                 finished(200, `"pad"`, `"state":"passed","state":"failed","pad"`),
		"a number beyond 2^53":        finished(200, `"RAW"`, `9007199254740993,1e999,-0,0.1e-9999,`+strings.Repeat("9", 10_000)),
		"a build number beyond 2^53":  finished(200, `"number":1`, `"number":9007199254740993`),
		"a build number beyond 2^63":  finished(400, `"number":1`, `"number":9223372036854775808`),
		"a build number with a point": finished(400, `"number":1`, `"number":1.0`),
		"no number JSON knows":        finished(400, `"number":1`, `"number":NaN`),
		"a time of the year 99999":    finished(200, `"finished_at":"`, `"created_at":"99999-01-01T00:00:00Z","finished_at":"`),
		"a time of the year 0":        finished(200, `"finished_at":"`, `"created_at":"0000-01-01T00:00:00Z","finished_at":"`),
		"an exit status beyond all":   finished(200, `"pad"`, `"jobs":[{"id":"j","name":"x","exit_status":1e400,"state":"failed"}],"pad"`),
		"ten thousand jobs":           finished(200, `"pad"`, `"jobs":[`+strings.Join(jobs, ",")+`],"pad"`),
		"itself as its trigger":       finished(200, `"pad"`, `"triggered_from":{"build_id":"PIPELINE-1"},"pad"`),
		"a job that retries itself":   finished(200, `"pad"`, `"jobs":[{"id":"j","name":"x","state":"failed","retried_in_job_id":"j"}],"pad"`),
	}
}

// Each odd delivery is recorded or refused by itself, and harms nobody: not
// those that share a commit with it, not their builds, not the API.
func TestOddDeliveriesHarmNobody(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		world := traffic.New(rand.New(rand.NewSource(1)).Intn, traffic.Options{Builds: 15, Triggers: true})

		var posting sync.WaitGroup
		var paths []string
		recorded := len(world.Deliveries)
		i := 0
		for name, o := range oddities() {
			pipeline := fmt.Sprint("odd", i)
			i++
			o.Body = []byte(strings.ReplaceAll(string(o.Body), "PIPELINE", pipeline))
			if o.status == http.StatusOK {
				number := "1"
				if name == "a build number beyond 2^53" {
					number = "9007199254740993"
				}
				paths = append(paths, "/api/builds/acme/"+pipeline+"/"+number)
				recorded++
			}
			posting.Go(func() {
				got := r.insist(o.Delivery) // all of them at once may be too much for 4 seconds
				if got.status != o.status {
					t.Errorf("%s is answered %d, want %d: %s", name, got.status, o.status, got.body)
				} else if o.status != http.StatusOK {
					isProblem(t, got, o.status)
				}
			})
		}
		poster := traffic.Poster{Target: func() string { return r.url }, Workers: 32}
		if err := poster.Post(t.Context(), world.Deliveries); err != nil {
			t.Error(err)
		}
		posting.Wait()
		r.settle()

		if err := world.CheckBuilds(t.Context(), r.url); err != nil {
			t.Errorf("normal builds: %v", err)
		}
		for _, path := range paths {
			var b struct {
				ID     string
				Number int64
				Steps  []json.RawMessage
			}
			if r.read(path, &b); b.ID == "" {
				t.Errorf("%s has no build", path)
			}
			var events []envelope
			if r.read(path+"/events", &events); len(delivered(events)) != 1 {
				t.Errorf("%s has %d events", path, len(events))
			}
		}
		if n, err := r.server.db.CountSetAside(t.Context()); n != 0 || err != nil {
			t.Errorf("%d events are set aside, %v", n, err)
		}
		// Whole pages hold all of it, large as it is.
		var builds, events int
		for cursor := ""; ; {
			var p page
			r.read("/api/builds?limit=7&cursor="+cursor, &p)
			builds += len(p.Builds)
			if p.NextCursor == nil {
				break
			}
			cursor = *p.NextCursor
		}
		if want := len(paths) + len(world.Builds); builds != want {
			t.Errorf("%d builds are listed, want %d", builds, want)
		}
		for after, last := int64(0), false; !last; {
			var some []envelope
			r.read(fmt.Sprintf("/api/events?limit=100&after=%d", after), &some)
			events += len(delivered(some))
			if last = len(some) < 100; !last {
				after = some[len(some)-1].Position
			}
		}
		if distinct := distinctBodies(world.Deliveries) - len(world.Deliveries) + recorded; events != distinct {
			t.Errorf("%d events are in the stream, want %d", events, distinct)
		}
		r.client.CloseIdleConnections()
	})
}

func distinctBodies(deliveries []traffic.Delivery) int {
	seen := make(map[string]bool)
	for _, d := range deliveries {
		seen[string(d.Body)] = true
	}
	return len(seen)
}

// Many jobs that finish one by one make one build.
func TestBuildOfManyJobs(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	const jobs = 1000
	b := tell("web", 1)
	var deliveries []traffic.Delivery
	for i := range jobs {
		deliveries = append(deliveries, b.job(fmt.Sprint("job", i), "passed"))
	}
	r.recordAll(deliveries)
	r.record(b.finished("passed", 1))
	r.settle()
	var got struct {
		Steps   []json.RawMessage
		LastSeq int64 `json:"last_seq"`
		State   string
	}
	r.read("/api/builds/acme/web/1", &got)
	if len(got.Steps) != jobs || got.LastSeq <= 2*jobs || got.State != "passed" {
		t.Errorf("%d steps, last seq %d, state %s; want %d, above %d, passed", len(got.Steps), got.LastSeq, got.State, jobs, 2*jobs)
	}
}
