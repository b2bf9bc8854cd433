package db

import (
	"fmt"
	"time"
)

// maxOrganizations bounds those that Organizations returns.
const maxOrganizations = 100

// LossQuery selects the builds that CountLosses counts: those created after
// Since. One that runs is lost when it was created before Before.
type LossQuery struct {
	Since, Before time.Time
}

// Losses are traces of webhooks that never came.
type Losses struct {
	// Gaps counts the numbers between a pipeline's lowest and highest of which there
	// is no build.
	Gaps int64
	// Unfinished counts builds that run and have done so for long.
	Unfinished int64
}

// organizations looks up one after the other: there are few, of many builds.
const organizations = `WITH RECURSIVE known (name) AS (
	SELECT min(organization) FROM builds
	UNION ALL SELECT (SELECT min(organization) FROM builds WHERE organization > known.name) FROM known WHERE known.name IS NOT NULL
) SELECT name FROM known WHERE name IS NOT NULL LIMIT $1`

const (
	reconciliation       = `SELECT state FROM reconciliations WHERE name = $1`
	setReconciliation    = `INSERT INTO reconciliations (name, state) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET state = excluded.state`
	removeReconciliation = `DELETE FROM reconciliations WHERE name = $1`
)

// losses selects Losses; oldest is the time of a build without one, as the indexes
// of builds have it.
func losses(oldest string) string {
	created := `coalesce(created_at, ` + oldest + `)`
	return fmt.Sprintf(`SELECT
		(SELECT CAST(coalesce(sum(top - bottom + 1 - numbers), 0) AS bigint) FROM (
			SELECT max(number) AS top, min(number) AS bottom, count(DISTINCT number) AS numbers
			FROM builds WHERE %[1]s > $1 GROUP BY organization, pipeline) AS pipelines),
		(SELECT count(*) FROM builds WHERE %[1]s > $1 AND %[1]s < $2 AND status = 'running')`, created)
}
