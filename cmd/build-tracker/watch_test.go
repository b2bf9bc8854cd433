package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

// teller is a server of events: of one connection after the other it knows what
// to send, and ends it.
type teller struct {
	*httptest.Server
	t     *testing.T
	asked []string // path, query and Last-Event-ID of each request
	sends []string
}

// newTeller starts a server that has this to send.
func newTeller(t *testing.T, sends ...string) *teller {
	s := &teller{t: t, sends: sends}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP sends what is next. Connections come one at a time.
func (s *teller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Accept"); got != "text/event-stream" {
		s.t.Errorf("Accept is %q", got)
	}
	s.asked = append(s.asked, strings.TrimSpace(r.URL.RequestURI()+" "+r.Header.Get("Last-Event-ID")))
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "retry: 1\n\n", s.sends[min(len(s.asked), len(s.sends))-1])
}

// envelopeOf is an event on its way, as it is in the stream.
func envelopeOf(seq int, typ, data string) string {
	return fmt.Sprintf(`{"id":"00000000-0000-0000-0000-%012d","position":%d,"organization":"acme","pipeline":"web","number":42,"seq":%d,"type":%q,"version":1,"time":"2026-03-02T12:00:%02dZ","data":%s}`,
		seq, 100+seq, seq, typ, seq%60, data)
}

// sent is an event as it goes over the line.
func sent(seq int, typ, data string) string {
	return fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", seq, typ, envelopeOf(seq, typ, data))
}

const (
	began  = `{"status":"running","previous":"","build":{"branch":"main","message":"Fix the login\n\nAt last.","state":"running","status":"running","started_at":"2026-03-02T12:00:00Z","steps":[]}}`
	goesOn = `{"status":"running","previous":"running","build":{"branch":"main","state":"failing","status":"running","started_at":"2026-03-02T12:00:00Z","steps":[{"name":"lint","status":"failed","jobs":[{"id":"j1","state":"failed","exit_status":1,"finished_at":"2026-03-02T11:59:12Z"}]}]}}`
	failed = `{"status":"failed","previous":"running","build":{"branch":"main","message":"Fix the login","state":"failed","status":"failed","consecutive_failures":3,"first_failed_number":40,"started_at":"2026-03-02T12:00:00Z","finished_at":"2026-03-02T12:01:00Z","steps":[{"name":"lint","status":"failed","jobs":[{"id":"j1","state":"failed","exit_status":1,"finished_at":"2026-03-02T11:59:12Z"}]}]}}`
)

func ends(status string) string {
	return fmt.Sprintf("event: end\ndata: {\"status\":%q}\n\n", status)
}

// watching runs a watch command and returns its exit code and what it printed.
func watching(ctx context.Context, url string, c watchCommand) (code int, stdout, stderr string) {
	var out, problems strings.Builder
	c.URL = url
	err := c.Run(ctx, terminal{stdout: &out, stderr: &problems})
	code = report(&problems, "watch", err)
	return code, out.String(), strings.ReplaceAll(problems.String(), url, "http://ci")
}

func TestWatchTellsWhatHappens(t *testing.T) {
	t.Parallel()
	s := newTeller(t,
		sent(0, "build.running", `{"event":"build.running"}`)+sent(1, "status", began)+sent(2, "initialize", lintWaits)+sent(3, "start", lintStarts),
		"event: gap\ndata: {\"first\":5}\n\n"+sent(5, "finish", lintFails)+sent(6, "status", goesOn)+sent(7, "start", lintIsTried)+"event: shutdown\ndata: {}\n\n",
		sent(8, "status", failed)+ends("failed"),
	)
	code, stdout, stderr := watching(t.Context(), s.URL, watchCommand{Build: "acme/web/42"})
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if diff := cmp.Diff(`2026-03-02T12:00:01Z acme/web/42 running: main, Fix the login
2026-03-02T12:00:03Z lint started
2026-03-02T12:00:05Z lint failed (exit 1) after 12s
2026-03-02T12:00:07Z lint started again
2026-03-02T12:00:08Z acme/web/42 failed: 3 failures in a row, since 40
`, stdout); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(`build-tracker: watch: lost http://ci: the connection was cut; trying again for up to 180 seconds
build-tracker: watch: the server does not keep older events any more: it goes on with 5
build-tracker: watch: lost http://ci: the server is stopping; trying again for up to 180 seconds
`, stderr); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
	events := "/api/builds/acme/web/42/events"
	if diff := cmp.Diff([]string{events + "?from=0", events + " 3", events + " 7"}, s.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// The last line is how the build ended, also where something came late.
func TestWatchEndsWithTheResult(t *testing.T) {
	t.Parallel()
	s := newTeller(t, sent(0, "status", failed)+sent(1, "finish", lintFails)+ends("failed"))
	_, stdout, _ := watching(t.Context(), s.URL, watchCommand{Build: "acme/web/42"})
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[2], " acme/web/42 failed") {
		t.Errorf("it says\n%s", stdout)
	}
}

func TestWatchPrintsEnvelopesAsTheyCame(t *testing.T) {
	t.Parallel()
	odd := `{"n":12345678901234567890,"s":"\ud800 é","z" : [ ]}`
	s := newTeller(t, sent(3, "build.running", odd)+"id: 4\ndata: {\"seq\":\ndata: 4}\n\n", "event: gap\ndata: {\"first\":6}\n\n"+sent(6, "later", "null")+ends("fixed"))
	code, stdout, _ := watching(t.Context(), s.URL, watchCommand{Build: "acme/web/42", WatchFlags: config.WatchFlags{From: "3", JSON: "true"}})
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	want := envelopeOf(3, "build.running", odd) + "\n" + `{"seq":4}` + "\n" + envelopeOf(6, "later", "null") + "\n"
	if diff := cmp.Diff(want, stdout); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if s.asked[0] != "/api/builds/acme/web/42/events?from=3" {
		t.Errorf("asked for %s", s.asked[0])
	}
}

func TestWatchExitsWithTheResult(t *testing.T) {
	t.Parallel()
	for status, tc := range map[string]struct {
		code int
		says string
	}{
		"passed":   {0, ""},
		"fixed":    {0, ""},
		"failed":   {1, ""},
		"canceled": {2, "build-tracker: watch: acme/web/42 was canceled: it neither passed nor failed\n"},
		"blocked":  {2, "build-tracker: watch: acme/web/42 is blocked: somebody has to unblock it in Buildkite; then watch it again\n"},
		"unknown":  {2, "build-tracker: watch: acme/web/42 ended as \"unknown\": whether it passed, Buildkite knows\n"},
		"":         {2, "build-tracker: watch: acme/web/42 ended as \"unknown\": whether it passed, Buildkite knows\n"},
	} {
		s := newTeller(t, ends(status))
		code, stdout, stderr := watching(t.Context(), s.URL, watchCommand{Build: "acme/web/42"})
		if code != tc.code || stderr != tc.says {
			t.Errorf("%s: exit code %d and %q, want %d and %q", status, code, stderr, tc.code, tc.says)
		}
		if want := "acme/web/42 " + status; !strings.Contains(stdout, want) {
			t.Errorf("%s: printed %q, want %q in it", status, stdout, want)
		}
	}
}

func TestWatchThatCannotBegin(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status     int
		kind, body string
		want       string
	}{
		"not seen":       {404, "", `{"detail":"No such build was seen. Look at /api/builds."}`, "acme/web/42 cannot be watched yet: http://ci refuses with 404: No such build was seen."},
		"no token":       {401, "", `{"detail":"A token is needed."}`, "it needs a token: set BUILDTRACKER_TOKEN"},
		"an array":       {200, "application/json", `[]`, "http://ci answers, but not with a stream of events"},
		"another stream": {200, "text/event-stream", "data: hello\n\n", "http://ci sends other events than a build-tracker does"},
		"hostile":        {410, "", `{"detail":"\u001b[2J\u009b\nbuild-tracker: all is well"}`, "410: �[2J� build-tracker: all is well"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.kind)
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			}))
			defer server.Close()
			code, stdout, stderr := watching(t.Context(), server.URL, watchCommand{Build: "acme/web/42"})
			if code != 2 || stdout != "" || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, printed %q and %q; want 2 and one line with %q", code, stdout, stderr, tc.want)
			}
		})
	}
}

func TestWatchOfAPipelineTellsChanges(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	s := newTeller(t,
		sent(101, "status", began)+sent(102, "status", goesOn)+sent(103, "finish", lintFails)+sent(104, "agent.lost", "{}"),
		sent(105, "status", failed),
		"",
	)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.ServeHTTP(w, r); len(s.asked) == len(s.sends) {
			interrupt() // Ctrl-C
		}
	})
	code, stdout, _ := watching(ctx, s.URL, watchCommand{WatchFlags: config.WatchFlags{Pipeline: "acme/web"}})
	if code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if diff := cmp.Diff(`2026-03-02T12:00:41Z acme/web/42 running: main, Fix the login
2026-03-02T12:00:45Z acme/web/42 failed: main, Fix the login, 3 failures in a row, since 40
`, stdout); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	path := "/api/events?"
	if diff := cmp.Diff([]string{path + "after=latest&pipeline=acme%2Fweb", path + "pipeline=acme%2Fweb 104", path + "pipeline=acme%2Fweb 105"}, s.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestNothingHostileIsPrinted: whatever the texts hold, in every view.
func TestNothingHostileIsPrinted(t *testing.T) {
	t.Parallel()
	const bad = `\u001b[2J\u009b31m\u0007\r\n\u202e\u007f` + "\u009b\u202e"
	replace := strings.NewReplacer("lint", bad+"lint", "main", bad+"main", "Fix", bad+"Fix", `"failed"`, `"failed`+bad+`"`)
	text := replace.Replace(sent(1, "status", began)+sent(2, "start", lintStarts)+sent(3, "finish", lintFails)+sent(4, "status", goesOn)+sent(5, "status", failed)) +
		"event: end\ndata: {\"status\":\"" + bad + "\"}\n\n"
	check := func(view, printed string) {
		t.Helper()
		if !strings.Contains(printed, "main") {
			t.Errorf("%s printed nothing of it: %q", view, printed)
		}
		for _, r := range printed {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s printed %U in %q", view, r, printed)
			}
		}
	}
	code, stdout, stderr := watching(t.Context(), newTeller(t, text).URL, watchCommand{Build: "acme/web/42"})
	check("the lines of a build", stdout+stderr)
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}

	for _, view := range []string{"screen", "pipeline", "json"} {
		cfg, err := config.WatchFlags{}.Config("acme/web/42")
		if err != nil {
			t.Fatal(err)
		}
		cfg.URL = newTeller(t, text).URL
		var out, problems strings.Builder
		w := newWatch(cfg, terminal{stdout: &out, stderr: &problems})
		p := &paper{width: 60, height: 20}
		switch view {
		case "screen":
			w.view = &screenView{t: terminal{stderr: &problems}, address: w.address, screen: &screen{out: p, color: true}, size: func() (int, int, error) { return p.width, p.height, nil }}
		case "pipeline":
			w.view = &pipelineView{lineView{terminal{stdout: &out, stderr: &problems}}}
		case "json":
			w.view = &jsonView{t: terminal{stdout: &out, stderr: &problems}, escape: true}
		}
		if _, err := w.run(t.Context()); err != nil {
			t.Error(err)
		}
		check(view, out.String()+problems.String()+strings.Join(p.text(), "\n"))
	}
}

// TestWatchDrawsAsTimeGoes: on a terminal, from the first event to the end.
func TestWatchDrawsAsTimeGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started := strings.ReplaceAll(lintStarts, "2026-03-02T11:59:00Z", time.Now().UTC().Format(time.RFC3339))
		s, _ := from(func(before int, r *http.Request) (*http.Response, error) {
			if before == 0 {
				return streamOf(r, part{time.Second, sent(0, "build.running", `{"build":{"state":"running"}}`) + sent(1, "start", started)}, part{10 * time.Second, ""}), nil
			}
			return streamOf(r, part{20 * time.Second, sent(2, "status", failed) + ends("failed")}), nil
		})
		p := &paper{width: 40, height: 10}
		var stderr strings.Builder
		w := &watch{source: s, address: "acme/web/42", view: &screenView{
			t: terminal{stderr: &stderr}, address: "acme/web/42", screen: &screen{out: p},
			size: func() (int, int, error) { return p.width, p.height, nil },
		}}
		ended := make(chan error)
		go func() {
			status, err := w.run(t.Context())
			if status != "failed" {
				t.Errorf("status %q", status)
			}
			ended <- err
		}()
		for at, want := range []struct {
			after time.Duration
			shows []string
		}{
			{500 * time.Millisecond, nil},
			{time.Second, []string{"acme/web/42  running", "", "lint  running       1s"}},
			{8 * time.Second, []string{"acme/web/42  running", "", "lint  running       9s"}},
			{10 * time.Second, []string{"acme/web/42  running", "", "lint  running      19s"}},
		} {
			time.Sleep(want.after)
			synctest.Wait()
			if diff := cmp.Diff(want.shows, p.text()); diff != "" {
				t.Errorf("look %d (-want +shown):\n%s", at, diff)
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []string{"acme/web/42  failed  1m00s  main", "Fix the login", "3 failures in a row, since 40", "", "lint  failed"}
		if got := p.text(); len(got) != len(want) || got[0] != want[0] || !strings.HasPrefix(got[4], "lint  failed") || p.column != 0 || p.row != 5 {
			t.Errorf("it ends with %q, the cursor at %d, %d", got, p.row, p.column)
		}
		if n := strings.Count(stderr.String(), "\n"); n != 1 {
			t.Errorf("it told %q, want one line", stderr.String())
		}
	})
}
