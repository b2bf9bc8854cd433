package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// noon is now in these tests.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// ago is a time before noon.
func ago(d time.Duration) time.Time { return noon.Add(-d) }

func exit(status int) *int { return &status }

// runningBuild has a step of each kind.
func runningBuild() *seenBuild {
	return &seenBuild{
		ownWords: ownWords{
			Branch: "main", Commit: "895c79e0f1c2", Message: "Speed up the basket\n\nBy 30 %.", State: "failing",
		},
		Status: "running", ConsecutiveFailures: 2, FirstFailedNumber: 40,
		StartedAt: ago(4*time.Minute + 10*time.Second),
		Steps: []seenStep{
			{Name: "lint", Status: "passed", Jobs: []seenJob{
				{ID: "l1", State: "passed", ExitStatus: exit(0), StartedAt: ago(4 * time.Minute), FinishedAt: ago(4*time.Minute - 12*time.Second)},
			}},
			{Name: "audit", Status: "failed", Jobs: []seenJob{
				{ID: "a1", State: "failed", ExitStatus: exit(2), StartedAt: ago(4 * time.Minute), FinishedAt: ago(2*time.Minute + 58*time.Second)},
			}},
			{Name: "style", Status: "passed", Jobs: []seenJob{
				{ID: "y1", State: "failed", SoftFailed: true, ExitStatus: exit(1), StartedAt: ago(time.Minute), FinishedAt: ago(57 * time.Second)},
			}},
			{Name: "browser tests", Status: "failed", Jobs: []seenJob{
				{ID: "b1", State: "timed_out", ExitStatus: exit(-1), StartedAt: ago(4 * time.Minute), FinishedAt: ago(2 * time.Minute)},
				{ID: "b2", State: "running", RetryOf: "b1", StartedAt: ago(90 * time.Second)},
			}},
			{Name: "rspec", Status: "running", Jobs: []seenJob{
				{ID: "r1", State: "passed", StartedAt: ago(3 * time.Minute), FinishedAt: ago(2 * time.Minute)},
				{ID: "r2", State: "failed", ExitStatus: exit(1), StartedAt: ago(3 * time.Minute), FinishedAt: ago(2 * time.Minute)},
				{ID: "r2b", State: "running", RetryOf: "r2", StartedAt: ago(time.Minute)},
				{ID: "r3", State: "scheduled"},
			}},
			{Name: "deploy", Status: "running", Jobs: []seenJob{{ID: "d1", State: "waiting"}}},
			{Name: "docs: links", Status: "failed"},
		},
	}
}

func TestDrawing(t *testing.T) {
	t.Parallel()
	long := runningBuild()
	for i := range 40 {
		long.Steps = append(long.Steps, seenStep{Name: fmt.Sprintf("shard %d", i), Status: []string{"passed", "passed", "running", "fixed"}[i%4]})
	}
	ended := runningBuild()
	ended.Status, ended.State, ended.FinishedAt, ended.Steps = "failed", "failed", ago(time.Minute), ended.Steps[:3]
	hostile := &seenBuild{
		ownWords:            ownWords{Branch: "\x1b[31mmain\u202e", Commit: "\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b", Message: "\r\n\x1b]0;title\x07 a\tb\u009b2J\nsecond"},
		Status:              "failed\x1b[2J",
		ConsecutiveFailures: -1, FirstFailedNumber: -1, StartedAt: noon.Add(time.Hour),
		Steps: []seenStep{
			{Name: "", Status: "\x1b[1m"},
			{Name: strings.Repeat("very ", 1000) + "long", Status: "failed", Jobs: []seenJob{{State: "\x1b[31m_", ExitStatus: exit(1)}}},
			{Name: "日本語のステップ e\u0301" + strings.Repeat("\u0301", 1000), Status: "passed"},
		},
	}
	for name, tc := range map[string]struct {
		build         *seenBuild
		width, height int
	}{
		"running":             {runningBuild(), 80, 24},
		"narrow":              {runningBuild(), 30, 24},
		"ended":               {ended, 80, 24},
		"long":                {long, 80, 16},
		"low":                 {runningBuild(), 80, 5},
		"as low as it gets":   {runningBuild(), 80, 1},
		"as narrow as it can": {runningBuild(), 1, 24},
		"hostile":             {hostile, 60, 24},
		"unknown":             {&seenBuild{}, 80, 24},
		"scheduled":           {&seenBuild{ownWords: ownWords{State: "scheduled", Branch: "main"}}, 80, 24},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := tc.build.draw("acme/web/42", canvas{width: tc.width, height: tc.height, now: noon})
			if len(lines) > max(1, tc.height-1) {
				t.Errorf("%d lines in %d", len(lines), tc.height)
			}
			for _, l := range lines {
				if l.width() > tc.width {
					t.Errorf("%d columns in %d", l.width(), tc.width)
				}
			}
			golden(t, filepath.Join("testdata", "watch", strings.ReplaceAll(name, " ", "-")+".txt"), strings.Join(texts(lines), "\n")+"\n")
		})
	}
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestDrawingTicks: a second later nothing but times has changed.
func TestDrawingTicks(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &screen{out: &out, color: true}
	at := canvas{width: 80, height: 24, now: noon}
	if err := s.show(runningBuild().draw("acme/web/42", at), at.width); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	at.now = at.now.Add(time.Second)
	if err := s.show(runningBuild().draw("acme/web/42", at), at.width); err != nil {
		t.Fatal(err)
	}
	want := "\r\x1b[11A\x1b[26G1" + "\r\x1b[7B\x1b[30G1" + "\r\x1b[B\x1b[30G1" + "\r\x1b[3B"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
}
