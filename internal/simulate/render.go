package simulate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
)

// render makes the payload of a moment, as Buildkite shows it when it sends it.
func (r *run) render(m *moment) Delivery {
	p := payload{Event: m.event, Build: r.buildJSON(m.build), Pipeline: r.pipeline.json(r.s), Sender: r.s.sender(r.pipeline.organization)}
	if m.job != nil {
		p.Job = r.jobJSON(m.job, m.as)
	}
	return Delivery{Event: m.event, Build: r.id, Body: p.encode()}
}

func (s *Simulation) renderAgent(a *agent, v agentVersion) Delivery {
	p := payload{Event: v.event, Agent: a.json(v), Sender: s.sender(a.organization)}
	return Delivery{Event: v.event, Body: p.encode()}
}

func (p *payload) encode() []byte {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // nothing in a payload can fail
	}
	return body
}

// sender is whose action it was: Buildkite does not name the same one each time.
func (s *Simulation) sender(o *organization) senderJSON {
	who := pick(s.wire, o.people)
	return senderJSON{ID: who.id, Name: who.name}
}

func (r *run) url() string    { return fmt.Sprintf("%s/builds/%d", r.pipeline.url(), r.number) }
func (r *run) webURL() string { return fmt.Sprintf("%s/builds/%d", r.pipeline.webURL(), r.number) }

func (r *run) buildJSON(v version) *buildJSON {
	b := &buildJSON{
		ID: r.id, GraphqlID: graphqlID("Build", r.id), URL: r.url(), WebURL: r.webURL(), Number: r.number,
		State: v.state, Blocked: v.blocked, CancelReason: optional(v.cancelReason),
		Message: r.message, Commit: r.commit, Branch: r.branch, Source: r.source,
		Env:       envJSON{ReleasePublic: strconv.FormatBool(r.branch == r.pipeline.defaultBranch), DeployToken: "hunter2-" + r.commit[:8]},
		Author:    authorJSON{Username: r.author.username, Name: r.author.name, Email: r.author.email},
		Creator:   r.author.json(),
		CreatedAt: stamp{r.created}, ScheduledAt: stamp{r.created}, StartedAt: stamp{v.started}, FinishedAt: stamp{v.finished},
		MetaData:  metaDataJSON{Commit: fmt.Sprintf("commit %s\nAuthor: %s <%s>", r.commit, r.author.name, r.author.email)},
		ClusterID: r.pipeline.organization.cluster, ClusterURL: r.pipeline.organization.clusterURL(),
	}
	if v.blocked {
		b.BlockedState = "passed"
	}
	if r.pull > 0 {
		b.PullRequest = &pullRequestJSON{ID: strconv.Itoa(r.pull), Base: r.pipeline.defaultBranch, Repository: fmt.Sprintf("git://github.com/%s/%s.git", r.pipeline.owner, r.pipeline.slug)}
	}
	if up := r.parent; up != nil {
		b.TriggeredFrom = &triggeredFrom{BuildID: up.id, BuildNumber: up.number, BuildPipeline: up.pipeline.slug}
	}
	return b
}

func (r *run) jobJSON(j *job, v jobVersion) *jobJSON {
	o := r.pipeline.organization
	out := &jobJSON{
		ID: j.id, GraphqlID: graphqlID("Job", j.id), StepKey: j.step.key, Step: stepJSON{ID: j.stepID}, State: v.state,
		BuildURL: r.url(), WebURL: r.webURL() + "#" + j.id, SoftFailed: v.soft, ExitStatus: v.exit, SignalReason: optional(v.signal),
		CreatedAt: stamp{j.created}, ScheduledAt: stamp{j.created}, RunnableAt: stamp{j.created}, StartedAt: stamp{v.started}, FinishedAt: stamp{v.finished},
		Retried: v.retriedIn != "", RetriedInJobID: optional(v.retriedIn), RetryType: optional(j.retryType),
		ClusterID: o.cluster, ClusterURL: o.clusterURL(),
	}
	if j.step.kind != wait {
		out.Name = &j.name
	}
	switch j.step.kind {
	case wait:
		out.Type = "waiter"
		return out
	case block:
		yes := true
		out.Type, out.Unblockable, out.UnblockedAt, out.UnblockedBy = "manual", &yes, stamp{j.created}, j.unblocker.json()
		return out
	case trigger:
		c := j.child
		out.Type, out.Async = "trigger", &j.step.async
		out.TriggeredBuild = &originJSON{ID: c.id, Number: c.number, URL: c.url(), WebURL: c.webURL()}
		return out
	}
	queue := o.cluster[:24] + "000000000001"
	out.Type, out.Command, out.ArtifactPaths, out.ClusterQueueID = "script", j.step.run, "reports/**/*.xml", &queue
	out.Priority, out.AgentQueryRules = &numberJSON{}, []string{"queue=default"}
	out.LogURL = r.url() + "/jobs/" + j.id + "/log"
	out.RawLogURL, out.ArtifactsURL = out.LogURL+".txt", r.url()+"/jobs/"+j.id+"/artifacts"
	signature := base64.StdEncoding.EncodeToString(digest(j.stepID))
	out.Step.Signature = &signature
	if j.source != nil {
		out.RetrySource, out.RetriesCount = &retryJSON{JobID: j.source.id, RetryType: j.retryType}, &j.attempt
	}
	if n := j.step.parallel; n > 0 {
		out.ParallelGroupIndex, out.ParallelGroupTotal = &j.index, &n
	}
	if len(j.step.matrix) > 0 {
		out.Matrix = &j.step.matrix[j.index]
	}
	if !v.started.IsZero() && j.agent != nil {
		out.Agent = j.agent.json(agentVersion{state: "connected"})
	}
	return out
}

func (a *agent) json(v agentVersion) *agentJSON {
	slug := a.organization.slug
	return &agentJSON{
		ID: a.id, GraphqlID: graphqlID("Agent", a.id),
		URL:    fmt.Sprintf("https://api.buildkite.com/v2/organizations/%s/agents/%s", slug, a.id),
		WebURL: fmt.Sprintf("https://buildkite.com/organizations/%s/agents/%s", slug, a.id),
		Name:   a.name, ConnectionState: v.state, Hostname: a.name + ".internal", IPAddress: fmt.Sprintf("203.0.113.%d", a.number%250+1),
		UserAgent: "buildkite-agent/3.98.2.9847 (linux; amd64)", Version: "3.98.2",
		Creator:   a.organization.people[0].json(),
		CreatedAt: stamp{a.connected}, ConnectedAt: stamp{a.connected}, DisconnectedAt: stamp{v.leaves}, LostAt: stamp{v.lost}, StoppingAt: stamp{v.stopping},
		MetaData: []string{"queue=default", "aws:instance-type=c7g.2xlarge"},
	}
}

// json shows a pipeline, with the counters that vary from one sending to the
// next.
func (p *pipeline) json(s *Simulation) *pipelineJSON {
	repository := p.owner + "/" + p.slug
	return &pipelineJSON{
		ID: p.id, GraphqlID: graphqlID("Pipeline", p.id), URL: p.url(), WebURL: p.webURL(),
		Name: p.name, Description: p.about, Slug: p.slug, Repository: p.repository(), ClusterID: p.organization.cluster, DefaultBranch: p.defaultBranch,
		SkipQueuedBranchBuilds: true, CancelRunningBranchBuilds: true, AllowRebuilds: true,
		Provider: providerJSON{
			ID: "github", WebhookURL: "https://webhook.buildkite.com/deliver/" + hex.EncodeToString(digest(p.id)[:25]),
			Settings: providerSettings{
				TriggerMode: "code", BuildPullRequests: true, SkipPullRequestBuildsForExistingCommits: true, BuildBranches: true,
				CancelDeletedBranchBuilds: true, PublishCommitStatus: true, Repository: repository,
			},
		},
		BuildsURL: p.url() + "/builds", BadgeURL: "https://badge.buildkite.com/" + hex.EncodeToString(digest(p.id)[:25]) + ".svg",
		CreatedBy: p.organization.people[0].json(), CreatedAt: stamp{s.opts.Start.AddDate(-1, 0, 0)},
		RunningBuildsCount: 1 + s.wire.IntN(5), ScheduledBuildsCount: s.wire.IntN(3), RunningJobsCount: s.wire.IntN(20), ScheduledJobsCount: s.wire.IntN(8), WaitingJobsCount: s.wire.IntN(8),
		Visibility: "private", Tags: []string{}, Configuration: p.file,
	}
}

func (o *organization) clusterURL() string {
	return fmt.Sprintf("https://api.buildkite.com/v2/organizations/%s/clusters/%s", o.slug, o.cluster)
}

func (p person) json() *creatorJSON {
	return &creatorJSON{
		ID: p.id, GraphqlID: graphqlID("User", p.id), Name: p.name, Email: p.email,
		AvatarURL: "https://www.gravatar.com/avatar/" + hex.EncodeToString(digest(p.email)[:16]), CreatedAt: stamp{p.joined},
	}
}

// graphqlID is what Buildkite's GraphQL API calls an object.
func graphqlID(kind, id string) string {
	return base64.StdEncoding.EncodeToString([]byte(kind + "---" + id))
}

func digest(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// optional is null for none.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
