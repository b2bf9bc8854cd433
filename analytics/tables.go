package analytics

import "slices"

// common are the columns that every table begins with. They are the event's from
// which the row follows.
func common(more ...Column) []Column {
	return append([]Column{
		{Name: "time", Kind: Time, Required: true, Description: "When the event was recorded from which this row follows."},
		{Name: "position", Kind: Integer, Required: true, Description: "That event's place in the whole stream, in the order in which events were recorded."},
		{Name: "organization", Kind: String, Description: "Buildkite's slug of the organization."},
		{Name: "pipeline", Kind: String, Description: "Buildkite's slug of the pipeline. Null where there is no build, as for agents."},
		{Name: "branch", Kind: String, Description: "The build's branch. Null where the event does not tell it."},
		{Name: "type", Kind: String, Description: "The event's type: Buildkite's name for it, or one of ours, such as status."},
	}, more...)
}

var (
	number  = Column{Name: "number", Kind: Integer, Description: "The build's number in its pipeline. Null where there is no build."}
	seq     = Column{Name: "seq", Kind: Integer, Description: "The event's place among its build's events, from 0. Null where there is no build."}
	buildID = Column{Name: "build_id", Kind: String, Description: "Buildkite's id of the build; id of the table builds."}
	index   = Column{Name: "index", Kind: Integer, Required: true, Description: "The row's place among those of this table that follow from the event, from 0."}

	eventKey = []string{"position"}
	indexKey = []string{"position", "index"}
)

var events = &Table{
	Name:        "events",
	Description: "Every event of the stream: what Buildkite sent, and what build-tracker did.",
	Key:         eventKey,
	Columns: common(
		Column{Name: "id", Kind: String, Required: true, Description: "The event's id, a UUID."},
		number, seq,
		Column{Name: "version", Kind: Integer, Description: "The version of the event's envelope."},
		Column{Name: "data", Kind: String, Description: "The payload as JSON text, secrets masked. Read it with JSON_VALUE, such as JSON_VALUE(data, '$.build.state')."},
	),
}

var builds = &Table{
	Name: "builds",
	Description: "How builds finished: a row each time a build finishes, and another when what is known of that changes its state or status. " +
		"The view builds_latest has one row a build.",
	Key: eventKey,
	Columns: common(
		seq,
		Column{Name: "id", Kind: String, Required: true, Description: "Buildkite's id of the build."},
		number,
		Column{Name: "web_url", Kind: String, Description: "The build's page at Buildkite."},
		Column{Name: "commit", Kind: String, Description: "The commit that was built."},
		Column{Name: "message", Kind: String, Description: "The commit's message."},
		Column{Name: "author", Kind: Record, Description: "Who wrote the commit.", Columns: []Column{
			{Name: "name", Kind: String, Description: "The author's name."},
			{Name: "email", Kind: String, Description: "The author's email address."},
		}},
		Column{Name: "state", Kind: String, Description: "Buildkite's state of the build."},
		Column{Name: "status", Kind: String, Description: "What that means: passed, failed, fixed, canceled, blocked or unknown."},
		Column{Name: "previous_status", Kind: String, Description: "What it was before: running, or how the build had finished before it went on."},
		Column{Name: "consecutive_failures", Kind: Integer, Description: "How many builds of the branch in a row failed, this one included; 0 if it did not."},
		Column{Name: "first_failed_number", Kind: Integer, Description: "The first build of that row."},
		Column{Name: "last_passed_number", Kind: Integer, Description: "The last build up to this one that passed."},
		Column{Name: "created_at", Kind: Time, Description: "When the build was created."},
		Column{Name: "started_at", Kind: Time, Description: "When its first job started."},
		Column{Name: "finished_at", Kind: Time, Description: "When it finished."},
		Column{Name: "duration_seconds", Kind: Float, Description: "From started_at to finished_at."},
		Column{Name: "last_seq", Kind: Integer, Description: "The seq of the last event that this row knows of."},
	),
}

var steps = &Table{
	Name:        "steps",
	Description: "The steps of each row of builds.",
	Key:         indexKey,
	Columns: common(
		seq, index, buildID, number,
		Column{Name: "name", Kind: String, Description: "The step's name."},
		Column{Name: "key", Kind: String, Description: "The step's key. Null where it has none."},
		Column{Name: "status", Kind: String, Description: "passed, failed, or fixed: it passed after an attempt had failed, which is what a flaky step does."},
		Column{Name: "attempts", Kind: Integer, Description: "How many jobs it had, retries included. 0 for a step that a triggered build lends."},
		Column{Name: "failed_attempts", Kind: Integer, Description: "How many of them failed, softly failed ones not counted."},
		Column{Name: "started_at", Kind: Time, Description: "When its first job started."},
		Column{Name: "finished_at", Kind: Time, Description: "When its last job finished."},
		Column{Name: "duration_seconds", Kind: Float, Description: "From started_at to finished_at."},
	),
}

var jobs = &Table{
	Name:        "jobs",
	Description: "Attempts: a row for each job that finished, written once, with the first status event that shows it finished.",
	Key:         indexKey,
	Columns: common(
		seq, index,
		Column{Name: "id", Kind: String, Required: true, Description: "Buildkite's id of the job."},
		buildID, number,
		Column{Name: "step_name", Kind: String, Description: "The name of its step; name of the table steps."},
		Column{Name: "step_key", Kind: String, Description: "The key of its step. Null where it has none."},
		Column{Name: "state", Kind: String, Description: "Buildkite's state of the job."},
		Column{Name: "status", Kind: String, Description: "What that means: passed, failed, canceled or unknown. A softly failed one is passed."},
		Column{Name: "exit_status", Kind: Integer, Description: "What its command exited with. Null where it did not."},
		Column{Name: "soft_failed", Kind: Bool, Description: "It failed, and its step says that this does not count."},
		Column{Name: "retry_of", Kind: String, Description: "The id of the attempt before. Null for a first one."},
		Column{Name: "queue", Kind: String, Description: "The agents' queue it waited in. Null where none is named."},
		Column{Name: "web_url", Kind: String, Description: "The job's page at Buildkite."},
		Column{Name: "created_at", Kind: Time, Description: "When the job was created."},
		Column{Name: "runnable_at", Kind: Time, Description: "When it began to wait for an agent."},
		Column{Name: "started_at", Kind: Time, Description: "When it started."},
		Column{Name: "finished_at", Kind: Time, Description: "When it finished."},
		Column{Name: "wait_seconds", Kind: Float, Description: "How long it waited for an agent: from runnable_at, or created_at where that is not known, to started_at."},
		Column{Name: "run_seconds", Kind: Float, Description: "How long it ran: from started_at to finished_at."},
	),
}

var notices = &Table{
	Name:        "notices",
	Description: "Messages about builds: a row each time one was sent or edited.",
	Key:         eventKey,
	Columns: common(
		seq, buildID, number,
		Column{Name: "kind", Kind: String, Description: "What the message is about."},
		Column{Name: "action", Kind: String, Description: "sent or edited."},
		Column{Name: "channel", Kind: String, Description: "Slack's id of the channel. Null where the message went to the log."},
		Column{Name: "ts", Kind: String, Description: "Slack's id of the message in it. Null where it went to the log."},
	),
}

var agentStatus = &Table{
	Name:        "agent_status",
	Description: "What agents did: a row for each of Buildkite's agent.* events.",
	Key:         eventKey,
	Columns: common(
		Column{Name: "event", Kind: String, Description: "Buildkite's name of the event, such as agent.connected."},
		Column{Name: "uuid", Kind: String, Description: "Buildkite's id of the agent."},
		Column{Name: "name", Kind: String, Description: "The agent's name."},
		Column{Name: "hostname", Kind: String, Description: "The machine it runs on."},
		Column{Name: "version", Kind: String, Description: "The version of buildkite-agent."},
		Column{Name: "ip_address", Kind: String, Description: "The address it connects from."},
		Column{Name: "queues", Kind: Strings, Description: "The queues it takes jobs from, as its queue= tags say."},
		Column{Name: "user_agent", Kind: String, Description: "The program and the machine, as the agent names them."},
		Column{Name: "timestamp", Kind: Time, Description: "When the event was recorded; the same as time."},
	),
}

var rejected = &Table{
	Name:        "rejected",
	Description: "Rows that could not be written, with the reason.",
	Key:         []string{"position", "table", "index"},
	Columns: common(
		Column{Name: "table", Kind: String, Required: true, Description: "The table that the row is missing in."},
		index,
		Column{Name: "error", Kind: String, Description: "Why it was refused."},
		Column{Name: "row", Kind: String, Description: "The row as JSON text, or its beginning where it is longer than 1 MB."},
	),
}

// column returns the place of a column that the table has.
func (t *Table) column(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
}
