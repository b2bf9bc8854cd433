// Package db holds all SQL: the event log with its group commit, the tracker's
// batch as one transaction, build rows, notices and cursors, on PostgreSQL and
// on SQLite.
//
// Order. One row, stream_head, is locked last in an append's transaction and
// held until its commit. So the order of positions is the order of commits over
// all replicas, and a reader that remembers a position has seen all before it.
//
// Durability. Append returns nil after the commit is on disk: PostgreSQL
// sessions run with synchronous_commit=on, SQLite with synchronous=FULL in WAL.
package db

import (
	"context"
	"errors"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/stream"
)

// Errors that callers test with errors.Is. Any other error means that the
// store could not be reached or did not answer in time: try again later.
var (
	// ErrFull: more deliveries wait for a commit than the queue holds.
	ErrFull = errors.New("the append queue is full")
	// ErrRefused: the store cannot hold this delivery, now or later.
	ErrRefused = errors.New("the store refuses this delivery")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("the store is closed")
	// ErrFenced: the cursor is not where the batch started. Another tracker, or
	// a rebuild, was here.
	ErrFenced = errors.New("the cursor has moved")
	// ErrLostClaim: the claim ended and another sender may have the notice.
	ErrLostClaim = errors.New("the claim on the notice is lost")
	// ErrLocked: another process has the data directory.
	ErrLocked = errors.New("the data directory is in use by another process")
	// ErrNoStore: nothing was ever recorded in the data directory.
	ErrNoStore = errors.New("there is no event store")
)

// Store is one event store. PostgreSQL and SQLite implement it alike; package
// dbtest holds them to it. Consumers ask for the few methods they use. A limit
// is at most 10000; 0 is 1000.
type Store interface {
	// Append makes one delivery durable and returns where it stands. Calls that
	// arrive while a commit runs share the next one. A delivery whose key is
	// known already is a duplicate: nothing is written. When ctx ends first the
	// outcome is unknown: the delivery may still be recorded.
	Append(ctx context.Context, d Delivery) (Appended, error)

	// Head returns the highest position committed; 0 for an empty stream.
	Head(ctx context.Context) (int64, error)
	// ReadAll returns events with a position above after, in order, at most
	// limit, and fewer when their data exceeds a few MiB; none means there are none.
	ReadAll(ctx context.Context, q ReadQuery) ([]stream.Event, error)
	// Each calls do for the events that ReadAll would return, and for more data of
	// them at once, because it keeps none: an event and its Data are do's until it
	// returns. It ends with do's error, wrapped.
	Each(ctx context.Context, q ReadQuery, do func(*stream.Event) error) error
	// ReadBuild returns a build's events from seq from on, in order, likewise.
	ReadBuild(ctx context.Context, buildID string, from int64, limit int) ([]stream.Event, error)
	// EachOfBuilds calls do, as Each does, for the events of builds that Buildkite
	// sent: the first build's in order, then the next one's.
	EachOfBuilds(ctx context.Context, builds []BuildQuery, do func(*stream.Event) error) error
	// LastTold returns the latest event of a build that Buildkite sent, or that
	// tells its status; the zero Event when none of its last 500 is one.
	LastTold(ctx context.Context, buildID string) (stream.Event, error)
	// StatusBefore returns the last status event of a build with a seq below seq; the
	// zero Event for none.
	StatusBefore(ctx context.Context, buildID string, seq int64) (stream.Event, error)
	// Unread returns the id of the latest build at an address of which a cursor has not
	// read all events; empty for none.
	Unread(ctx context.Context, cursor, organization, pipeline string, number int64) (string, error)
	// NextSeqs returns the seqs that the next events of these builds get; none for a
	// build of which nothing was recorded.
	NextSeqs(ctx context.Context, buildIDs []string) (map[string]int64, error)
	// Dropped returns the highest position that retention has dropped, or is about
	// to drop; 0 for none. Events below it may be missing, those above are all there.
	Dropped(ctx context.Context) (int64, error)
	// Retain removes what is older than q says. What it returns was removed also
	// where it fails; the rest is left to the next call, which finishes what one that
	// was cut off had begun. Of several calls one does it, and the others return at once.
	Retain(ctx context.Context, q RetainQuery) (Retained, error)

	// Cursor returns where a named reader stands; a new one is at 0, without a
	// generation.
	Cursor(ctx context.Context, name string) (Cursor, error)
	// Begin starts a generation of a cursor that stands at c.Position: no batch of
	// an earlier one is committed any more, also one that is under way. ErrFenced
	// when the cursor stands elsewhere.
	Begin(ctx context.Context, name string, c Cursor) error
	// Commit writes one batch of the tracker in one transaction, if the cursor
	// stands at b.From in b.Generation. ErrFenced when it does not: nothing is written.
	Commit(ctx context.Context, b Batch) error

	// Builds returns the rows of these builds, those that exist, in no order.
	Builds(ctx context.Context, ids []string) ([]Row, error)
	// ChildIDs returns, by parent, the ids of builds whose row names that parent.
	ChildIDs(ctx context.Context, parentIDs []string) (map[string][]string, error)
	// Branch returns, in order of number, created_at and id, the rows of a branch
	// that a change at number from can influence: the nearest decided build
	// (Class not None) below from, then all with number >= from up to, and
	// without, the first with ClassPassed above to. Those two are sought among the
	// newest builds of their numbers only. Only the columns, no Snapshot.
	Branch(ctx context.Context, branches []BranchQuery) ([][]Row, error)
	// Find returns the rows at an address, the newest first, 1000 at most. An
	// empty organization or pipeline finds the number in every one.
	Find(ctx context.Context, organization, pipeline string, number int64) ([]Row, error)
	// List returns rows newest first (created_at, then id, descending).
	List(ctx context.Context, q ListQuery) ([]Row, error)
	// Recent returns, after a build id, in order of id, rows that are unfinished or finished
	// after since: what a fresh Redis is filled with.
	Recent(ctx context.Context, since time.Time, afterID string, limit int) ([]Row, error)
	// BuildIDs returns, in order and after one of them, the ids of builds that have
	// events, a row, or both.
	BuildIDs(ctx context.Context, after string, limit int) ([]string, error)
	// CountBuilds returns how many build rows there are.
	CountBuilds(ctx context.Context) (int64, error)

	// SetAside records an event that cannot be processed, with the reason.
	SetAside(ctx context.Context, position int64, reason string) error
	// CountSetAside returns how many events are set aside.
	CountSetAside(ctx context.Context) (int64, error)
	// ClearSetAside forgets those of builds, after they were rebuilt from them.
	ClearSetAside(ctx context.Context, buildIDs []string) error

	// Claim takes up to limit notices that are due (wanted above sent, not
	// claimed, next_try in the past) for ttl. Two callers never get the same
	// one while the claim lasts.
	Claim(ctx context.Context, limit int, ttl time.Duration) ([]Notice, error)
	// Extend prolongs a claim to ttl from now. ErrLostClaim if it had ended and was
	// taken over.
	Extend(ctx context.Context, n Notice, ttl time.Duration) error
	// Receipt records what was sent: sent_rev, body hash, channel, ts, and gives
	// the claim up. ErrLostClaim if another has it: then nothing is written.
	Receipt(ctx context.Context, n Notice, r Receipt) error
	// Postpone gives a claim up without a receipt, to be tried again later.
	Postpone(ctx context.Context, n Notice, p Postponement) error
	// Notices returns the notices of these builds.
	Notices(ctx context.Context, buildIDs []string) ([]Notice, error)
	// CountDue returns how many notices are wanted and not sent.
	CountDue(ctx context.Context) (int64, error)
	// OldestDue returns the lowest revision that a notice wants and does not show;
	// 0 when none is due.
	OldestDue(ctx context.Context) (int64, error)

	// Organizations returns those that builds are of, in order, at most 100.
	Organizations(ctx context.Context) ([]string, error)
	// Reconciliation returns what SetReconciliation kept last under a name; empty for
	// nothing.
	Reconciliation(ctx context.Context, name string) (state string, err error)
	// SetReconciliation keeps how far a look for lost webhooks is: valid UTF-8
	// without NUL. Empty forgets it.
	SetReconciliation(ctx context.Context, name, state string) error
	// CountLosses counts traces of webhooks that never came.
	CountLosses(ctx context.Context, q LossQuery) (Losses, error)
	// Work makes attempts at the jobs of a kind until ctx ends, then waits some
	// seconds for those under way, which it stops after. It returns earlier, with an
	// error, when it cannot begin.
	Work(ctx context.Context, o WorkOptions) error
	// CountJobs returns how many jobs have not ended.
	CountJobs(ctx context.Context) (int64, error)

	// Finished returns rows of builds by when they finished, then by id.
	Finished(ctx context.Context, q FinishedQuery) ([]Row, error)
	// Incidents returns the rows of failures that ended from a time on and before
	// another, in the order in which they did: with a build that passed, and that
	// finished later than their first one.
	Incidents(ctx context.Context, from, to time.Time) ([]Incident, error)
	// TouchedDays returns the days whose tallies these builds have a part in: on
	// which each finished, and on which the row of failures ended that it may be of.
	TouchedDays(ctx context.Context, buildIDs []string) ([]time.Time, error)
	// StaleDays returns, the latest first, the days on which not as many builds
	// finished as the tally of all in this format counts.
	StaleDays(ctx context.Context, format int) ([]time.Time, error)
	// StaleAll makes every day that was counted a stale one, and begins a generation of
	// the cursor that is nobody's.
	StaleAll(ctx context.Context, cursor string) error
	// SetTallies replaces all tallies of a day. ErrFenced when another reader has
	// begun a generation of the cursor: nothing is written.
	SetTallies(ctx context.Context, d DayTallies) error
	// Tallies returns tallies by day, at most 10000.
	Tallies(ctx context.Context, q TallyQuery) ([]Tally, error)

	// Appending says how appends go in this process. It does not wait.
	Appending() Appending
	// Ping says whether the store can take an append now.
	Ping(ctx context.Context) error
	// Close commits what waits, refuses what comes later with ErrClosed, and
	// releases everything.
	Close() error
}

// Delivery is one event to append.
type Delivery struct {
	// Key tells two sendings of one event from two events.
	Key [32]byte
	// Organization is a slug; the rest of the address is empty for an event
	// without a build.
	Organization string
	BuildID      string
	Pipeline     string
	Number       int64
	// Team owns the build's partition, and its retention. Empty is "default".
	Team string
	// Type is the event's name.
	Type string
	// Data is the payload: compact, valid JSON, secrets masked. It is the caller's
	// again when Append returns.
	Data []byte
	// Own are events of ours that follow from it. They are recorded behind it in the
	// same transaction, each unless an event of its ID was recorded before.
	Own []Own
}

// Appended says where a delivery stands.
type Appended struct {
	// Duplicate: it was recorded before; Position and Seq are 0.
	Duplicate bool
	Position  int64
	Seq       int64
}

// Appending is how appends go in this process.
type Appending struct {
	// Waiting is how many deliveries wait for a commit to begin.
	Waiting int
	// Commits counts the commits that succeeded since the start.
	Commits int64
}

// ReadQuery selects events of the whole stream.
type ReadQuery struct {
	After int64
	// UpTo, if not 0, is the last position wanted.
	UpTo  int64
	Limit int
	// Organization and Pipeline, both set, select one pipeline's.
	Organization, Pipeline string
	// Types, if there are any, are those wanted.
	Types []string
	// Delivered leaves out the events that are ours.
	Delivered bool
}

// BuildQuery selects events of a build: from seq From on, up to position UpTo, at
// most Limit.
type BuildQuery struct {
	ID    string
	From  int64
	UpTo  int64
	Limit int
}

// Cursor is where a reader stands.
type Cursor struct {
	Position int64
	// Generation names what the reader has derived up to Position and keeps
	// elsewhere.
	Generation string
	// State is what the reader needs to go on, in a form of its own: the State of
	// the last batch that had one.
	State string
}

// Batch is what the tracker writes for the events it folded.
type Batch struct {
	// Cursor names it; it moves from From to To, which may be the same.
	Cursor   string
	From, To int64
	// Generation is the cursor's.
	Generation string
	// State, if not empty, is kept beside the cursor: valid UTF-8 without NUL.
	State string
	// Rows replace the rows of these builds.
	Rows []Row
	// Wants are notices whose message should reflect Rev.
	Wants []Want
	// Jobs are done after the commit, each once.
	Jobs []Job
	// Aside are events skipped as impossible to process.
	Aside []Aside
	// Own are appended to the stream, in this order.
	Own []Own
}

// Own is an event of ours about a build. It is appended in the transaction that
// makes it true.
type Own struct {
	// ID is unlike that of any other event.
	ID           stream.ID
	Organization string
	// BuildID is empty, and Pipeline and Number with it, for an event without a build.
	BuildID  string
	Pipeline string
	Number   int64
	Type     string
	Data     []byte // compact, valid JSON
}

// Aside is an event that is set aside.
type Aside struct {
	Position int64
	Reason   string
}

// Row is a build's row: columns to query by, and its snapshot.
type Row struct {
	ID           string
	Organization string
	Pipeline     string
	Number       int64
	Branch       string
	State        string // Buildkite's
	Status       build.Status
	Class        build.Class
	Streak       build.Streak
	ParentID     string
	CreatedAt    time.Time // zero sorts as oldest
	FinishedAt   time.Time // zero for unfinished
	Rev          int64
	Snapshot     []byte // build.Encode; empty when what is stored is damaged
}

// BranchQuery names the part of a branch that Branch reads.
type BranchQuery struct {
	Organization, Pipeline, Branch string
	From, To                       int64
}

// ListQuery selects build rows. Empty fields select all.
type ListQuery struct {
	Organization, Pipeline string
	Branch, State          string
	// BeforeCreated and BeforeID continue after that row of a page.
	BeforeCreated time.Time
	BeforeID      string
	Limit         int
}

// Want asks for a notice: the message of kind for the build should reflect Rev.
type Want struct {
	BuildID string
	Kind    string
	Rev     int64
	// Create makes the notice if there is none; else only one that is there
	// is moved to Rev.
	Create bool
}

// Notice is one message, as it is wanted and as it was last sent.
type Notice struct {
	BuildID   string
	Kind      string
	WantedRev int64
	SentRev   int64
	BodyHash  []byte
	Channel   string // where it is; empty before the first send
	TS        string
	SentAt    time.Time // of the latest send or edit; zero before
	// Attempts counts failed attempts since the last receipt.
	Attempts  int
	LastError string
	// Uncertain: an attempt was begun whose outcome nobody recorded. Its message
	// may be in the channel: look before a second one is sent.
	Uncertain bool
	// Token is the claim's; a receipt needs it.
	Token int64
}

// Receipt is what was sent.
type Receipt struct {
	SentRev  int64
	BodyHash []byte
	Channel  string
	TS       string
	// Unsent: nothing had to be said, and nothing is in the channel.
	Unsent bool
	// Own are appended to the stream with it.
	Own []Own
}

// Postponement is why and for how long a notice waits.
type Postponement struct {
	Wait   time.Duration
	Reason string
	// Failed counts the attempt; a 429 does not.
	Failed bool
	// Uncertain: the message may have been accepted.
	Uncertain bool
}
