package db

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// Job is work that follows from a batch and is done once, in the background, by
// whichever process works on its kind.
type Job struct {
	// Kind is what is to be done: letters, digits and _.
	Kind string
	// Key is what it is done for. There is one job of a kind and key, ever: until
	// jobsKept after it ended a second one is no job.
	Key string
}

// Attempt is one attempt at a job.
type Attempt struct {
	Key string
	// Number counts from 1. What came of the attempts before may be unknown: their
	// process may have died.
	Number int
	// Last: when it fails the job is given up.
	Last bool
}

// WorkOptions say what a process does of the jobs.
type WorkOptions struct {
	Kind string
	// Do makes an attempt. One that fails is made again after 1, 16, 81, 256 …
	// seconds, 25 times in all. Its context ends after jobTimeout, and when the
	// process has to stop.
	Do func(ctx context.Context, a Attempt) error
	// AtOnce is how many attempts are made at once; 0 is 1.
	AtOnce int
	// Poll is how often jobs are looked for; 0 is every second. RetryAfter, if not
	// nil, is how long to wait after the nth attempt.
	Poll       time.Duration
	RetryAfter func(attempt int) time.Duration
	Logger     *slog.Logger // nil logs nothing
}

const (
	// jobTimeout bounds an attempt. One that did not end long after, because its
	// process died, is made again.
	jobTimeout = 4 * time.Minute
	jobRescue  = 5 * time.Minute
	// jobsKept is as long as builds are kept, unless configured otherwise: a build
	// that is forgotten has no job twice either.
	jobsKept = 400 * 24 * time.Hour
	// jobsGrace bounds how long attempts under way are waited for at the end.
	jobsGrace = 8 * time.Second
	jobsPoll  = time.Second
)

// jobArgs is a job as River has it.
type jobArgs struct {
	kind string
	Key  string `json:"key"`
}

// Kind is river.JobArgs.
func (a jobArgs) Kind() string { return a.kind }

// newJobs returns River as far as Commit needs it: it adds jobs and starts nothing.
func newJobs[T any](driver riverdriver.Driver[T]) (*river.Client[T], error) {
	client, err := river.NewClient(driver, &river.Config{
		Logger: slog.New(slog.DiscardHandler),
		// Adding jobs notifies once in this time. Nobody listens, and a NOTIFY
		// has commits all over a PostgreSQL wait for one another.
		FetchCooldown: time.Hour, FetchPollInterval: time.Hour,
	})
	if err != nil {
		return nil, fmt.Errorf("open the job queue: %w", err)
	}
	return client, nil
}

// insertions returns jobs, each once, as River adds them.
func insertions(jobs []Job) []river.InsertManyParams {
	once := make(map[Job]bool, len(jobs))
	params := make([]river.InsertManyParams, 0, len(jobs))
	for _, j := range jobs {
		j.Key = clean(j.Key, maxName)
		if once[j] {
			continue
		}
		once[j] = true
		params = append(params, river.InsertManyParams{
			Args: jobArgs{kind: j.Kind, Key: j.Key},
			InsertOpts: &river.InsertOpts{
				Queue: j.Kind, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: rivertype.JobStates()},
			},
		})
	}
	return params
}

// migrateJobs brings River's tables up to date.
func migrateJobs[T any](ctx context.Context, driver riverdriver.Driver[T]) error {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// work makes attempts until ctx ends, and returns when none is under way.
func work[T any](ctx context.Context, driver riverdriver.Driver[T], o WorkOptions) error {
	workers := river.NewWorkers()
	river.AddWorkerArgs(workers, jobArgs{kind: o.Kind}, &jobWorker{o: o})
	logger := slog.New(slog.DiscardHandler)
	if o.Logger != nil {
		logger = slog.New(warnings{o.Logger.Handler()})
	}
	poll := cmp.Or(o.Poll, jobsPoll)
	client, err := river.NewClient(driver, &river.Config{
		Workers: workers,
		Queues:  map[string]river.QueueConfig{o.Kind: {MaxWorkers: max(1, o.AtOnce)}},
		// A pooler in front of PostgreSQL does not pass notifications on.
		PollOnly: true, FetchPollInterval: poll, FetchCooldown: min(poll, river.FetchCooldownDefault),
		JobTimeout: jobTimeout, RescueStuckJobsAfter: jobRescue, SoftStopTimeout: jobsGrace,
		CompletedJobRetentionPeriod: jobsKept, DiscardedJobRetentionPeriod: jobsKept, CancelledJobRetentionPeriod: jobsKept,
		Logger: logger,
	})
	if err != nil {
		return fmt.Errorf("work on jobs: %w", err)
	}
	if err := client.Start(ctx); err != nil {
		return fmt.Errorf("work on jobs: %w", err)
	}
	<-client.Stopped()
	return nil
}

// warnings leaves out what River says of every attempt: whoever makes it says it
// better.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// jobWorker has the jobs of one kind done.
type jobWorker struct {
	river.WorkerDefaults[jobArgs]
	o WorkOptions
}

// Work is river.Worker.
func (w *jobWorker) Work(ctx context.Context, job *river.Job[jobArgs]) error {
	return w.o.Do(ctx, Attempt{Key: job.Args.Key, Number: job.Attempt, Last: job.Attempt >= job.MaxAttempts})
}

// NextRetry is river.Worker.
func (w *jobWorker) NextRetry(job *river.Job[jobArgs]) time.Time {
	if w.o.RetryAfter == nil {
		return time.Time{} // River's own
	}
	return time.Now().Add(w.o.RetryAfter(job.Attempt))
}

const jobsWaiting = `SELECT count(*) FROM river_job WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled')`
