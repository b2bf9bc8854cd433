package simulate

import "time"

// The payloads of Buildkite's webhooks, with the fields and in the order of
// https://buildkite.com/docs/apis/webhooks/pipelines.

type payload struct {
	Event    string        `json:"event"`
	Agent    *agentJSON    `json:"agent,omitempty"`
	Build    *buildJSON    `json:"build,omitempty"`
	Job      *jobJSON      `json:"job,omitempty"`
	Pipeline *pipelineJSON `json:"pipeline,omitempty"`
	Sender   senderJSON    `json:"sender"`
}

type senderJSON struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type buildJSON struct {
	ID            string           `json:"id"`
	GraphqlID     string           `json:"graphql_id"`
	URL           string           `json:"url"`
	WebURL        string           `json:"web_url"`
	Number        int64            `json:"number"`
	State         string           `json:"state"`
	CancelReason  *string          `json:"cancel_reason"`
	Blocked       bool             `json:"blocked"`
	BlockedState  string           `json:"blocked_state"`
	Message       string           `json:"message"`
	Commit        string           `json:"commit"`
	Branch        string           `json:"branch"`
	Tag           *string          `json:"tag"`
	Env           envJSON          `json:"env"`
	Source        string           `json:"source"`
	Author        authorJSON       `json:"author"`
	Creator       *creatorJSON     `json:"creator"`
	CreatedAt     stamp            `json:"created_at"`
	ScheduledAt   stamp            `json:"scheduled_at"`
	StartedAt     stamp            `json:"started_at"`
	FinishedAt    stamp            `json:"finished_at"`
	MetaData      metaDataJSON     `json:"meta_data"`
	PullRequest   *pullRequestJSON `json:"pull_request"`
	RebuiltFrom   *originJSON      `json:"rebuilt_from"`
	TriggeredFrom *triggeredFrom   `json:"triggered_from"`
	ClusterID     string           `json:"cluster_id"`
	ClusterURL    string           `json:"cluster_url"`
}

type envJSON struct {
	ReleasePublic string `json:"RELEASE_PUBLIC,omitempty"`
	DeployToken   string `json:"DEPLOY_TOKEN,omitempty"`
}

type authorJSON struct {
	Username string `json:"username"`
	Name     string `json:"name"`
	Email    string `json:"email"`
}

type creatorJSON struct {
	ID        string `json:"id"`
	GraphqlID string `json:"graphql_id"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	AvatarURL string `json:"avatar_url"`
	CreatedAt stamp  `json:"created_at"`
}

type metaDataJSON struct {
	Commit string `json:"buildkite:git:commit"`
}

type pullRequestJSON struct {
	ID         string `json:"id"`
	Base       string `json:"base"`
	Repository string `json:"repository"`
}

type originJSON struct {
	ID     string `json:"id"`
	Number int64  `json:"number"`
	URL    string `json:"url"`
	WebURL string `json:"web_url,omitempty"`
}

type triggeredFrom struct {
	BuildID       string `json:"build_id"`
	BuildNumber   int64  `json:"build_number"`
	BuildPipeline string `json:"build_pipeline_slug"`
}

type jobJSON struct {
	ID                 string       `json:"id"`
	GraphqlID          string       `json:"graphql_id"`
	Type               string       `json:"type"`
	Name               *string      `json:"name"`
	StepKey            string       `json:"step_key"`
	Step               stepJSON     `json:"step"`
	Priority           *numberJSON  `json:"priority,omitempty"`
	AgentQueryRules    []string     `json:"agent_query_rules,omitempty"`
	State              string       `json:"state"`
	BuildURL           string       `json:"build_url"`
	WebURL             string       `json:"web_url"`
	LogURL             string       `json:"log_url,omitempty"`
	RawLogURL          string       `json:"raw_log_url,omitempty"`
	ArtifactsURL       string       `json:"artifacts_url,omitempty"`
	Command            string       `json:"command,omitempty"`
	ArtifactPaths      string       `json:"artifact_paths,omitempty"`
	SoftFailed         bool         `json:"soft_failed"`
	ExitStatus         *int         `json:"exit_status"`
	SignalReason       *string      `json:"signal_reason"`
	CreatedAt          stamp        `json:"created_at"`
	ScheduledAt        stamp        `json:"scheduled_at"`
	RunnableAt         stamp        `json:"runnable_at"`
	StartedAt          stamp        `json:"started_at"`
	FinishedAt         stamp        `json:"finished_at"`
	ExpiredAt          stamp        `json:"expired_at"`
	Retried            bool         `json:"retried"`
	RetriedInJobID     *string      `json:"retried_in_job_id"`
	RetriesCount       *int         `json:"retries_count"`
	RetrySource        *retryJSON   `json:"retry_source"`
	RetryType          *string      `json:"retry_type"`
	ParallelGroupIndex *int         `json:"parallel_group_index"`
	ParallelGroupTotal *int         `json:"parallel_group_total"`
	Matrix             *matrix      `json:"matrix"`
	Agent              *agentJSON   `json:"agent"`
	Async              *bool        `json:"async,omitempty"`
	TriggeredBuild     *originJSON  `json:"triggered_build,omitempty"`
	UnblockedBy        *creatorJSON `json:"unblocked_by,omitempty"`
	UnblockedAt        stamp        `json:"unblocked_at,omitzero"`
	Unblockable        *bool        `json:"unblockable,omitempty"`
	ClusterID          string       `json:"cluster_id"`
	ClusterURL         string       `json:"cluster_url"`
	ClusterQueueID     *string      `json:"cluster_queue_id"`
}

type stepJSON struct {
	ID        string  `json:"id"`
	Signature *string `json:"signature"`
}

type numberJSON struct {
	Number int `json:"number"`
}

type retryJSON struct {
	JobID     string `json:"job_id"`
	RetryType string `json:"retry_type"`
}

type agentJSON struct {
	ID                string       `json:"id"`
	GraphqlID         string       `json:"graphql_id"`
	URL               string       `json:"url"`
	WebURL            string       `json:"web_url"`
	Name              string       `json:"name"`
	ConnectionState   string       `json:"connection_state"`
	Hostname          string       `json:"hostname"`
	IPAddress         string       `json:"ip_address"`
	UserAgent         string       `json:"user_agent"`
	Version           string       `json:"version"`
	Creator           *creatorJSON `json:"creator"`
	CreatedAt         stamp        `json:"created_at"`
	ConnectedAt       stamp        `json:"connected_at"`
	DisconnectedAt    stamp        `json:"disconnected_at"`
	LostAt            stamp        `json:"lost_at"`
	StoppingAt        stamp        `json:"stopping_at"`
	LastJobFinishedAt stamp        `json:"last_job_finished_at"`
	Priority          int          `json:"priority"`
	MetaData          []string     `json:"meta_data"`
}

type pipelineJSON struct {
	ID                              string       `json:"id"`
	GraphqlID                       string       `json:"graphql_id"`
	URL                             string       `json:"url"`
	WebURL                          string       `json:"web_url"`
	Name                            string       `json:"name"`
	Description                     string       `json:"description"`
	Slug                            string       `json:"slug"`
	Repository                      string       `json:"repository"`
	ClusterID                       string       `json:"cluster_id"`
	PipelineTemplateUUID            *string      `json:"pipeline_template_uuid"`
	BranchConfiguration             *string      `json:"branch_configuration"`
	DefaultBranch                   string       `json:"default_branch"`
	SkipQueuedBranchBuilds          bool         `json:"skip_queued_branch_builds"`
	SkipQueuedBranchBuildsFilter    *string      `json:"skip_queued_branch_builds_filter"`
	CancelRunningBranchBuilds       bool         `json:"cancel_running_branch_builds"`
	CancelRunningBranchBuildsFilter *string      `json:"cancel_running_branch_builds_filter"`
	AllowRebuilds                   bool         `json:"allow_rebuilds"`
	Provider                        providerJSON `json:"provider"`
	BuildsURL                       string       `json:"builds_url"`
	BadgeURL                        string       `json:"badge_url"`
	CreatedBy                       *creatorJSON `json:"created_by"`
	CreatedAt                       stamp        `json:"created_at"`
	ArchivedAt                      stamp        `json:"archived_at"`
	Env                             *envJSON     `json:"env"`
	ScheduledBuildsCount            int          `json:"scheduled_builds_count"`
	RunningBuildsCount              int          `json:"running_builds_count"`
	ScheduledJobsCount              int          `json:"scheduled_jobs_count"`
	RunningJobsCount                int          `json:"running_jobs_count"`
	WaitingJobsCount                int          `json:"waiting_jobs_count"`
	Visibility                      string       `json:"visibility"`
	Tags                            []string     `json:"tags"`
	Configuration                   string       `json:"configuration"`
}

type providerJSON struct {
	ID         string           `json:"id"`
	Settings   providerSettings `json:"settings"`
	WebhookURL string           `json:"webhook_url"`
}

type providerSettings struct {
	TriggerMode                             string  `json:"trigger_mode"`
	BuildPullRequests                       bool    `json:"build_pull_requests"`
	PullRequestBranchFilterEnabled          bool    `json:"pull_request_branch_filter_enabled"`
	SkipBuildsForExistingCommits            bool    `json:"skip_builds_for_existing_commits"`
	SkipPullRequestBuildsForExistingCommits bool    `json:"skip_pull_request_builds_for_existing_commits"`
	BuildPullRequestReadyForReview          bool    `json:"build_pull_request_ready_for_review"`
	BuildPullRequestForks                   bool    `json:"build_pull_request_forks"`
	PrefixPullRequestForkBranchNames        bool    `json:"prefix_pull_request_fork_branch_names"`
	BuildBranches                           bool    `json:"build_branches"`
	BuildTags                               bool    `json:"build_tags"`
	CancelDeletedBranchBuilds               bool    `json:"cancel_deleted_branch_builds"`
	PublishCommitStatus                     bool    `json:"publish_commit_status"`
	PublishCommitStatusPerStep              bool    `json:"publish_commit_status_per_step"`
	SeparatePullRequestStatuses             bool    `json:"separate_pull_request_statuses"`
	PublishBlockedAsPending                 bool    `json:"publish_blocked_as_pending"`
	FilterEnabled                           bool    `json:"filter_enabled"`
	FilterCondition                         *string `json:"filter_condition"`
	Repository                              string  `json:"repository"`
}

// stamp is a time as Buildkite writes it; the zero stamp is null.
type stamp struct{ time.Time }

// MarshalJSON writes milliseconds.
func (s stamp) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte("null"), nil
	}
	return s.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}
