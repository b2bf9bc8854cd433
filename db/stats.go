package db

import (
	"strings"
	"time"
)

// FinishedQuery selects builds that finished from From on and before To. AfterID
// continues behind that row of a page, whose FinishedAt From is then.
type FinishedQuery struct {
	From, To time.Time
	AfterID  string
	Limit    int
}

// Incident is a row of failed builds of a branch that has ended.
type Incident struct {
	Organization, Pipeline, Branch string
	// Began is when the first of them finished, Ended when the build did that passed.
	Began, Ended time.Time
}

// Tally is what was counted of the builds that finished on a day: of all where the
// names are empty, of a pipeline's, or of a branch's.
type Tally struct {
	Day                            time.Time // its start, UTC
	Organization, Pipeline, Branch string
	Builds                         int64
	Data                           []byte
}

// DayTallies are all tallies of a day.
type DayTallies struct {
	// Cursor names the reader that counted them, in Generation.
	Cursor, Generation string
	Day                time.Time // its start, UTC
	// Format is the version of their data.
	Format  int
	Tallies []Tally
}

// TallyQuery selects the tallies of one kind, from a day on.
type TallyQuery struct {
	Organization, Pipeline, Branch string
	Since                          time.Time
	// Format is the version of their data.
	Format int
}

// oneDay is a day of UTC.
const oneDay = 24 * time.Hour

// Days that are counted: a payload may claim any.
var (
	firstDay = time.Unix(0, 0).UTC()
	lastDay  = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// staleAll is what StaleAll does to the tallies: no day has so many builds.
const staleAll = `UPDATE tallies SET builds = -1 WHERE organization = '' AND pipeline = '' AND branch = ''`

// daysOf returns the days of times, each once, in no order.
func daysOf(times []time.Time) []time.Time {
	seen := make(map[time.Time]bool)
	var days []time.Time
	for _, t := range times {
		if day := t.UTC().Truncate(oneDay); !seen[day] && !day.Before(firstDay) && !day.After(lastDay) {
			seen[day] = true
			days = append(days, day)
		}
	}
	return days
}

// finished follows FROM builds for Store.Finished. Its arguments are From, To,
// AfterID and the limit.
const finished = `WHERE finished_at >= $1 AND finished_at < $2 AND (finished_at, id) > ($1, $3) ORDER BY finished_at, id LIMIT $4`

// incidents is the query of Store.Incidents, from $1 on and before $2: of each build
// that passed the nearest decided one before it, and if that failed, the first of its
// row.
func (n newest) incidents() string {
	return `SELECT p.organization, p.pipeline, p.branch, f.finished_at, p.finished_at
		FROM builds p
		JOIN builds l ON l.id = (SELECT b.id FROM builds b WHERE ` + sameBranch("b", "p") + `
			AND b.number < p.number AND b.class <> 0 AND ` + n.current("b") + ` ORDER BY b.number DESC LIMIT 1)
		JOIN builds f ON f.id = (SELECT b.id FROM builds b WHERE ` + sameBranch("b", "l") + `
			AND b.number = l.first_failed AND ` + n.current("b") + ` LIMIT 1)
		WHERE p.finished_at >= $1 AND p.finished_at < $2 AND p.class = 2 AND ` + n.current("p") + `
			AND l.class = 1 AND f.finished_at < p.finished_at
		ORDER BY p.finished_at, p.id`
}

// touched is the query of Store.TouchedDays; these selects ids. What is looked up of
// each build is no join: that might look at all of them.
func (n newest) touched(these string) string {
	return `SELECT at FROM (
			SELECT finished_at AS at FROM builds WHERE id ` + these + `
			UNION
			SELECT (SELECT p.finished_at FROM builds p WHERE ` + sameBranch("p", "b") + `
				AND p.number > b.number AND p.class = 2 AND ` + n.current("p") + ` ORDER BY p.number LIMIT 1)
			FROM builds b WHERE b.id ` + these + `
		) AS times WHERE at IS NOT NULL`
}

func sameBranch(x, y string) string {
	return strings.NewReplacer("x.", x+".", "y.", y+".").Replace(`x.organization = y.organization AND x.pipeline = y.pipeline AND x.branch = y.branch`)
}

// current selects of the builds of one number the newest.
func (n newest) current(alias string) string {
	age := func(of string) string {
		return `(` + strings.ReplaceAll(n.created, "created_at", of+".created_at") + `, ` + of + `.id)`
	}
	return `NOT EXISTS (SELECT 1 FROM builds later WHERE ` + sameBranch("later", alias) + ` AND later.number = ` + alias + `.number AND ` +
		age("later") + ` > ` + age(alias) + `)`
}
