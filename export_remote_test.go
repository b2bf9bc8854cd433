package buildtracker

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// exportOptions ask for what was recorded from one time on and before another.
func exportOptions(s stores, to, out string, since, until time.Time) ExportOptions {
	return ExportOptions{
		Export: &config.Export{
			To: to, Out: out, Since: since, Until: until,
			AskedSince: since.Format(time.RFC3339Nano), AskedUntil: until.Format(time.RFC3339Nano),
		},
		Config:   &config.Config{DataDir: s.dir, DatabaseURL: config.Secret(s.database)},
		Server:   &config.Client{},
		Progress: func(int64, int64) {},
	}
}

// times returns when each event was recorded.
func (r *rig) times() []time.Time {
	r.t.Helper()
	var out []time.Time
	err := r.db.Each(r.t.Context(), db.ReadQuery{Limit: 10_000}, func(e *stream.Event) error {
		out = append(out, e.Time)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// rowFiles are the files of an export but the one that says how far it is.
func rowFiles(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := contents(t, folder)
	delete(files, ledgerName)
	return files
}

func TestExportThroughAServerIsThatOfItsStore(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	r := newRig(t, s)
	x := &exportRig{rig: r}
	x.fill(4, 10)
	x.agentConnects()
	times := r.times()
	r.close()

	ranges := map[string][2]time.Time{
		"all":        {times[0], times[len(times)-1].Add(time.Second)},
		"the middle": {times[len(times)/3], times[2*len(times)/3]},
		"the end":    {times[len(times)-20], times[len(times)-1]},
	}
	stored := make(map[string]map[string]string)
	for name, of := range ranges {
		folder := t.TempDir()
		if _, err := Export(t.Context(), exportOptions(s, config.ExportJSONL, folder, of[0], of[1])); err != nil {
			t.Fatal(err)
		}
		stored[name] = rowFiles(t, folder)
	}
	server := startServer(t, s, func(c *config.Config) { c.APITokens = config.Secrets{"right"}; c.Notices = false })
	for name, of := range ranges {
		folder := t.TempDir()
		o := exportOptions(s, config.ExportJSONL, folder, of[0], of[1])
		o.Server = &config.Client{URL: server.url, Token: "right"}
		if _, err := Export(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		got := rowFiles(t, folder)
		if len(got) < 4 {
			t.Errorf("%s: only the files %v", name, maps.Keys(got))
		}
		if diff := cmp.Diff(stored[name], got); diff != "" {
			t.Errorf("%s (-store +server):\n%.3000s", name, diff)
		}
	}
}

// A deriver that begins anywhere finds how a build stood, as the store does.
func TestAServerTellsTheStatusBeforeAsItsStoreDoes(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	server := startServer(t, s)
	b := tell("web", 1)
	server.record(b.finished("failed", 1))
	server.settle()
	for i := range 3 * statusWindow { // late ones
		server.record(b.job(fmt.Sprint("step", i), "passed"))
	}
	server.settle()
	remote := newRemoteEvents(&config.Client{URL: server.url})
	defer remote.Close()
	events, err := remote.ReadAll(t.Context(), db.ReadQuery{})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for i := range events {
		e := &events[i]
		if e.Type != stream.TypeStatus {
			continue
		}
		if told++; told%20 != 1 && i < len(events)-2 {
			continue
		}
		for _, seq := range []int64{0, e.Seq, e.Seq + 1, 1 << 20} {
			want, err := server.server.db.StatusBefore(t.Context(), e.BuildID, seq)
			if err != nil {
				t.Fatal(err)
			}
			got, err := remote.StatusBefore(t.Context(), e.BuildID, seq)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("before %d (-store +server):\n%s", seq, diff)
			}
		}
	}
	if told < 2 {
		t.Errorf("there are %d status events", told)
	}
}

func TestExportTellsWhatRetentionDropped(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	server := startServer(t, s, func(c *config.Config) { c.Notices = false })
	ended, running := tell("web", 1), tell("web", 2)
	server.record(ended.finished("passed", 1), running.event("build.running", nil))
	server.settle()
	head, err := server.server.db.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the cursor to be past our events", func() (bool, error) {
		c, err := server.server.db.Cursor(t.Context(), trackerCursor)
		return c.Position == head, err
	})
	if _, err := server.server.db.Retain(t.Context(), db.RetainQuery{
		Now: time.Now().AddDate(0, 0, 10), Events: time.Hour, Builds: 1000 * 24 * time.Hour, Deliveries: 1000 * 24 * time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	server.record(running.job("lint", "passed"))
	server.settle()
	since := time.Now().Add(-time.Hour)
	export := func() map[string]string {
		o := exportOptions(s, config.ExportCSV, t.TempDir(), since, since.Add(2*time.Hour))
		o.Server.URL = server.url
		done, err := Export(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if done.Dropped != head || len(done.Tables) == 0 {
			t.Errorf("dropped up to %d, rows %v; want %d, and rows", done.Dropped, done.Tables, head)
		}
		return rowFiles(t, o.Export.Out)
	}
	through := export()
	server.stop()
	if diff := cmp.Diff(export(), through); diff != "" {
		t.Errorf("(-store +server):\n%s", diff)
	}
}

func TestAServerThatCannotAnswerNowIsAskedAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	answers := []func(w http.ResponseWriter){
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		func(w http.ResponseWriter) {
			fmt.Fprint(w, `[{"id":"00000000-0000-0000-0000-000000000001","position":1,"data":{}},`)
		},
		func(w http.ResponseWriter) {
			fmt.Fprint(w, `[{"id":"00000000-0000-0000-0000-000000000001","position":1,"type":"ping","data":{}}]`)
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answers[asked.Add(1)-1](w)
	}))
	defer server.Close()
	remote := newRemoteEvents(&config.Client{URL: server.URL})
	remote.retry = time.Millisecond
	defer remote.Close()
	events, err := remote.ReadAll(t.Context(), db.ReadQuery{})
	if err != nil || len(events) != 1 || asked.Load() != 3 {
		t.Errorf("%d events after %d requests: %v", len(events), asked.Load(), err)
	}
}

func TestWhatIsNoServerIsTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status       int
		answer, want string
	}{
		"a page":         {http.StatusOK, "<html>", "--url says where a build-tracker is"},
		"something else": {http.StatusOK, `{"id":1}`, "--url says where a build-tracker is"},
		"no such path":   {http.StatusNotFound, "", "--url says where a build-tracker is"},
		"no access":      {http.StatusUnauthorized, `{"detail":"No."}`, "refuses: No. (--token names one of its BUILDTRACKER_API_TOKENS)"},
		"never ends":     {http.StatusOK, `[{"data":"` + strings.Repeat("x", 2*maxRemoteEvent) + `"}]`, "answers something else than events"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.answer)
			}))
			defer server.Close()
			remote := newRemoteEvents(&config.Client{URL: server.URL, Token: "hush"})
			remote.retry = time.Millisecond
			defer remote.Close()
			_, err := remote.ReadAll(t.Context(), db.ReadQuery{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestTheRangeIsWhatWasRecordedInIt(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := newExportRig(t, s)
		r.fill(5, 3)
		events, err := r.db.ReadAll(t.Context(), db.ReadQuery{Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		last := events[len(events)-1]
		for i := 0; i < len(events); i += 5 {
			for j := i; j < len(events); j += 9 {
				since, until := events[i].Time, events[j].Time
				got, err := findRange(t.Context(), r.db, since, until)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					in := e.Position > got.After && e.Position <= got.Last
					if want := !e.Time.Before(since) && e.Time.Before(until); in != want {
						t.Fatalf("event %d of %s is in the range %+v: %v, want %v", e.Position, e.Time, got, in, want)
					}
				}
			}
		}
		for name, tc := range map[string]struct {
			since time.Time
			want  exportRange
		}{
			"all of it":       {time.Time{}, exportRange{0, last.Position}},
			"nothing so late": {last.Time.Add(time.Hour), exportRange{last.Position, last.Position}},
		} {
			got, err := findRange(t.Context(), r.db, tc.since, time.Time{})
			if err != nil || got != tc.want {
				t.Errorf("%s: %+v, %v; want %+v", name, got, err, tc.want)
			}
		}
	})
}

func TestAFolderHoldsOneExport(t *testing.T) {
	t.Parallel()
	s := embeddedStores(t)
	r := newRig(t, s)
	(&exportRig{rig: r}).fill(6, 3)
	r.close()
	folder := filepath.Join(t.TempDir(), "made", "here")
	since := time.Now().Add(-time.Hour)
	o := exportOptions(s, config.ExportJSONL, folder, since, since.Add(2*time.Hour))
	o.Progress = func(int64, int64) {
		_, err := Export(t.Context(), exportOptions(s, config.ExportJSONL, folder, since, since.Add(2*time.Hour)))
		if err == nil || !strings.Contains(err.Error(), "another export writes to") {
			t.Errorf("a second export at the same time: %v", err)
		}
	}
	done, err := Export(t.Context(), o)
	if err != nil || done.Already {
		t.Fatalf("%+v, %v", done, err)
	}
	files := contents(t, folder)
	again, err := Export(t.Context(), o)
	if err != nil || !again.Already || cmp.Diff(done.Tables, again.Tables) != "" {
		t.Errorf("a finished export again: %+v, %v; before %+v", again, err, done)
	}
	other := exportOptions(s, config.ExportCSV, folder, since, since.Add(2*time.Hour))
	if _, err := Export(t.Context(), other); err == nil || !strings.Contains(err.Error(), "name another folder with --out") {
		t.Errorf("another export into the folder: %v", err)
	}
	o.Export.Out = s.dir
	if _, err := Export(t.Context(), o); err == nil || !strings.Contains(err.Error(), "name an empty folder with --out") {
		t.Errorf("an export into a folder with other files: %v", err)
	}
	if diff := cmp.Diff(files, contents(t, folder)); diff != "" {
		t.Errorf("the finished export changed (-before +after):\n%s", diff)
	}
	var ledger exportLedger
	if err := json.Unmarshal([]byte(files[ledgerName]), &ledger); err != nil || !ledger.finished() || ledger.Parts != 1 {
		t.Errorf("%s says %+v, %v", ledgerName, ledger, err)
	}
}
