package analytics_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/stream"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stored are the status events of builds, by seq.
type stored map[string][]stream.Event

var errStore = errors.New("the store is away")

func (s stored) StatusBefore(_ context.Context, buildID string, seq int64) (e stream.Event, err error) {
	if s == nil {
		return e, errStore
	}
	for _, x := range s[buildID] {
		if x.Seq < seq {
			e = x
		}
	}
	return e, nil
}

func at(minute int) *time.Time {
	t := time.Date(2026, 2, 3, 4, minute, 0, 500_000_000, time.UTC)
	return &t
}

func ofBuild(seq int64, typ string, data any) stream.Event {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return stream.Event{
		ID: stream.ID{byte(seq), 1}, Position: 100 + seq, Organization: "acme", BuildID: "b1", Pipeline: "web", Number: 7, Seq: seq,
		Type: typ, Version: 1, Time: *at(int(seq)), Data: text,
	}
}

// snapshots are a build that runs, fails, goes on and is fixed.
func snapshots() []stream.Event {
	two, zero, streak := 2, 0, int64(6)
	job := func(id, state string, exit *int, minute int, details build.JobDetails) build.JobView {
		j := build.JobView{ID: id, State: state, ExitStatus: exit, WebURL: "https://buildkite.com/acme/web/builds/7#" + id, JobDetails: &details}
		if minute > 0 {
			j.FinishedAt = at(minute)
		}
		return j
	}
	lint := build.StepView{Name: "lint", Status: build.Passed, Jobs: []build.JobView{
		job("l1", "passed", &zero, 3, build.JobDetails{CreatedAt: at(1), StartedAt: at(2)}),
	}}
	first := job("t1", "failed", &two, 5, build.JobDetails{CreatedAt: at(1), RunnableAt: at(2), StartedAt: at(4), Queue: "large"})
	again := job("t2", "running", nil, 0, build.JobDetails{CreatedAt: at(5), StartedAt: at(6), RetryOf: "t1"})
	done := job("t2", "passed", &zero, 8, build.JobDetails{CreatedAt: at(5), StartedAt: at(6), RetryOf: "t1"})
	test := func(status build.Status, jobs ...build.JobView) build.StepView {
		return build.StepView{Name: "test", Key: "test", Status: status, Jobs: jobs}
	}
	view := func(status build.Status, state string, finished *time.Time, steps ...build.StepView) build.View {
		v := build.View{
			ID: "b1", Organization: "acme", Pipeline: "web", Number: 7, WebURL: "https://buildkite.com/acme/web/builds/7", Branch: "main",
			Commit: "abc", Message: "Ünïcode \"and\" more", Author: build.AuthorView{Name: "Kim", Email: "kim@example.com"},
			State: state, Status: status, CreatedAt: at(0), StartedAt: at(2), FinishedAt: finished, LastSeq: 9, Steps: steps,
		}
		if status == build.Failed {
			v.ConsecutiveFailures, v.FirstFailedNumber, v.LastPassedNumber = 2, &streak, nil
		}
		return v
	}
	status := func(seq int64, previous build.Status, v build.View) stream.Event {
		return ofBuild(seq, stream.TypeStatus, map[string]any{"status": v.Status, "previous": previous, "build": v})
	}
	return []stream.Event{
		status(2, "", view(build.Running, "running", nil)),
		status(4, build.Running, view(build.Running, "failing", nil, lint)),
		status(6, build.Running, view(build.Failed, "failed", at(6), lint, test(build.Failed, first), build.StepView{Name: "deploy", Status: build.Failed})),
		status(8, build.Failed, view(build.Running, "running", nil, lint, test(build.Failed, first, again))),
		status(9, build.Running, view(build.Fixed, "passed", at(9), lint, test(build.Fixed, first, done))),
		status(10, build.Fixed, view(build.Fixed, "passed", at(9), lint, test(build.Fixed, first, done))), // a streak changed
	}
}

func history() []stream.Event {
	agent := stream.Event{
		ID: stream.ID{200}, Position: 200, Organization: "acme", Type: "agent.connected", Version: 1, Time: *at(20),
		Data: []byte(`{"event":"agent.connected","agent":{"id":"a1","name":"linux-1","hostname":"ip-10","version":"3.70.0","ip_address":"10.0.0.1",` +
			`"user_agent":"buildkite-agent/3.70.0","meta_data":["queue=large","os=linux","queue=gpu",7]}}`),
	}
	bare := agent
	bare.ID, bare.Position, bare.Type, bare.Data = stream.ID{201}, 201, "agent.lost", []byte(`{"event":"agent.lost","agent":{"id":"a1","meta_data":null}}`)
	damaged := ofBuild(12, stream.TypeStatus, nil)
	damaged.Data = nil
	events := []stream.Event{
		ofBuild(0, "build.scheduled", map[string]any{"event": "build.scheduled", "build": map[string]any{"id": "b1", "branch": "main"}}),
		ofBuild(1, stream.TypeStart, map[string]any{"job": map[string]any{"id": "l1"}}),
	}
	events = append(events, snapshots()...)
	return append(events,
		ofBuild(11, stream.TypeNotice, map[string]any{"kind": "failed", "action": "sent", "channel": "C1", "ts": "17.1"}),
		damaged,
		ofBuild(13, stream.TypeNotice, []string{"of another form"}),
		ofBuild(14, stream.TypeStatus, map[string]any{"status": "passed"}),
		agent, bare,
	)
}

func rows(t *testing.T, d *analytics.Deriver, events []stream.Event) []analytics.Row {
	t.Helper()
	var out []analytics.Row
	for i := range events {
		var err error
		if out, err = d.Append(t.Context(), out, &events[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func lines(rows []analytics.Row) string {
	var b bytes.Buffer
	for _, r := range rows {
		fmt.Fprintf(&b, "%s %s\n", r.Table.Name, r.AppendJSON(nil))
	}
	return b.String()
}

func TestRowsThatFollowFromEvents(t *testing.T) {
	t.Parallel()
	const golden = "testdata/rows.golden"
	got := lines(rows(t, analytics.NewDeriver(stored{}), history()))
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// What a Deriver remembers changes nothing: one that begins anywhere derives the
// same rows.
func TestRowsDoNotDependOnWhereADeriverBegins(t *testing.T) {
	t.Parallel()
	events := history()
	store := stored{"b1": snapshots()}
	whole := lines(rows(t, analytics.NewDeriver(stored{}), events))
	for i := range events {
		split := lines(rows(t, analytics.NewDeriver(store), events[:i])) + lines(rows(t, analytics.NewDeriver(store), events[i:]))
		if diff := cmp.Diff(whole, split); diff != "" {
			t.Errorf("begun at %d (-whole +split):\n%s", i, diff)
		}
	}
}

func TestDeriverTellsThatTheStoreIsAway(t *testing.T) {
	t.Parallel()
	events := snapshots()
	if _, err := analytics.NewDeriver(stored(nil)).Append(t.Context(), nil, &events[2]); !errors.Is(err, errStore) {
		t.Errorf("error %v, want the store's", err)
	}
}

// Every row has a value of the right kind for each column, and says as JSON what
// its columns are called.
func TestRowsFitTheirTables(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range append(rows(t, analytics.NewDeriver(stored{}), history()), rows(t, analytics.NewDeriver(stored{}), history())[0].Rejected("why")) {
		seen[r.Table.Name] = true
		if len(r.Values) != len(r.Table.Columns) {
			t.Fatalf("a row of %s has %d values for %d columns", r.Table.Name, len(r.Values), len(r.Table.Columns))
		}
		for i, c := range r.Table.Columns {
			fits(t, r.Table.Name, c, r.Values[i])
		}
		var object map[string]any
		if err := json.Unmarshal(r.AppendJSON(nil), &object); err != nil || len(object) != len(r.Table.Columns) {
			t.Errorf("a row of %s as JSON has %d members: %v", r.Table.Name, len(object), err)
		}
	}
	for _, table := range analytics.Tables() {
		if !seen[table.Name] {
			t.Errorf("no row of %s was looked at", table.Name)
		}
	}
}

func fits(t *testing.T, table string, c analytics.Column, value any) {
	t.Helper()
	want := map[analytics.Kind]any{
		analytics.String: "", analytics.Integer: int64(0), analytics.Float: 0.0, analytics.Bool: false,
		analytics.Time: time.Time{}, analytics.Strings: []string{}, analytics.Record: []any{},
	}[c.Kind]
	if value == nil {
		if c.Required {
			t.Errorf("%s.%s is required and nil", table, c.Name)
		}
		return
	}
	if b, ok := value.([]byte); ok {
		value = string(b)
	}
	if fmt.Sprintf("%T", value) != fmt.Sprintf("%T", want) {
		t.Errorf("%s.%s is a %T, want a %T", table, c.Name, value, want)
	}
	if c.Kind == analytics.Record {
		for i, nested := range c.Columns {
			fits(t, table+"."+c.Name, nested, value.([]any)[i])
		}
	}
}

// What BigQuery takes: cloud.google.com/bigquery/docs/schemas
func TestTablesAreWhatBigQueryTakes(t *testing.T) {
	t.Parallel()
	for _, table := range analytics.Tables() {
		names := make(map[string]bool)
		for _, c := range table.Columns {
			if names[c.Name] || c.Name == "" || len(c.Description) > 1024 || !strings.HasSuffix(c.Description, ".") {
				t.Errorf("%s.%s comes twice, or its description is no sentence: %q", table.Name, c.Name, c.Description)
			}
			names[c.Name] = true
		}
		for _, name := range append(append(analytics.Clustering(), analytics.PartitionColumn), table.Key...) {
			if !names[name] {
				t.Errorf("%s has no column %s", table.Name, name)
			}
		}
	}
}

func TestALongRowIsCutWhereItIsRejected(t *testing.T) {
	t.Parallel()
	e := ofBuild(0, "build.running", strings.Repeat("ü", 1_000_000))
	row := rows(t, analytics.NewDeriver(stored{}), []stream.Event{e})[0].Rejected(strings.Repeat("ä", 100_000))
	for i, c := range row.Table.Columns {
		if s, ok := row.Values[i].(string); ok && (len(s) > 1_000_000 || strings.ToValidUTF8(s, "") != s) {
			t.Errorf("%s has %d bytes, or half a character", c.Name, len(s))
		}
	}
}
