package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/build-tracker/build-tracker/config"
)

// statsCommand shows what the builds of some days add up to.
type statsCommand struct {
	Pipeline string `arg:"" optional:"" name:"pipeline" help:"The pipeline, as ORG/PIPELINE. Without it: all."`
	config.StatsFlags
}

// Help is what `stats --help` says above its flags.
func (statsCommand) Help() string {
	return `Says how many builds failed on each day, for how long branches stayed red, how long builds took and their jobs waited, and which steps are flaky or slow. A flake is a step that failed in a build and passed when it was tried again; an incident is a row of failed builds of a branch, up to the one that passed.

Percentiles are within 5 % of the exact ones. Elsewhere than on a terminal it draws 80 columns wide, without colours. NO_COLOR is heeded.`
}

// statsWidth is for a terminal that does not tell its width, and for none.
const statsWidth = 80

// Run asks the server and draws its answer.
func (c *statsCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.Config(c.Pipeline)
	if err != nil {
		return usageError{err}
	}
	answer, err := askStats(ctx, cfg)
	if err != nil {
		return errors.New(printable(fmt.Errorf("stats: %w", err).Error()))
	}
	if cfg.JSON {
		_, err := t.stdout.Write(harmlessJSON(answer))
		return err
	}
	var seen seenStats
	if err := json.Unmarshal(answer, &seen); err != nil {
		return fmt.Errorf("stats: %s answers something else than statistics: --url says where a build-tracker is", cfg.URL)
	}
	return t.print(seen.draw)
}

// print draws on a terminal, or on what is none.
func (t terminal) print(draw func(width int) []line) error {
	if s, size := t.screen(); s != nil {
		width, _, err := size()
		if err != nil || width < 1 {
			width = statsWidth
		}
		return s.show(draw(width), width)
	}
	width := statsWidth
	if f, ok := t.stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	var out strings.Builder
	for _, l := range draw(width) {
		for _, c := range l {
			out.WriteString(c.text)
		}
		out.WriteByte('\n')
	}
	_, err := io.WriteString(t.stdout, out.String())
	return err
}

// askStats returns the server's answer.
func askStats(ctx context.Context, cfg *config.Stats) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	query := url.Values{}
	for name, value := range map[string]string{"pipeline": cfg.Pipeline, "branch": cfg.Branch, "since": cfg.Since} {
		if value != "" {
			query.Set(name, value)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.URL+"/api/stats?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", cfg.URL, err)
	}
	if token := cfg.Token.Value(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if cause := new(url.Error); errors.As(err, &cause) {
			err = cause.Err // the rest repeats the address
		}
		return nil, fmt.Errorf("%s does not answer: %w; --url says where the server is", cfg.URL, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxEvent))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", cfg.URL, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statsRefused(cfg, resp.StatusCode, answer)
	}
	return answer, nil
}

// statsRefused says why there is no answer, and what to do.
func statsRefused(cfg *config.Stats, status int, answer []byte) error {
	var problem struct{ Title, Detail string }
	// An answer that is no problem document leaves the status to tell.
	_ = json.Unmarshal(answer, &problem)
	reason := cmp.Or(problem.Detail, problem.Title, http.StatusText(status), "no reason given")
	switch {
	case status == http.StatusUnauthorized && cfg.Token == "":
		reason += " (it needs a token: set BUILDTRACKER_TOKEN to one of its BUILDTRACKER_API_TOKENS)"
	case status == http.StatusUnauthorized:
		reason += " (the token in BUILDTRACKER_TOKEN is none of its BUILDTRACKER_API_TOKENS)"
	case status == http.StatusNotFound:
		reason += " (--url says where a build-tracker is)"
	}
	return fmt.Errorf("%s refuses with %d: %s", cfg.URL, status, reason)
}

// seenStats is the answer of a server. Texts are as they came: they become
// printable where they are shown.
type seenStats struct {
	Organization    string           `json:"organization"`
	Pipeline        string           `json:"pipeline"`
	Branch          string           `json:"branch"`
	Since           time.Time        `json:"since"`
	Until           *time.Time       `json:"until"`
	Builds          int64            `json:"builds"`
	Failures        int64            `json:"failures"`
	Statuses        map[string]int64 `json:"statuses"`
	Incidents       int64            `json:"incidents"`
	MeanTimeToGreen *float64         `json:"mean_time_to_green_seconds"`
	LongestStreak   int64            `json:"longest_streak"`
	Duration        seenPercentiles  `json:"duration_seconds"`
	QueueWait       seenPercentiles  `json:"queue_wait_seconds"`
	FlakiestSteps   []seenStepStats  `json:"flakiest_steps"`
	SlowestSteps    []seenStepStats  `json:"slowest_steps"`
	Days            []seenDay        `json:"days"`
}

type seenPercentiles struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
}

type seenStepStats struct {
	Pipeline string          `json:"pipeline"`
	Name     string          `json:"name"`
	Runs     int64           `json:"runs"`
	Failures int64           `json:"failures"`
	Flakes   int64           `json:"flakes"`
	Duration seenPercentiles `json:"duration_seconds"`
}

type seenDay struct {
	Date     string `json:"date"`
	Builds   int64  `json:"builds"`
	Failures int64  `json:"failures"`
}
