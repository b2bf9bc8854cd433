package buildkite

import "bytes"

// rule says what holds for the member of this name in an object at this place.
func (r *redactor) rule(at place, name []byte) rule {
	switch at {
	case opaque:
		return rule{inside: opaque}
	case atEnv:
		return rule{inside: elsewhere, mask: !r.opts.keeps(name)}
	}
	// Anywhere. The top level alone has an agent that the event is about.
	switch string(name) {
	case "env":
		return rule{inside: atEnv}
	case "configuration", "webhook_url":
		return rule{mask: true}
	case "agent":
		if at != atTop {
			return rule{inside: otherAgent}
		}
	case "pipeline":
		if at != atTop {
			return rule{inside: otherPipeline}
		}
	}
	return r.ruleAt(at, name)
}

func (r *redactor) ruleAt(at place, name []byte) rule {
	in := rule{inside: elsewhere}
	switch at {
	case atTop:
		return r.topRule(name)
	case atBuild:
		in.note = r.found.build.note(name)
	case atJob:
		in.note = r.found.job.note(name)
	case atOrganization:
		in.note = r.found.organization.note(name)
	case atPipeline:
		in.note = r.found.pipeline.note(name)
		in.drop = isCounter(name)
	case otherPipeline:
		in.drop = isCounter(name)
	case atAgent:
		in.note = r.found.agent.note(name)
		in.drop = isLive(name)
	case otherAgent:
		in.drop = isLive(name) || isLifecycle(name)
	}
	return in
}

// topRule also forgets what an earlier member of the same name said: of
// duplicates the last one counts, as a whole.
func (r *redactor) topRule(name []byte) rule {
	switch string(name) {
	case "sender":
		return rule{inside: elsewhere, drop: true}
	case "event":
		return rule{inside: elsewhere, note: &r.found.event}
	case "build":
		return rule{inside: atBuild, note: r.found.build.reset()}
	case "job":
		return rule{inside: atJob, note: r.found.job.reset()}
	case "pipeline":
		return rule{inside: atPipeline, note: r.found.pipeline.reset()}
	case "organization":
		return rule{inside: atOrganization, note: r.found.organization.reset()}
	case "agent":
		return rule{inside: atAgent, note: r.found.agent.reset()}
	}
	return rule{inside: elsewhere}
}

// isCounter: a pipeline's counters change with every build of it.
func isCounter(name []byte) bool { return bytes.HasSuffix(name, []byte("_count")) }

// isLive names what an agent does at the moment.
func isLive(name []byte) bool {
	switch string(name) {
	case "connection_state", "job", "last_job_finished_at",
		"heartbeat", "heartbeat_at", "last_heartbeat_at", "last_seen_at", "ping_at", "last_ping_at":
		return true
	}
	return false
}

// isLifecycle names what happens to an agent after it ran a job. In an event
// of the agent itself they are what tells two of its events apart.
func isLifecycle(name []byte) bool {
	switch string(name) {
	case "connected_at", "disconnected_at", "lost_at", "stopping_at", "stopped_at",
		"stopped_gracefully", "stopped_by", "paused", "paused_at", "paused_by",
		"paused_note", "paused_timeout_in_minutes":
		return true
	}
	return false
}
