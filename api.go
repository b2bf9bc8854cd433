package buildtracker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/stream"
)

// buildReader is what the API reads of builds.
type buildReader interface {
	Find(ctx context.Context, organization, pipeline string, number int64) ([]db.Row, error)
	List(ctx context.Context, q db.ListQuery) ([]db.Row, error)
	Notices(ctx context.Context, buildIDs []string) ([]db.Notice, error)
	NextSeqs(ctx context.Context, buildIDs []string) (map[string]int64, error)
}

// eventLog is the stream, as the API reads it.
type eventLog interface {
	ReadAll(ctx context.Context, q db.ReadQuery) ([]stream.Event, error)
	ReadBuild(ctx context.Context, buildID string, from int64, limit int) ([]stream.Event, error)
	LastTold(ctx context.Context, buildID string) (stream.Event, error)
	Unread(ctx context.Context, cursor, organization, pipeline string, number int64) (string, error)
	Head(ctx context.Context) (int64, error)
	Dropped(ctx context.Context) (int64, error)
}

// api answers the reading routes.
type api struct {
	builds buildReader
	stream eventLog
	live   *live
	access access
}

// buildAnswer is a build as the API shows it.
type buildAnswer struct {
	build.View
	Notices []noticeAnswer `json:"notices"`
}

type noticeAnswer struct {
	Kind    string    `json:"kind"`
	Channel string    `json:"channel"`
	TS      string    `json:"ts"`
	SentAt  time.Time `json:"sent_at"`
}

func (a *api) build(w http.ResponseWriter, r *http.Request) error {
	row, err := a.find(r)
	if err != nil {
		return err
	}
	answers, err := a.answers(r.Context(), []db.Row{row})
	if err != nil {
		return err
	}
	return writeJSON(w, answers[0])
}

// find returns the row at the address in the path.
func (a *api) find(r *http.Request) (db.Row, error) {
	row, unread, err := a.look(r)
	if unread != "" {
		return row, fail(http.StatusNotFound, "This build was recorded, and what it comes to is not known yet. Ask again in a moment, or look at its events.")
	}
	return row, err
}

// findEvents is find for who wants events: those of a build that the tracker has
// not come to are there too. The row has no more than the id then.
func (a *api) findEvents(r *http.Request) (db.Row, error) {
	row, unread, err := a.look(r)
	if unread != "" {
		row = db.Row{ID: unread, Status: build.Running}
	}
	return row, err
}

// look returns the row at the address in the path, or else the id of a build that
// the tracker has not read of.
func (a *api) look(r *http.Request) (row db.Row, unread string, err error) {
	organization, pipeline := r.PathValue("organization"), r.PathValue("pipeline")
	number, err := strconv.ParseInt(r.PathValue("number"), 10, 64)
	if err != nil || number < 1 {
		return row, "", fail(http.StatusBadRequest, "A build's number is a whole number from 1.")
	}
	// Again: between the first look and that at the events it may have come to it.
	for range 2 {
		rows, err := a.builds.Find(r.Context(), organization, pipeline, number)
		if err != nil {
			return row, "", unavailable("The database did not answer. Try again.", err)
		}
		if len(rows) > 0 {
			return rows[0], "", nil
		}
		unread, err := a.stream.Unread(r.Context(), trackerCursor, organization, pipeline, number)
		if err != nil {
			return row, "", unavailable("The database did not answer. Try again.", err)
		}
		if unread != "" {
			return row, unread, nil
		}
	}
	return row, "", fail(http.StatusNotFound, "No such build was seen. Look at /api/builds for those that were.")
}

// answers decodes rows and puts their notices with them.
func (a *api) answers(ctx context.Context, rows []db.Row) ([]buildAnswer, error) {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	notices, err := a.builds.Notices(ctx, ids)
	if err != nil {
		return nil, unavailable("The database did not answer. Try again.", err)
	}
	next, err := a.builds.NextSeqs(ctx, ids)
	if err != nil {
		return nil, unavailable("The database did not answer. Try again.", err)
	}
	byBuild := make(map[string][]noticeAnswer)
	for _, n := range notices {
		if !n.SentAt.IsZero() && n.Channel != "" {
			byBuild[n.BuildID] = append(byBuild[n.BuildID], noticeAnswer{n.Kind, n.Channel, n.TS, n.SentAt.UTC()})
		}
	}
	answers := make([]buildAnswer, len(rows))
	for i, r := range rows {
		answers[i] = buildAnswer{View: viewOf(r), Notices: byBuild[r.ID]}
		if answers[i].Notices == nil {
			answers[i].Notices = []noticeAnswer{}
		}
		if n := next[r.ID]; n > 0 { // the snapshot knows only what was delivered
			answers[i].LastSeq = n - 1
		}
	}
	return answers, nil
}

// viewOf returns a row's build as users see it. Of one whose snapshot is damaged
// it is what the columns say: 'build-tracker rebuild' mends it.
func viewOf(r db.Row) build.View {
	b, err := build.Decode(r.Snapshot)
	if err == nil {
		return b.View()
	}
	b = build.New(r.ID, r.Organization, r.Pipeline, r.Number)
	b.Branch.V, b.State, b.CreatedAt, b.Streak = r.Branch, r.State, r.CreatedAt, r.Streak
	v := b.View()
	v.Status = r.Status
	if !r.FinishedAt.IsZero() {
		v.FinishedAt = &r.FinishedAt
	}
	return v
}

const (
	defaultPage = 50
	maxPage     = 500
)

func (a *api) list(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	q := db.ListQuery{Branch: query.Get("branch"), State: query.Get("state")}
	limit, err := intParam(query, "limit", defaultPage, 1, maxPage)
	if err != nil {
		return err
	}
	q.Limit = int(limit) + 1 // one more, to know whether there is a next page
	if q.Organization, q.Pipeline, err = pipelineParam(query); err != nil {
		return err
	}
	if c := query.Get("cursor"); c != "" {
		if q.BeforeCreated, q.BeforeID, err = parseCursor(c); err != nil {
			return fail(http.StatusBadRequest, "The cursor is not one of ours. Use next_cursor of the page before, or none.")
		}
	}
	rows, err := a.builds.List(r.Context(), q)
	if err != nil {
		return unavailable("The database did not answer. Try again.", err)
	}
	var next *string
	if len(rows) > int(limit) {
		rows = rows[:limit]
		c := cursorAfter(rows[limit-1])
		next = &c
	}
	answers, err := a.answers(r.Context(), rows)
	if err != nil {
		return err
	}
	return writeJSON(w, struct {
		Builds     []buildAnswer `json:"builds"`
		NextCursor *string       `json:"next_cursor"`
	}{answers, next})
}

// pipelineParam reads ORG/PIPELINE; without a slash it is a pipeline of any
// organization. Without the parameter both are empty.
func pipelineParam(query url.Values) (organization, pipeline string, err error) {
	text := query.Get("pipeline")
	organization, pipeline, found := strings.Cut(text, "/")
	switch {
	case !found:
		return "", text, nil
	case organization == "" || pipeline == "" || strings.Contains(pipeline, "/"):
		return "", "", fail(http.StatusBadRequest, "The parameter pipeline is ORGANIZATION/PIPELINE.")
	}
	return organization, pipeline, nil
}

func cursorAfter(r db.Row) string {
	created := ""
	if !r.CreatedAt.IsZero() {
		created = strconv.FormatInt(r.CreatedAt.UnixMicro(), 10)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(created + " " + r.ID))
}

func parseCursor(cursor string) (created time.Time, id string, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return time.Time{}, "", err
	}
	at, id, found := strings.Cut(string(text), " ")
	if !found || id == "" {
		return time.Time{}, "", strconv.ErrSyntax
	}
	if at == "" {
		return time.Time{}, id, nil
	}
	micros, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return time.Time{}, "", err
	}
	if created = time.UnixMicro(micros).UTC(); created.Year() < 1 || created.Year() > 9999 {
		return time.Time{}, "", strconv.ErrRange
	}
	return created, id, nil
}

// intParam reads a whole number between low and high.
func intParam(query url.Values, name string, byDefault, low, high int64) (int64, error) {
	text := query.Get(name)
	if text == "" {
		return byDefault, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low {
		return 0, fail(http.StatusBadRequest, fmt.Sprintf("The parameter %s is a whole number from %d.", name, low))
	}
	return min(n, high), nil
}

// debug answers a build by its number alone.
func (a *api) debug(w http.ResponseWriter, r *http.Request) error {
	number, err := strconv.ParseInt(r.PathValue("number"), 10, 64)
	if err != nil || number < 1 {
		return fail(http.StatusBadRequest, "A build's number is a whole number from 1.")
	}
	organization, pipeline, err := pipelineParam(r.URL.Query())
	if err != nil {
		return err
	}
	rows, err := a.builds.Find(r.Context(), organization, pipeline, number)
	if err != nil {
		return unavailable("The database did not answer. Try again.", err)
	}
	var candidates []string
	seen := make(map[string]bool)
	for _, row := range rows {
		if address := row.Organization + "/" + row.Pipeline; !seen[address] {
			seen[address] = true
			candidates = append(candidates, address)
		}
	}
	switch len(candidates) {
	case 0:
		return fail(http.StatusNotFound, "No build with this number was seen there. Without ?pipeline= all pipelines are looked at.")
	case 1:
	default:
		p := fail(http.StatusConflict, "Several pipelines have a build with this number. Say which: ?pipeline=ORGANIZATION/PIPELINE.")
		p.Candidates = candidates
		return p
	}
	answers, err := a.answers(r.Context(), rows[:1])
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(answers[0])
}
