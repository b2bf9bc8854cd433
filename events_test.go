package buildtracker

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/testenv/traffic"
)

func TestEventsAreReadInParts(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		for i := range 6 {
			for _, pipeline := range []string{"web", "api"} {
				r.record(tell(pipeline, 1).job(fmt.Sprint("job", i), "passed"))
			}
		}
		r.record(traffic.Delivery{Event: "agent.lost", Body: []byte(`{"event":"agent.lost","agent":{"id":"a1"}}`)})
		r.settle()
		all := r.events("/api/events?limit=10000")
		if n := len(delivered(all)); n != 13 {
			t.Fatalf("%d events were delivered, want 13", n)
		}
		for i, e := range all {
			if i > 0 && (e.Position <= all[i-1].Position || e.Time.Before(all[i-1].Time)) {
				t.Errorf("event %d is not behind the one before", i)
			}
			if e.Version != 1 || time.Since(e.Time) > time.Minute || time.Since(e.Time) < 0 {
				t.Errorf("event %d has version %d, time %v", i, e.Version, e.Time)
			}
		}
		positions := func(events []envelope) (got []int64) {
			for _, e := range events {
				got = append(got, e.Position)
			}
			return got
		}
		var web, jobs []envelope
		for _, e := range all {
			if e.Pipeline != nil && *e.Pipeline == "web" {
				web = append(web, e)
			}
			if e.Type == "job.finished" || e.Type == "agent.lost" {
				jobs = append(jobs, e)
			}
		}
		at := func(i int) int64 { return all[i].Position }
		last := len(all) - 1
		for path, want := range map[string][]envelope{
			"/api/events?limit=1":                                                          all[:1],
			fmt.Sprintf("/api/events?after=%d&limit=2", at(4)):                             all[5:7],
			fmt.Sprintf("/api/events?after=%d", at(last)):                                  nil,
			fmt.Sprintf("/api/events?after=%d", at(last)+1000):                             nil,
			"/api/events?after=latest":                                                     nil,
			"/api/events?pipeline=acme/web":                                                web,
			"/api/events?pipeline=acme%2Fweb":                                              web,
			"/api/events?pipeline=acme/none":                                               nil,
			"/api/events?type=job.finished,agent.lost":                                     jobs,
			"/api/events?type=job.finished&type=agent.lost&type=x":                         jobs,
			fmt.Sprintf("/api/events?pipeline=acme/web&after=%d&limit=2", web[3].Position): web[4:6],
			"/api/builds/acme/web/1/events":                                                web,
			"/api/builds/acme/web/1/events?from=0":                                         web,
			"/api/builds/acme/web/1/events?from=4":                                         web[4:],
			fmt.Sprintf("/api/builds/acme/web/1/events?from=%d", len(web)):                 nil,
		} {
			if diff := cmp.Diff(positions(want), positions(r.events(path))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
		if got := r.get(fmt.Sprintf("/api/builds/acme/web/1/events?from=%d", len(web))).body; strings.TrimSpace(got) != "[]" {
			t.Errorf("no events are %q", got)
		}
	})
}

func TestEventsAreAHundredUnlessTold(t *testing.T) {
	t.Parallel()
	r := startServer(t, embeddedStores(t))
	var deliveries []traffic.Delivery
	for i := range 120 {
		deliveries = append(deliveries, tell("web", 1).job(fmt.Sprint("job", i), "passed"))
	}
	r.recordAll(deliveries)
	r.settle()
	for query, want := range map[string]int{"": 100, "?limit=110": 110} {
		var events []envelope
		r.read("/api/events"+query, &events)
		if len(events) != want {
			t.Errorf("%q answers %d events, want %d", query, len(events), want)
		}
	}
	var events []envelope
	r.read("/api/builds/acme/web/1/events", &events)
	if got := len(delivered(events)); got != 120 || len(events) <= 120 {
		t.Errorf("the build has %d events, %d of them delivered; want all 120 and ours", len(events), got)
	}
	for _, limit := range []string{"10000", "99999"} {
		var same []envelope
		if r.read("/api/events?limit="+limit, &same); len(same) != len(events) {
			t.Errorf("?limit=%s answers %d events, want all %d", limit, len(same), len(events))
		}
	}
}

// The payload comes out as it went in, but for white space and secrets.
func TestEventKeepsItsPayload(t *testing.T) {
	t.Parallel()
	eachStores(t, func(t *testing.T, s stores) {
		r := startServer(t, s)
		const payload = `{"event":"build.running","future":{"field":[1,{"x":null}],"é":"\u00e9"},` +
			`"build":{"id":"b1","number":9007199254740993,"message":"\ud800 \u0000 \udc00\ud83d\ude00 <&>","big":123456789012345678901234567890,` +
			`"small":1.10e-400,"minus":-0,"dup":1,"dup":2,"path":"a\/b"},"pipeline":{"slug":"web","name":"\ud83d"},"organization":{"slug":"acme"}}`
		r.record(traffic.Delivery{Event: "build.running", Body: []byte(payload)})
		r.settle()
		for _, path := range []string{"/api/events", "/api/builds/acme/web/9007199254740993/events"} {
			body := r.get(path).body
			var events []json.RawMessage
			if err := json.Unmarshal([]byte(body), &events); err != nil || len(events) == 0 {
				t.Fatalf("%s: %v: %s", path, err, body)
			}
			want := []string{"id", "position", "organization", "pipeline", "number", "seq", "type", "version", "time", "data"}
			if diff := cmp.Diff(want, keys(t, events[0])); diff != "" {
				t.Errorf("%s: the envelope's fields (-want +got):\n%s", path, diff)
			}
			var e envelope
			if err := json.Unmarshal(events[0], &e); err != nil {
				t.Fatal(err)
			}
			if string(e.Data) != payload {
				t.Errorf("%s: the payload is\n%s\nwant\n%s", path, e.Data, payload)
			}
			if *e.Number != 9007199254740993 || *e.Seq != 0 || e.Organization != "acme" || e.Type != "build.running" {
				t.Errorf("%s: the envelope is %.300s", path, events[0])
			}
			stamp := regexp.MustCompile(`"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"`)
			if !stamp.Match(events[0]) {
				t.Errorf("%s: the time is not RFC 3339 in UTC: %.300s", path, events[0])
			}
		}
		var b struct{ Message string }
		r.read("/api/builds/acme/web/9007199254740993", &b)
		if want := "\uFFFD \uFFFD \uFFFD😀 <&>"; b.Message != want {
			t.Errorf("the message is %q, want %q", b.Message, want)
		}
	})
}
