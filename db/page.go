package db

import (
	"errors"
	"strconv"

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
	return where + ` ORDER BY position LIMIT ` + placeholder(&args, pageSize(q.Limit)), args
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// errPageFull: the page holds maxRead bytes of data.
var errPageFull = errors.New("the page is full")

// eventPage collects events until their data is maxRead bytes. What comes after
// is left to the next page, however well it was compressed.
type eventPage struct {
	events []stream.Event
	bytes  int
}

// add takes an event with its packed payload. After errPageFull no more may be
// added. A payload that was damaged must not hide the events around it: its
// event has no data.
func (p *eventPage) add(e stream.Event, payload []byte) error {
	size, err := s2.DecodedLen(payload)
	if err == nil && size <= maxPayload {
		if p.bytes += size; p.bytes > maxRead && len(p.events) > 0 {
			return errPageFull
		}
		if e.Data, err = unpack(payload); err != nil {
			e.Data = nil
		}
	}
	e.Time = e.Time.UTC()
	p.events = append(p.events, e)
	return nil
}
