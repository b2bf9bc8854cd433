package main

import (
	"fmt"
	"time"
)

// lineView prints a line for each event that matters.
type lineView struct{ t terminal }

func (v lineView) line(at time.Time, text string) error {
	_, err := fmt.Fprintf(v.t.stdout, "%s %s\n", at.UTC().Format(time.RFC3339), text)
	return err
}

func (lineView) refresh() error { return nil }

func (v lineView) news(text string) error { return v.t.news(text) }

func (lineView) end(string) error { return nil }

// news tells a person something about what the program is at.
func (t terminal) news(text string) error {
	_, err := fmt.Fprintf(t.stderr, "build-tracker: watch: %s\n", printable(text))
	return err
}

// buildView prints what happens to one build.
type buildView struct {
	lineView
	address string
	status  string // that was printed last
	behind  bool   // other lines came after it
}

func (v *buildView) event(e *envelope, _ []byte) error {
	switch e.Type {
	case "status":
		var told statusData
		if !e.tells(&told) || told.Status == v.status {
			return nil
		}
		var more []string
		if v.status == "" {
			more = told.Build.what()
		}
		v.status, v.behind = told.Status, false
		return v.line(e.Time, sentence(v.address, told.Status, append(more, told.row())))
	case "start", "finish":
		var told jobData
		if !e.tells(&told) {
			return nil
		}
		v.behind = true
		step := seenStep{Name: told.Step.Name}
		return v.line(e.Time, step.label()+" "+told.happened(e.Type))
	}
	return nil
}

// end has the result on the last line.
func (v *buildView) end(status string) error {
	if status == "" || status == v.status && !v.behind {
		return nil
	}
	return v.line(time.Now(), sentence(v.address, status, nil))
}

// happened says what a start or a finish is.
func (d *jobData) happened(event string) string {
	switch j := &d.Job; {
	case event == "start" && j.RetryOf != "":
		return "started again"
	case event == "start":
		return "started"
	case j.StartedAt.IsZero() || j.FinishedAt.IsZero():
		return j.word()
	default:
		return j.word() + " after " + span(j.FinishedAt.Sub(j.StartedAt))
	}
}

// pipelineView prints how the builds of a pipeline come to stand.
type pipelineView struct{ lineView }

func (v *pipelineView) event(e *envelope, _ []byte) error {
	var told statusData
	if e.Type != "status" || !e.tells(&told) || told.Status == told.Previous {
		return nil
	}
	address := printable(fmt.Sprintf("%s/%s/%d", e.Organization, e.Pipeline, e.Number))
	return v.line(e.Time, sentence(address, told.Status, append(told.Build.what(), told.row())))
}

// row says where a build that failed stands among the failures of its branch.
func (d *statusData) row() string {
	if d.Status != "failed" {
		return ""
	}
	return d.Build.row()
}

// what says what is built.
func (b *seenBuild) what() []string { return []string{printable(b.Branch), firstLine(b.Message)} }

// sentence says how a build stands, and more where there is more.
func sentence(address, status string, more []string) string {
	text, with := address+" "+printable(status), ": "
	for _, m := range more {
		if m != "" {
			text += with + m
			with = ", "
		}
	}
	return text
}
