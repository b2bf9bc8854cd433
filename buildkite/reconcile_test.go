package buildkite_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/buildkite"
)

// listed is a build as the REST API shows it.
const listed = ` {"id":"b-1", "number":42,"state":"failed","blocked":false,"branch":"main","env":{"SECRET":"hush"},
 "message":"a \u0000 \ud800 <b>","finished_at":"2026-01-05T10:09:00.5Z","future":{"n":123456789012345678901234567890},
 "web_url":"https://buildkite.com/acme/web/builds/42",
 "jobs":[
  {"id":"j-2","type":"script","name":"test","state":"passed","exit_status":0,"finished_at":"2026-01-05T10:08:00Z","retry_source":{"job_id":"j-1"}},
  {"id":"j-1","type":"script","name":"test","state":"failed","exit_status":1,"finished_at":"2026-01-05T10:05:00Z","retried_in_job_id":"j-2","new":[1]},
  {"id":"w-1","type":"waiter","state":"finished","finished_at":"2026-01-05T10:06:00Z"},
  {"type":"no id"}
 ],
 "pipeline":{"slug":"web","running_builds_count":3,"provider":{"id":"github","webhook_url":"https://webhook.buildkite.com/deliver/hush"}}} `

func TestShownBuildBecomesWhatWebhooksWouldHaveTold(t *testing.T) {
	t.Parallel()
	shown, err := buildkite.ReadShown("acme", []byte(listed))
	if err != nil {
		t.Fatal(err)
	}
	missing := build.MissingIn(nil, &shown.Facts)
	deliveries, err := shown.Deliveries(missing, buildkite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	b := build.New("b-1", "acme", "web", 42)
	for _, d := range deliveries {
		got = append(got, d.Event+" "+d.JobID)
		if d.Organization != "acme" || d.Pipeline != "web" || d.Number != 42 || d.BuildID != "b-1" {
			t.Errorf("%s is about %+v", d.Event, d)
		}
		text := string(d.Data)
		var payload struct {
			Source string
			Build  map[string]json.RawMessage
		}
		if err := json.Unmarshal(d.Data, &payload); err != nil {
			t.Fatal(err)
		}
		if payload.Source != buildkite.SourceReconcile || payload.Build["jobs"] != nil || payload.Build["pipeline"] != nil {
			t.Errorf("%s is %s", d.Event, text)
		}
		for _, kept := range []string{`"future":{"n":123456789012345678901234567890}`, `a \u0000 \ud800 <b>`} {
			if !strings.Contains(text, kept) {
				t.Errorf("%s has no %s: %s", d.Event, kept, text)
			}
		}
		if strings.Contains(text, "hush") {
			t.Errorf("%s tells a secret: %s", d.Event, text)
		}
		facts, err := buildkite.Facts(d.Data)
		if err != nil {
			t.Fatal(err)
		}
		b.Apply(&facts)
	}
	if diff := cmp.Diff([]string{"job.finished j-1", "job.finished j-2", "build.finished "}, got); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	if !build.MissingIn(b, &shown.Facts).None() || b.Status() != build.Failed || b.Steps()[0].Status != build.Fixed {
		t.Errorf("the build is %s with steps %+v", b.Status(), b.Steps())
	}

	again, err := shown.Deliveries(missing, buildkite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range again {
		if again[i].Key != deliveries[i].Key {
			t.Errorf("%s has another key the second time", again[i].Event)
		}
	}
}

func TestWhatIsNoBuildIsAnError(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{``, `[]`, `{`, `{}`, `{"id":"b-1","number":1}`, `{"id":"b-1","number":0,"pipeline":{"slug":"web"}}`} {
		if shown, err := buildkite.ReadShown("acme", []byte(raw)); err == nil {
			t.Errorf("%s is read as %+v", raw, shown.Facts)
		}
	}
}

func TestDeliveryTellsWhenItsSubjectFinished(t *testing.T) {
	t.Parallel()
	const build, pipeline = `"build":{"id":"b","number":1,"finished_at":"2026-01-05T10:09:00.5Z"}`, `"pipeline":{"slug":"web"},"organization":{"slug":"acme"}`
	for body, want := range map[string]time.Time{
		`{"event":"build.finished",` + build + `,` + pipeline + `}`:                                                     time.Date(2026, 1, 5, 10, 9, 0, 5e8, time.UTC),
		`{"event":"job.finished","job":{"id":"j","finished_at":"2026-01-05T10:05:00Z"},` + build + `,` + pipeline + `}`: time.Date(2026, 1, 5, 10, 5, 0, 0, time.UTC),
		`{"event":"job.finished","job":{"id":"j"},` + build + `,` + pipeline + `}`:                                      {},
		`{"event":"build.running",` + build + `,` + pipeline + `}`:                                                      {},
	} {
		d, err := buildkite.Parse([]byte(body), buildkite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.FinishedAt(); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}
