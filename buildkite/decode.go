package buildkite

import (
	"slices"
	"strconv"
	"strings"
)

// Kind says what a delivery is about.
type Kind int

const (
	// Ignored: nothing to record, such as a ping.
	Ignored Kind = iota
	// BuildEvent: about a build.
	BuildEvent
	// JobEvent: about a job, and the build it belongs to.
	JobEvent
	// AgentEvent: about an agent; it has no build.
	AgentEvent
)

// Delivery is one webhook delivery, ready to be recorded.
type Delivery struct {
	// Event is Buildkite's name for it: at most 100 of a-z, 0-9, '_', '.'.
	Event string
	// Kind says which of the fields below are set.
	Kind Kind
	// Key is the same for two sendings of one event, and differs between events.
	Key [32]byte
	// Organization is a slug, never empty but for an agent's event that does not
	// tell.
	Organization string
	// Pipeline (a slug), Number (from 1) and BuildID are those of the build;
	// empty for an agent's event.
	Pipeline string
	Number   int64
	BuildID  string
	// JobID is a job event's; AgentID an agent event's.
	JobID   string
	AgentID string
	// Data is the payload: compact, valid JSON in valid UTF-8, secrets masked.
	// It is at most three times as long as the body.
	Data []byte
}

// Options say how Parse treats a payload.
type Options struct {
	// EnvKeep names the environment variables whose values are not masked. Nil
	// means DefaultEnvKeep.
	EnvKeep []string
	// Buffer is where Data is written if it fits; it is the caller's again when
	// Data is no longer needed. Nil means that Data has memory of its own.
	Buffer []byte
}

// DefaultEnvKeep returns the names whose values stay unless configured
// otherwise.
func DefaultEnvKeep() []string { return []string{"RELEASE_PUBLIC", "RELEASE_INTERNAL"} }

func (o Options) keeps(name []byte) bool {
	if o.EnvKeep == nil {
		return slices.Contains(DefaultEnvKeep(), string(name))
	}
	return slices.Contains(o.EnvKeep, string(name))
}

// ParseError says why a payload cannot be used, now or later: it is the
// sender's to mend.
type ParseError struct {
	// Problem is a sentence or two for the sender: what is wrong and what to do.
	// It quotes nothing of the payload but the event's name.
	Problem string
	// Offset is the byte of the body at which it stops being JSON; -1 for other
	// problems.
	Offset int
}

func (e *ParseError) Error() string { return e.Problem }

// Parse validates and decodes the body of a webhook delivery and masks the
// secrets in it. Its error is a *ParseError: the body is not a JSON object
// of reasonable depth, or lacks what its event needs. An ignored delivery has
// only Event, Kind, Key and Data.
func Parse(body []byte, opts Options) (*Delivery, error) {
	r := redactor{
		scanner: scanner{b: body},
		opts:    opts,
		out:     slices.Grow(opts.Buffer[:0], len(body)+64),
		key:     newKeySum(),
	}
	if r.space(); r.peek() != '{' {
		return nil, &ParseError{
			Problem: "The body is not a JSON object. Send the payload as Buildkite made it.",
			Offset:  r.i,
		}
	}
	if err := r.redact(); err != nil {
		return nil, err
	}
	d := &Delivery{Event: r.found.eventName(body), Data: r.out}
	if d.Event == "" {
		return nil, needs("The body", "an event: its name, of at most 100 of a-z, 0-9, '_' and '.'")
	}
	r.key.write([]byte(d.Event))
	d.Key = r.key.sum()
	if err := d.locate(&r.found, body); err != nil {
		return nil, err
	}
	return d, nil
}

// redact walks the whole body.
func (r *redactor) redact() *ParseError {
	r.space()
	r.outFrom, r.keyFrom = r.i, r.i
	r.value(atTop)
	end := r.i
	r.space()
	if r.i < len(r.b) {
		r.unexpected()
	}
	if r.fault != "" {
		return r.parseError()
	}
	r.out = append(r.out, r.b[r.outFrom:end]...)
	r.keyUntil(end)
	return nil
}

func (s *scanner) parseError() *ParseError {
	return &ParseError{
		Problem: "The body is not valid JSON: " + s.fault + " at byte " + strconv.Itoa(s.faultAt) +
			". Send the payload as Buildkite made it.",
		Offset: s.faultAt,
	}
}

// locate finds what the delivery is about, by its name and what it carries.
func (d *Delivery) locate(a *address, v values) *ParseError {
	d.Kind = kindOf(d.Event, a, v)
	switch d.Kind {
	case AgentEvent:
		d.AgentID = v.id(a.agent.id)
		if d.AgentID == "" {
			return needs(d.Event, "agent.id, a text of at most 100 bytes without control characters")
		}
		d.Organization = a.organizationOf(v, &a.agent)
	case BuildEvent, JobEvent:
		w, err := a.ofBuild(v, d.Event)
		if err != nil {
			return err
		}
		d.Organization, d.Pipeline, d.Number, d.BuildID = w.organization, w.pipeline, w.number, w.id
		if d.Kind == JobEvent {
			d.JobID = v.id(a.job.id)
			if d.JobID == "" {
				return needs(d.Event, "job.id, a text of at most 100 bytes without control characters")
			}
		}
	}
	return nil
}

// kindOf says what an event is about. One that Buildkite documents is what its
// name says, whether or not it carries that; another only if it carries a build
// or an agent.
func kindOf(event string, a *address, v values) Kind {
	if event == "ping" {
		return Ignored
	}
	documented := isDocumented(event)
	subject, _, _ := strings.Cut(event, ".")
	switch {
	case subject == "agent" && (documented || a.agent.in(v)):
		return AgentEvent
	case subject == "job" && (documented || a.build.in(v)):
		return JobEvent
	case documented || a.build.in(v):
		return BuildEvent
	case a.agent.in(v):
		return AgentEvent
	}
	return Ignored
}

// isDocumented: buildkite.com/docs/apis/webhooks/pipelines, all but ping.
func isDocumented(event string) bool {
	switch event {
	case "build.scheduled", "build.running", "build.failing", "build.finished", "build.skipped",
		"job.scheduled", "job.started", "job.finished", "job.activated", "job.promised_exit_status",
		"agent.connected", "agent.lost", "agent.disconnected", "agent.stopping", "agent.stopped",
		"agent.blocked":
		return true
	}
	return false
}
