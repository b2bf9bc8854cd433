package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/build-tracker/build-tracker/stream"
)

// Eventually calls check every few milliseconds until it returns nil, and
// returns its last error when that does not happen within the time.
func Eventually(ctx context.Context, within time.Duration, check func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var wrong error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if wrong == nil || ctx.Err() == nil { // not the end of the time itself
			wrong = err
		}
		if !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("after %s: %w", within, wrong)
		}
	}
}

// CheckBuilds compares what a server's API says of every build with the truth.
func (w *World) CheckBuilds(ctx context.Context, url string) error {
	var wrong []error
	for _, t := range w.Builds {
		var b struct {
			ID                  string
			Status              string
			ConsecutiveFailures int    `json:"consecutive_failures"`
			FirstFailedNumber   *int64 `json:"first_failed_number"`
			LastPassedNumber    *int64 `json:"last_passed_number"`
		}
		if err := get(ctx, fmt.Sprintf("%s/api/builds/%s/%s/%d", url, t.Organization, t.Pipeline, t.Number), &b); err != nil {
			return fmt.Errorf("build %s/%d: %w", t.Pipeline, t.Number, err)
		}
		have := fmt.Sprintf("%s %s, failure %d, first %d, passed %d", b.ID, b.Status, b.ConsecutiveFailures, orZero(b.FirstFailedNumber), orZero(b.LastPassedNumber))
		want := fmt.Sprintf("%s %s, failure %d, first %d, passed %d", t.ID, t.Status, t.Failures, t.FirstFailed, t.LastPassed)
		if have != want {
			wrong = append(wrong, fmt.Errorf("build %s/%d is %s; want %s", t.Pipeline, t.Number, have, want))
		}
	}
	return errors.Join(wrong...)
}

func orZero(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// CheckEvents reads the whole stream and compares it with what was delivered:
// each delivery once, seqs without gaps, positions growing. Addresses are of one
// build each.
func (w *World) CheckEvents(ctx context.Context, url string) error {
	type envelope struct {
		ID           string
		Position     int64
		Organization string
		Pipeline     string
		Number       int64
		Seq          *int64
		Type         string
		Data         struct {
			Build struct{ ID string }
		}
	}
	want := make(map[string]map[string]int) // by build, by event's name
	for body := range w.distinct() {
		d := body
		if want[d.BuildID] == nil {
			want[d.BuildID] = make(map[string]int)
		}
		want[d.BuildID][d.Event]++
	}
	have := make(map[string]map[string]int)
	next := make(map[string]int64)
	ids := make(map[string]bool)
	after := int64(0)
	for {
		var page []envelope
		if err := get(ctx, fmt.Sprintf("%s/api/events?limit=10000&after=%d", url, after), &page); err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.Position <= after {
				return fmt.Errorf("position %d comes after %d", e.Position, after)
			}
			after = e.Position
			if ids[e.ID] {
				return fmt.Errorf("event %s is there twice", e.ID)
			}
			ids[e.ID] = true
			address := fmt.Sprintf("%s/%s/%d", e.Organization, e.Pipeline, e.Number)
			if e.Seq == nil {
				return fmt.Errorf("%s: an event without a seq", address)
			}
			if *e.Seq != next[address] {
				return fmt.Errorf("%s: an event with seq %d where %d was next", address, *e.Seq, next[address])
			}
			next[address]++
			if stream.Ours(e.Type) { // not delivered
				continue
			}
			build := e.Data.Build.ID
			if have[build] == nil {
				have[build] = make(map[string]int)
			}
			have[build][e.Type]++
		}
	}
	var wrong []error
	for build, events := range want {
		for event, n := range events {
			if have[build][event] != n {
				wrong = append(wrong, fmt.Errorf("build %s: %d events %s, want %d", build, have[build][event], event, n))
			}
		}
	}
	return errors.Join(wrong...)
}

// distinct returns the deliveries that are events of their own: some are sent
// again word for word.
func (w *World) distinct() map[*Delivery]bool {
	seen := make(map[string]bool)
	out := make(map[*Delivery]bool)
	for i := range w.Deliveries {
		d := &w.Deliveries[i]
		if !seen[string(d.Body)] {
			seen[string(d.Body)] = true
			out[d] = true
		}
	}
	return out
}

// Said is a message in a channel.
type Said struct {
	BuildID string
	Text    string
}

// CheckMessages compares the messages in a channel with the truth: one of each
// build that must have one, two of none.
func (w *World) CheckMessages(said []Said) error {
	byBuild := make(map[string][]string)
	for _, s := range said {
		byBuild[s.BuildID] = append(byBuild[s.BuildID], s.Text)
	}
	var wrong []error
	for _, t := range w.Builds {
		texts := byBuild[t.ID]
		name := fmt.Sprintf("build %s/%d (%s)", t.Pipeline, t.Number, t.Status)
		switch {
		case len(texts) > 1:
			wrong = append(wrong, fmt.Errorf("%s has %d messages: %q", name, len(texts), texts))
		case t.Message == Once && len(texts) == 0:
			wrong = append(wrong, fmt.Errorf("%s has no message", name))
		case t.Message == Never && len(texts) > 0:
			wrong = append(wrong, fmt.Errorf("%s has a message: %q", name, texts[0]))
		case len(texts) == 1 && t.Status == "failed":
			if want := fmt.Sprintf(":red_circle: Build %d failed", t.Number); !strings.HasPrefix(texts[0], want) {
				wrong = append(wrong, fmt.Errorf("%s says %q", name, texts[0]))
			} else if t.Newest && t.Failures > 1 && !strings.Contains(texts[0], fmt.Sprint(t.Failures)+ordinal(t.Failures)+" failure)") {
				wrong = append(wrong, fmt.Errorf("%s says %q, it is failure %d", name, texts[0], t.Failures))
			}
		case len(texts) == 1 && t.Status == "fixed":
			if want := fmt.Sprintf(":large_green_circle: Build %d fixed", t.Number); texts[0] != want {
				wrong = append(wrong, fmt.Errorf("%s says %q", name, texts[0]))
			}
		}
	}
	return errors.Join(wrong...)
}

func ordinal(n int) string {
	if n%100 >= 11 && n%100 <= 13 {
		return "th"
	}
	switch n % 10 {
	case 1:
		return "st"
	case 2:
		return "nd"
	case 3:
		return "rd"
	}
	return "th"
}

func get(ctx context.Context, url string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
