package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Partitions are made for today and daysAhead more, so that no append waits for
// one at midnight, and again each aheadInterval.
const (
	daysAhead     = 3
	aheadInterval = time.Hour
)

// makePartitions makes those that a batch lacks: today's of its teams, and those
// its builds are stamped with.
func (p *Postgres) makePartitions(ctx context.Context, batch []entry) error {
	teams := make(map[string]bool)
	var builds []string
	for i := range batch {
		teams[batch[i].Team] = true
		if batch[i].BuildID != "" {
			builds = append(builds, batch[i].BuildID)
		}
	}
	names := make([]string, 0, len(teams))
	for team := range teams {
		names = append(names, team)
	}
	if err := p.ensurePartitions(ctx, names, builds); err != nil {
		return err
	}
	for _, team := range names {
		p.teams.Store(team, nil)
	}
	return nil
}

// makeAhead makes the coming days' partitions of all teams seen.
func (p *Postgres) makeAhead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, longTimeout)
	defer cancel()
	var teams []string
	p.teams.Range(func(team, _ any) bool {
		teams = append(teams, team.(string))
		return true
	})
	return p.ensurePartitions(ctx, teams, nil)
}

// keepAhead runs until ctx ends.
func (p *Postgres) keepAhead(ctx context.Context) {
	defer close(p.aheadEnded)
	tick := time.NewTicker(aheadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Not fatal: an append makes what it lacks.
			if err := p.makeAhead(ctx); err != nil && ctx.Err() == nil {
				p.logger.Warn("event partitions could not be made ahead", "error", err)
			}
		}
	}
}

func (p *Postgres) ensurePartitions(ctx context.Context, teams, builds []string) error {
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		// Another replica may be at it; attaching waits for an analyze.
		if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $1, true)`,
			milliseconds(longTimeout)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `SELECT ensure_partitions($1, $2, $3)`, teams, builds, daysAhead)
		return err
	})
	if err != nil {
		return fmt.Errorf("make event partitions: %w", err)
	}
	return nil
}
