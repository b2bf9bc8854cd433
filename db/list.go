package db

import "strings"

// newest says how a backend sorts builds by age; one without a time is oldest.
type newest struct {
	created string // when a build was created
	given   string // an argument that stands for such a time, or null; % is its name
}

// order ends a list.
func (n newest) order(limit string) string {
	return ` ORDER BY ` + n.created + ` DESC, id DESC LIMIT ` + limit
}

// find returns what follows FROM builds for Store.Find, and its arguments.
func (n newest) find(organization, pipeline string, number int64) (string, []any) {
	where, args := `WHERE number = $1`, []any{number}
	if organization != "" {
		where += ` AND organization = ` + placeholder(&args, clean(organization, maxName))
	}
	if pipeline != "" {
		where += ` AND pipeline = ` + placeholder(&args, clean(pipeline, maxName))
	}
	return where + n.order(placeholder(&args, defaultPage)), args
}

// list returns what follows FROM builds for Store.List, and its arguments;
// before is q.BeforeCreated as the backend stores it.
func (n newest) list(q ListQuery, before any) (string, []any) {
	where, args := `WHERE true`, []any(nil)
	for _, f := range []struct{ term, value string }{
		{"organization", clean(q.Organization, maxName)},
		{"pipeline", clean(q.Pipeline, maxName)},
		{"branch || ''", clean(q.Branch, maxBranch)}, // as its index has it,
		{"state", clean(q.State, maxName)},
	} {
		if f.value != "" {
			where += ` AND ` + f.term + ` = ` + placeholder(&args, f.value)
		}
	}
	if q.BeforeID != "" {
		where += ` AND (` + n.created + `, id) < (` + strings.Replace(n.given, "%", placeholder(&args, before), 1) + `, ` +
			placeholder(&args, clean(q.BeforeID, maxName)) + `)`
	}
	return where + n.order(placeholder(&args, pageSize(q.Limit))), args
}

// branch is the query of Store.Branch for rowColumns; branchArgs are its
// arguments.
func (n newest) branch() string {
	const of = ` FROM builds WHERE organization = $1 AND pipeline = $2 AND branch = $3 `
	// Of builds with one number only the newest counts. It is looked up for one
	// candidate after the other, in the order of the index and until one is right: a
	// join, or another order, would look at the whole branch.
	current := ` AND id = (SELECT later.id FROM builds later
		WHERE later.organization = $1 AND later.pipeline = $2 AND later.branch = $3 AND later.number = builds.number
		ORDER BY ` + strings.ReplaceAll(n.created, "created_at", "later.created_at") + ` DESC, later.id DESC LIMIT 1) `
	return `WITH stop AS (
			SELECT number, ` + n.created + ` AS created, id` + of + `AND number > $5 AND class = 2` + current + `ORDER BY number LIMIT 1
		), part AS (
			SELECT * FROM (
				SELECT ` + rowColumns + of + `AND number < $4 AND class <> 0` + current + `
				ORDER BY number DESC LIMIT 1) AS nearest
			UNION ALL
			SELECT ` + rowColumns + of + `AND number >= $4
				AND number <= coalesce((SELECT number FROM stop), 9223372036854775807)
				AND coalesce((number, ` + n.created + `, id) < (SELECT number, created, id FROM stop), true)
		)
		SELECT ` + rowColumns + ` FROM part ORDER BY number, ` + n.created + `, id`
}

func branchArgs(q BranchQuery) []any {
	return []any{clean(q.Organization, maxName), clean(q.Pipeline, maxName), clean(q.Branch, maxBranch), q.From, q.To}
}
