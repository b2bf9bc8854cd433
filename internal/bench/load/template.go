package load

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed templates/job.json
var jobText string

//go:embed templates/build.json
var buildText string

// field is what differs from one delivery to another.
type field int

// The fields, in the order of fieldNames.
const (
	event field = iota
	organization
	pipeline
	number
	buildID
	buildKey
	buildState
	commit
	branch
	createdAt
	startedAt
	finishedAt
	jobID
	jobKey
	jobState
	jobStartedAt
	jobFinishedAt
	exitStatus
	step
	stepID
	fieldCount
)

var fieldNames = [fieldCount]string{
	"event", "organization", "pipeline", "number", "build_id", "build_key", "build_state", "commit", "branch",
	"created_at", "started_at", "finished_at", "job_id", "job_key", "job_state", "job_started_at", "job_finished_at",
	"exit_status", "step", "step_id",
}

// values are what a delivery says, by field, as it stands in the JSON.
type values [fieldCount]string

// template is a payload cut at its fields: a text, then a field's value, and so
// on, and the rest.
type template struct {
	pieces []piece
	rest   string
}

type piece struct {
	text string
	then field
}

// newTemplate reads a text in which a field stands as {{name}}.
func newTemplate(text string) (template, error) {
	var t template
	for {
		before, after, found := strings.Cut(text, "{{")
		if !found {
			t.rest = strings.TrimSuffix(text, "\n")
			return t, nil
		}
		name, rest, _ := strings.Cut(after, "}}")
		then, err := fieldNamed(name)
		if err != nil {
			return template{}, err
		}
		t.pieces = append(t.pieces, piece{before, then})
		text = rest
	}
}

func fieldNamed(name string) (field, error) {
	for i, n := range fieldNames {
		if n == name {
			return field(i), nil
		}
	}
	return 0, fmt.Errorf("a payload's template has no field %q", name)
}

func (t *template) appendTo(dst []byte, v *values) []byte {
	for _, p := range t.pieces {
		dst = append(append(dst, p.text...), v[p.then]...)
	}
	return append(dst, t.rest...)
}
