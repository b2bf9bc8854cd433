package buildkite

import (
	"cmp"
	"strings"

	"github.com/build-tracker/build-tracker/build"
)

// Facts decodes a stored payload: the Data of a Delivery of a build or a job.
// What the payload lacks, or has in a form that is not known, is left out;
// texts are cut to a reasonable length, with U+FFFD for NUL and lone
// surrogates. The error is a *ParseError: the payload is not JSON, or lacks the
// address of a build.
func Facts(data []byte) (build.Facts, error) {
	s := scanner{b: data}
	s.space()
	var at payload
	at.read(&s)
	s.space()
	if s.i < len(s.b) {
		s.unexpected()
	}
	if s.fault != "" {
		return build.Facts{}, s.parseError()
	}

	v := values(data)
	event := at.eventName(v)
	w, err := at.ofBuild(v, cmp.Or(event, "The payload"))
	if err != nil {
		return build.Facts{}, err
	}
	f := build.Facts{Event: event, Build: at.details.facts(v)}
	f.Build.ID, f.Build.Number = w.id, w.number
	f.Build.Organization, f.Build.Pipeline = w.organization, w.pipeline
	f.Build.PipelineName = v.text(at.pipelineName, maxName)
	f.Build.DefaultBranch = v.text(at.defaultBranch, maxName)
	f.Build.Repository = v.url(at.repository)
	if job := at.shown.facts(v); job.ID != "" {
		f.Jobs = append(f.Jobs, job)
	}
	f.Jobs = appendJobs(f.Jobs, v, at.details.jobs)
	return f, nil
}

// payload is where in a payload the facts are.
type payload struct {
	address
	details buildAt
	shown   jobAt

	pipelineName, defaultBranch, repository span
}

// read notes where everything is. Of duplicate members the last one counts.
func (at *payload) read(s *scanner) {
	if s.peek() != '{' {
		s.unexpected()
		return
	}
	for m := s.enter(); s.member(&m); {
		start := s.i
		switch string(s.name(&m)) {
		case "event":
			at.event = s.skip()
		case "build":
			at.build.reset()
			at.details = buildAt{object: &at.build}
			s.members(at.details.note)
			at.build.at = span{start, s.i}
		case "job":
			at.shown = jobAt{}
			s.members(at.shown.note)
		case "pipeline":
			at.pipeline.reset()
			at.pipelineName, at.defaultBranch, at.repository = span{}, span{}, span{}
			s.members(at.notePipeline)
		case "organization":
			at.organization.reset()
			s.members(at.organization.note)
		default:
			s.skip()
		}
	}
}

func (at *payload) notePipeline(name []byte) *span {
	switch string(name) {
	case "name":
		return &at.pipelineName
	case "default_branch":
		return &at.defaultBranch
	case "repository":
		return &at.repository
	}
	return at.pipeline.note(name)
}

// buildAt is where the parts of a build are.
type buildAt struct {
	*object
	state, blocked, message, commit, branch     span
	createdAt, startedAt, finishedAt            span
	author, creator, pullRequest, triggeredFrom span
	jobs                                        span
}

func (at *buildAt) note(name []byte) *span {
	switch string(name) {
	case "state":
		return &at.state
	case "blocked":
		return &at.blocked
	case "message":
		return &at.message
	case "commit":
		return &at.commit
	case "branch":
		return &at.branch
	case "created_at":
		return &at.createdAt
	case "started_at":
		return &at.startedAt
	case "finished_at":
		return &at.finishedAt
	case "author":
		return &at.author
	case "creator":
		return &at.creator
	case "pull_request":
		return &at.pullRequest
	case "triggered_from":
		return &at.triggeredFrom
	case "jobs":
		return &at.jobs
	}
	return at.object.note(name)
}

// facts returns all but the address.
func (at *buildAt) facts(v values) build.BuildFacts {
	author, creator := v.person(at.author), v.person(at.creator)
	return build.BuildFacts{
		WebURL:        v.url(at.webURL),
		Branch:        v.text(at.branch, maxName),
		Commit:        v.text(at.commit, maxName),
		Message:       v.text(at.message, maxMessage),
		AuthorName:    cmp.Or(author.name, creator.name),
		AuthorEmail:   cmp.Or(author.email, creator.email),
		PullRequest:   v.reference(v.lookup(at.pullRequest, "id")),
		BaseBranch:    v.text(v.lookup(at.pullRequest, "base"), maxName),
		State:         v.text(at.state, maxWord),
		Blocked:       v.isTrue(at.blocked),
		CreatedAt:     v.time(at.createdAt),
		StartedAt:     v.time(at.startedAt),
		FinishedAt:    v.time(at.finishedAt),
		TriggeredFrom: v.origin(at.triggeredFrom),
	}
}

// origin returns the zero Origin for one without an id.
func (v values) origin(at span) build.Origin {
	id := v.id(v.lookup(at, "build_id"))
	if id == "" {
		return build.Origin{}
	}
	return build.Origin{
		BuildID:  id,
		Number:   v.number(v.lookup(at, "build_number")),
		Pipeline: v.slug(v.lookup(at, "build_pipeline_slug")),
	}
}

// reference returns an id that may be written as a number.
func (v values) reference(at span) string {
	if n := v.number(at); n > 0 {
		return string(v[at.start:at.end])
	}
	return v.id(at)
}

type person struct{ name, email string }

// person reads an object, or the text "Name <email>" of old payloads.
func (v values) person(at span) person {
	if v.kind(at) == '{' {
		return person{
			name:  cmp.Or(v.text(v.lookup(at, "name"), maxName), v.text(v.lookup(at, "username"), maxName)),
			email: v.text(v.lookup(at, "email"), maxName),
		}
	}
	name, rest, ok := strings.Cut(v.text(at, maxName), "<")
	email, isEmail := strings.CutSuffix(strings.TrimSpace(rest), ">")
	if !ok || !isEmail {
		return person{name: v.text(at, maxName)}
	}
	return person{name: strings.TrimSpace(name), email: email}
}

// ShownJob decodes the job that a stored payload of a job's event is about, and
// nothing else of it. False when the payload shows none.
func ShownJob(data []byte) (build.JobFacts, bool) {
	s := scanner{b: data}
	s.space()
	if s.peek() != '{' {
		return build.JobFacts{}, false
	}
	var shown jobAt
	for m := s.enter(); s.member(&m); {
		if string(s.name(&m)) == "job" {
			shown = jobAt{}
			s.members(shown.note)
		} else {
			s.skip()
		}
	}
	if s.fault != "" {
		return build.JobFacts{}, false
	}
	job := shown.facts(values(data))
	return job, job.ID != ""
}
