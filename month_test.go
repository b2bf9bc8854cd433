package buildtracker

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/config"
	"github.com/build-tracker/build-tracker/internal/simulate"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

// After a month of builds, with a day on which everything fails and a line that
// delays, repeats and reorders, every build, streak and message is as it has to
// be.
func TestMonthEndsAsItHasTo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a month takes a minute")
	}
	eachStores(t, func(t *testing.T, s stores) {
		slack := testenv.NewSlack(t, testenv.SlackOptions{Burst: -1})
		r := startServer(t, s, func(c *config.Config) {
			c.SlackToken, c.SlackChannel, c.SlackAPIURL = config.Secret(slack.Token()), "builds", slack.URL()
			c.NoticeMaxAge = 1 << 62
		})
		builds := 1000
		if s.database == "" {
			builds = 250 // the race detector makes SQLite ten times slower
		}
		month, err := simulate.New(simulate.Options{
			Seed: 7, Builds: builds, Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Days: 30,
			Late: 0.02, Duplicates: 0.02, Reorder: 0.05,
		})
		if err != nil {
			t.Fatal(err)
		}
		r.play(month)
		r.settle()
		truth := month.Truth()
		checkMonth(t, truth, r.allBuilds())
		checkSaid(t, truth, slack.Messages())
	})
}

// play posts what is delivered in a simulation, many deliveries at a time, those
// of one build in their order.
func (r *running) play(month *simulate.Simulation) {
	r.t.Helper()
	lanes := make([]chan simulate.Delivery, 64)
	var posting sync.WaitGroup
	for i := range lanes {
		lanes[i] = make(chan simulate.Delivery, 64)
		posting.Go(func() {
			defer func() { // a lane that failed blocks nobody
				for range lanes[i] {
				}
			}()
			for d := range lanes[i] {
				await(r.t, "a delivery to be taken", func() (bool, error) { return r.takes(d) })
			}
		})
	}
	for d := range month.Deliveries() {
		lane := fnv.New32a()
		lane.Write([]byte(d.Build))
		lanes[lane.Sum32()%uint32(len(lanes))] <- d
	}
	for _, lane := range lanes {
		close(lane)
	}
	posting.Wait()
}

// takes says whether the server took a delivery. On a machine that is loaded a
// connection may be closed, or the answer be to come again.
func (r *running) takes(d simulate.Delivery) (bool, error) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+"/buildkite", bytes.NewReader(d.Body))
	if err != nil {
		return false, err
	}
	req.Header.Set("X-Buildkite-Event", d.Event)
	res, err := r.client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
		r.t.Errorf("%s is answered %d: %s", d.Event, res.StatusCode, body)
		return true, nil
	}
	return res.StatusCode == http.StatusOK, err
}

// allBuilds reads every build there is.
func (r *running) allBuilds() []build.View {
	r.t.Helper()
	var all []build.View
	for cursor := ""; ; {
		var page struct {
			Builds     []build.View
			NextCursor string `json:"next_cursor"`
		}
		r.read("/api/builds?limit=100&cursor="+cursor, &page)
		all = append(all, page.Builds...)
		if cursor = page.NextCursor; cursor == "" {
			return all
		}
	}
}

// checkMonth compares builds with the truth, and their statuses and streaks.
func checkMonth(t *testing.T, truth []simulate.Truth, builds []build.View) {
	t.Helper()
	line := func(organization, pipeline string, number int64, status string, failures int) string {
		return fmt.Sprintf("%s/%s/%d %s, %d in a row", organization, pipeline, number, status, failures)
	}
	var want, got []string
	for _, b := range truth {
		want = append(want, line(b.Organization, b.Pipeline, b.Number, b.Status, b.ConsecutiveFailures))
	}
	for _, b := range builds {
		got = append(got, line(b.Organization, b.Pipeline, b.Number, string(b.Status), b.ConsecutiveFailures))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("builds (-truth +got):\n%s", diff)
	}
}

// checkSaid compares messages with the truth: which builds have one, and its
// header. One that is not the newest of its row keeps the streak it was last
// sent with.
func checkSaid(t *testing.T, truth []simulate.Truth, messages []testenv.SlackMessage) {
	t.Helper()
	said := make(map[string][]string)
	for _, m := range messages {
		id := fmt.Sprint(m.Metadata.EventPayload["build_id"])
		said[id] = append(said[id], m.Text)
	}
	newest := newestOfRows(truth)
	for _, b := range truth {
		texts := said[b.ID]
		delete(said, b.ID)
		name := fmt.Sprintf("%s/%s/%d (%s)", b.Organization, b.Pipeline, b.Number, b.Status)
		switch {
		case len(texts) > 1:
			t.Errorf("%s has %d messages: %q", name, len(texts), texts)
		case b.Announce != nil && *b.Announce && len(texts) == 0:
			t.Errorf("%s has no message", name)
		case b.Announce != nil && !*b.Announce && len(texts) > 0:
			t.Errorf("%s has a message: %q", name, texts[0])
		case len(texts) == 0:
		case b.Status == "failed" && newest[b.ID]:
			if want := fmt.Sprintf(":red_circle: Build %d failed%s", b.Number, inARow(b.ConsecutiveFailures)); texts[0] != want {
				t.Errorf("%s says %q, want %q", name, texts[0], want)
			}
		default:
			want := map[string]string{"failed": ":red_circle: Build %d failed", "fixed": ":large_green_circle: Build %d fixed"}[b.Status]
			if want = fmt.Sprintf(cmp.Or(want, ":white_circle: Build %d "+b.Status), b.Number); !strings.HasPrefix(texts[0], want) {
				t.Errorf("%s says %q, want %q", name, texts[0], want)
			}
		}
	}
	for id, texts := range said {
		t.Errorf("there are messages about build %q, which is none of the month: %q", id, texts)
	}
}

// newestOfRows returns the builds that are the latest failure of their row.
func newestOfRows(truth []simulate.Truth) map[string]bool {
	type branch struct{ organization, pipeline, name string }
	newest := make(map[string]bool)
	latest := make(map[branch]string) // failure of the row that goes on
	for _, b := range truth {         // in order of numbers
		at := branch{b.Organization, b.Pipeline, b.Branch}
		switch b.Status {
		case "failed":
			delete(newest, latest[at])
			newest[b.ID], latest[at] = true, b.ID
		case "passed", "fixed":
			delete(latest, at)
		}
	}
	return newest
}

// inARow is what a header says of a row of failures.
func inARow(n int) string {
	switch {
	case n < 2:
		return ""
	case n == 2:
		return " (2nd failure)"
	case n == 3:
		return " (:exclamation: 3rd failure)"
	}
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		suffix = cmp.Or(map[int]string{1: "st", 2: "nd", 3: "rd"}[n%10], suffix)
	}
	return fmt.Sprintf(" (:bangbang: %d%s failure)", n, suffix)
}
