package db

import (
	"context"

	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// Work is Store.Work.
func (s *SQLite) Work(ctx context.Context, o WorkOptions) error {
	return work(ctx, riversqlite.New(s.writer), o)
}

// CountJobs is Store.CountJobs.
func (s *SQLite) CountJobs(ctx context.Context) (int64, error) {
	return s.count(ctx, "count jobs", jobsWaiting)
}
