package buildkite

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/build-tracker/build-tracker/build"
)

// jobAt is where the parts of a job are.
type jobAt struct {
	id, kind, name, step, stepKey, state     span
	exitStatus, softFailed, parallel, matrix span
	retriedIn, retrySource, webURL           span
	createdAt, runnableAt                    span
	startedAt, finishedAt                    span
	queryRules, agent                        span
	async, triggeredBuild                    span
}

func (at *jobAt) note(name []byte) *span {
	switch string(name) {
	case "id":
		return &at.id
	case "type":
		return &at.kind
	case "name":
		return &at.name
	case "step":
		return &at.step
	case "step_key":
		return &at.stepKey
	case "state":
		return &at.state
	case "exit_status":
		return &at.exitStatus
	case "soft_failed":
		return &at.softFailed
	case "parallel_group_index":
		return &at.parallel
	case "matrix":
		return &at.matrix
	case "retried_in_job_id":
		return &at.retriedIn
	case "retry_source":
		return &at.retrySource
	case "web_url":
		return &at.webURL
	case "created_at":
		return &at.createdAt
	case "runnable_at":
		return &at.runnableAt
	case "started_at":
		return &at.startedAt
	case "finished_at":
		return &at.finishedAt
	case "agent_query_rules":
		return &at.queryRules
	case "agent":
		return &at.agent
	case "async":
		return &at.async
	case "triggered_build":
		return &at.triggeredBuild
	}
	return nil
}

// facts returns a job without an ID if the payload has none that can be one.
func (at *jobAt) facts(v values) build.JobFacts {
	id := v.id(at.id)
	if id == "" {
		return build.JobFacts{}
	}
	return build.JobFacts{
		ID:                 id,
		Type:               v.text(at.kind, maxWord),
		Name:               v.text(at.name, maxName),
		StepID:             v.id(v.lookup(at.step, "id")),
		StepKey:            cmp.Or(v.text(at.stepKey, maxName), v.text(v.lookup(at.step, "key"), maxName)),
		State:              v.text(at.state, maxWord),
		ExitStatus:         v.optionalInt(at.exitStatus),
		SoftFailed:         v.isTrue(at.softFailed),
		ParallelGroupIndex: v.optionalInt(at.parallel),
		Matrix:             matrix(v, at.matrix),
		RetriedInJobID:     v.id(at.retriedIn),
		RetrySourceJobID:   v.id(v.lookup(at.retrySource, "job_id")),
		WebURL:             v.url(at.webURL),
		CreatedAt:          v.time(at.createdAt),
		RunnableAt:         v.time(at.runnableAt),
		StartedAt:          v.time(at.startedAt),
		FinishedAt:         v.time(at.finishedAt),
		Queue:              cmp.Or(queue(v, at.queryRules), queue(v, v.lookup(at.agent, "meta_data"))),
		Async:              v.isTrue(at.async),
		TriggeredBuildID:   v.id(v.lookup(at.triggeredBuild, "id")),
	}
}

// matrix tells the jobs of a step apart, whatever order its members come in: what is
// too long keeps doing so as a digest, which is a JSON string too.
func matrix(v values, at span) string {
	text := v.canonical(at)
	if len(text) <= maxMatrix {
		return text
	}
	digest := sha256.Sum256([]byte(text))
	return `"sha256:` + hex.EncodeToString(digest[:]) + `"`
}

// queue returns the queue that a list of tags, such as "queue=deploy", names.
func queue(v values, tags span) string {
	if v.kind(tags) != '[' {
		return ""
	}
	s := scanner{b: v[:tags.end], i: tags.start}
	for m := s.enter(); s.element(&m); {
		if name, ok := strings.CutPrefix(v.text(s.skip(), maxName), "queue="); ok {
			return name
		}
	}
	return ""
}

// appendJobs appends the jobs of a list, those that have an ID.
func appendJobs(jobs []build.JobFacts, v values, list span) []build.JobFacts {
	if v.kind(list) != '[' {
		return jobs
	}
	s := scanner{b: v[:list.end], i: list.start}
	for m := s.enter(); s.element(&m); {
		var at jobAt
		s.members(at.note)
		if job := at.facts(v); job.ID != "" {
			jobs = append(jobs, job)
		}
	}
	return jobs
}
