package db

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/s2"

	"github.com/build-tracker/build-tracker/stream"
)

// Limits of a page; a caller that names none gets defaultPage.
const (
	defaultPage = 1000
	maxPage     = 10000
)

func pageSize(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}

// placeholder adds an argument and returns its name in a query.
func placeholder(args *[]any, value any) string {
	*args = append(*args, value)
	return "$" + strconv.Itoa(len(*args))
}

// ours are the types of stream.Ours, as a list in SQL.
var ours = "'" + strings.Join(stream.OurTypes(), "', '") + "'"

// readClauses are what follows FROM events for q, with arguments after args.
func readClauses(q ReadQuery, args []any) (string, []any) {
	where := `WHERE position > ` + placeholder(&args, q.After)
	if q.UpTo != 0 {
		where += ` AND position <= ` + placeholder(&args, q.UpTo)
	}
	if q.Organization != "" && q.Pipeline != "" {
		where += ` AND organization = ` + placeholder(&args, clean(q.Organization, maxName)) +
			` AND pipeline = ` + placeholder(&args, clean(q.Pipeline, maxName))
	}
	if len(q.Types) > 0 {
		types := make([]string, len(q.Types))
		for i, typ := range q.Types {
			types[i] = placeholder(&args, clean(typ, maxName))
		}
		where += ` AND type IN (` + strings.Join(types, ", ") + `)`
	}
	if q.Delivered {
		where += ` AND type NOT IN (` + ours + `)`
	}
	return where + ` ORDER BY position LIMIT ` + placeholder(&args, pageSize(q.Limit)), args
}

// ofBuild is what follows the condition on the build in a query of EachOfBuilds. It
// hides the position from the planner, which would look into that index too.
var ofBuild = ` AND seq >= $2 AND position + 0 <= $3 AND type NOT IN (` + ours + `) ORDER BY seq LIMIT $4`

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// errPageFull: the page has as much data as it may.
var errPageFull = errors.New("the page is full")

// eventPage hands events on until their data is limit bytes. What comes after
// is left to the next page, however well it was compressed.
type eventPage struct {
	limit int
	do    func(*stream.Event) error
	bytes int
	any   bool
	data  []byte // of the latest event
}

// add takes an event with its packed payload. After an error no more may be
// added. A payload that was damaged must not hide the events around it: its
// event has no data.
func (p *eventPage) add(e *stream.Event, payload []byte) error {
	e.Data = nil
	if size, err := s2.DecodedLen(payload); err == nil && size > 0 && size <= maxPayload {
		if p.bytes += size; p.bytes > p.limit && p.any {
			return errPageFull
		}
		if data, err := s2.Decode(p.data[:cap(p.data)], payload); err == nil {
			p.data, e.Data = data, data
		}
	}
	p.any = true
	e.Time = e.Time.UTC()
	return p.do(e)
}

// chunkBytes is how much data small events are kept in together: an event that is
// kept alone keeps that much.
const chunkBytes = 16 << 10

// chunks copies data into a few pieces of memory rather than one each.
type chunks []byte

func (c *chunks) clone(data []byte) []byte {
	if data == nil || len(data) > chunkBytes/4 {
		return bytes.Clone(data)
	}
	if cap(*c)-len(*c) < len(data) {
		*c = make([]byte, 0, chunkBytes)
	}
	begin := len(*c)
	*c = append(*c, data...)
	return (*c)[begin:len(*c):len(*c)]
}

// kept returns the events that each hands on, with data of their own.
func kept(each func(do func(*stream.Event) error) error) ([]stream.Event, error) {
	var events []stream.Event
	var data chunks
	err := each(func(e *stream.Event) error {
		e.Data = data.clone(e.Data)
		if len(events) == cap(events) {
			events = slices.Grow(events, max(4, 3*len(events)))
		}
		events = append(events, *e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}
