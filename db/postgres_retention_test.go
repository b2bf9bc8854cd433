package db_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/db/dbtest"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

// age moves all that was recorded into the past, into partitions of its days.
func age(t *testing.T, conn *pgx.Conn, days int) {
	t.Helper()
	execute(t, conn, `UPDATE build_seqs SET day = day - $1::integer`, days)
	execute(t, conn, `INSERT INTO build_seqs SELECT DISTINCT 'aging ' || team || day, team, day - $1::integer, 0 FROM events`, days)
	execute(t, conn, `SELECT ensure_partitions('{}', array_agg(build_id), 0) FROM build_seqs`)
	execute(t, conn, `DELETE FROM build_seqs WHERE build_id LIKE 'aging %'`)
	execute(t, conn, `UPDATE events SET day = day - $1::integer`, days)
	execute(t, conn, `UPDATE deliveries SET received_at = received_at - make_interval(days => $1)`, days)
}

func TestPostgresRetention(t *testing.T) {
	t.Parallel()
	dbtest.Retention(t, func(t *testing.T) (db.Store, dbtest.Aging) {
		url := testenv.Postgres(t)
		conn := connect(t, url)
		return openPostgres(t, url), func(t *testing.T, days int) {
			t.Helper()
			age(t, conn, days)
			// Of the days that have become empty only tests know.
			execute(t, conn, `DO $$ DECLARE p record; BEGIN
				FOR p IN SELECT * FROM event_partitions() LOOP
					IF p.day < current_date - 1 AND NOT EXISTS (SELECT FROM events e WHERE e.team = p.team AND e.day = p.day) THEN
						EXECUTE format('DROP TABLE %I', p.leaf);
					END IF;
				END LOOP; END $$`)
		}
	})
}

// oldDay is a store with two events of an old build and one of a young build, all
// read, and the table of the old ones.
func oldDay(t *testing.T, url string) (s *db.Postgres, conn *pgx.Conn, leaf string) {
	t.Helper()
	s, conn = openPostgres(t, url), connect(t, url)
	appendEvent(t, s, event("old", 0))
	appendEvent(t, s, event("old", 1))
	age(t, conn, 100)
	appendEvent(t, s, event("young", 0))
	if err := s.Commit(t.Context(), db.Batch{Cursor: "tracker", To: 3, Rows: []db.Row{{ID: "old", Rev: 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), `SELECT leaf FROM event_partitions() WHERE day < current_date - 50`).Scan(&leaf); err != nil {
		t.Fatal(err)
	}
	return s, conn, leaf
}

func keep90Days() db.RetainQuery {
	const day = 24 * time.Hour
	return db.RetainQuery{Now: time.Now(), Events: 90 * day, Builds: 4000 * day, Deliveries: 30 * day}
}

// wantOldGone wants what one more call reports of oldDay's old events, and nothing
// left of them after it.
func wantOldGone(t *testing.T, s *db.Postgres, conn *pgx.Conn) {
	t.Helper()
	got, err := s.Retain(t.Context(), keep90Days())
	if err != nil {
		t.Fatal(err)
	}
	want := []db.DroppedDay{{Team: "default", Position: 2, Events: 2}}
	if diff := cmp.Diff(want, got.Days, cmpopts.IgnoreFields(db.DroppedDay{}, "Day")); diff != "" {
		t.Errorf("dropped: %s", diff)
	}
	var tables, noted int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
			AND relname ~ '^events_.*_\d{8}$' AND right(relname, 8)::date < current_date - 50),
		(SELECT count(*) FROM dropping)`).Scan(&tables, &noted); err != nil {
		t.Fatal(err)
	}
	if tables != 0 || noted != 0 {
		t.Errorf("%d tables and %d notes are left", tables, noted)
	}
	events, err := s.ReadAll(t.Context(), db.ReadQuery{})
	if err != nil || len(events) != 1 || events[0].Position != 3 {
		t.Errorf("left: %+v, %v", events, err)
	}
	if a := appendEvent(t, s, event("old", 9)); a.Seq != 2 {
		t.Errorf("seq %d of a late event, want 2", a.Seq)
	}
}

// retainUntil runs Retain until what a query asks is true, ends its session there,
// and returns when it has come back.
func retainUntil(t *testing.T, s *db.Postgres, conn *pgx.Conn, query string, args ...any) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Retain(context.WithoutCancel(t.Context()), keep90Days())
		ended <- err
	}()
	awaitTrue(t, conn, query, args...)
	const lock = ` FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
		AND (classid::bigint << 32) | objid::bigint = hashtextextended(current_schema() || ' build-tracker retention', 0)`
	execute(t, conn, `SELECT pg_terminate_backend(pid)`+lock)
	if err := <-ended; err == nil {
		t.Error("it came to its end")
	}
	awaitTrue(t, conn, `SELECT NOT EXISTS (SELECT`+lock+`)`) // it is told before it is done
}

func awaitTrue(t *testing.T, conn *pgx.Conn, query string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		var is bool
		if err := conn.QueryRow(t.Context(), query, args...).Scan(&is); err != nil {
			t.Fatal(err)
		}
		if is {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("never true: %s", query)
		}
	}
}

func TestPostgresRetentionFinishesWhatWasCutOff(t *testing.T) {
	t.Parallel()
	const waits = `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass)`
	for name, cut := range map[string]func(t *testing.T, url string, s *db.Postgres, conn *pgx.Conn, leaf string){
		"noted": func(t *testing.T, url string, s *db.Postgres, conn *pgx.Conn, leaf string) {
			other := connect(t, url)
			execute(t, other, `BEGIN`)
			execute(t, other, `LOCK TABLE `+leaf+` IN SHARE UPDATE EXCLUSIVE MODE`)
			retainUntil(t, s, conn, waits, leaf)
			execute(t, other, `ROLLBACK`)
		},
		"pending": func(t *testing.T, url string, s *db.Postgres, conn *pgx.Conn, leaf string) {
			reader := connect(t, url)
			execute(t, reader, `BEGIN`)
			execute(t, reader, `SELECT FROM events`)
			retainUntil(t, s, conn, `SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = $1::regclass`, leaf)
			execute(t, reader, `ROLLBACK`)
		},
		"detached": func(t *testing.T, url string, s *db.Postgres, conn *pgx.Conn, leaf string) {
			other := connect(t, url)
			execute(t, other, `BEGIN`)
			execute(t, other, `LOCK TABLE set_aside IN SHARE MODE`)
			retainUntil(t, s, conn, waits, "set_aside")
			execute(t, other, `ROLLBACK`)
			var attached bool
			if err := conn.QueryRow(t.Context(), `SELECT relispartition FROM pg_class WHERE oid = $1::regclass`, leaf).Scan(&attached); err != nil || attached {
				t.Errorf("attached %v, %v", attached, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testenv.Postgres(t)
			s, conn, leaf := oldDay(t, url)
			cut(t, url, s, conn, leaf)
			var noted int
			if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM dropping`).Scan(&noted); err != nil || noted != 1 {
				t.Errorf("%d days noted, %v", noted, err)
			}
			if upTo, err := s.Dropped(t.Context()); err != nil || upTo != 2 {
				t.Errorf("dropped up to %d, %v", upTo, err)
			}
			wantOldGone(t, s, conn)
		})
	}
}

func TestPostgresRetentionKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	s, conn, leaf := oldDay(t, url)
	replica := openPostgres(t, url)
	reader := connect(t, url)
	execute(t, reader, `BEGIN`)
	execute(t, reader, `SELECT FROM events`)
	type result struct {
		db.Retained
		error
	}
	ended := make(chan result, 1)
	go func() {
		got, err := s.Retain(t.Context(), keep90Days())
		ended <- result{got, err}
	}()
	awaitTrue(t, conn, `SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = $1::regclass`, leaf)

	if got, err := replica.Retain(t.Context(), keep90Days()); err != nil || !got.Elsewhere {
		t.Errorf("another replica: %+v, %v", got, err)
	}
	appendEvent(t, replica, event("old", 2))
	appendEvent(t, s, event("new", 0))
	events, err := s.ReadAll(t.Context(), db.ReadQuery{})
	if err != nil || len(events) != 3 {
		t.Errorf("read %d events, %v", len(events), err)
	}
	select {
	case got := <-ended:
		t.Errorf("it did not wait for the reader: %+v", got)
	default:
	}
	execute(t, reader, `ROLLBACK`)
	if got := <-ended; got.error != nil || len(got.Days) != 1 || got.Days[0].Events != 2 {
		t.Errorf("dropped %+v", got)
	}
}

// An event that is on its way into an old day when the day is to go: its cursor
// has not read it, so the day stays.
func TestPostgresRetentionWaitsForAnAppendUnderWay(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	s, conn, _ := oldDay(t, url)
	writer := connect(t, url)
	execute(t, writer, `BEGIN`)
	execute(t, writer, `SELECT append_events(ARRAY[sha256('late')], ARRAY['default'], ARRAY['acme'], ARRAY['old'], ARRAY['web'], ARRAY[1::bigint],
		ARRAY['job.finished'], 1, ''::bytea, ARRAY[0])`)
	ended := make(chan error, 1)
	go func() {
		got, err := s.Retain(t.Context(), keep90Days())
		if len(got.Days) != 0 {
			err = fmt.Errorf("dropped %+v, %w", got.Days, err)
		}
		ended <- err
	}()
	awaitTrue(t, conn, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND $1 = ANY (pg_blocking_pids(pid)))`,
		writer.PgConn().PID())
	execute(t, writer, `COMMIT`)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	events, err := s.ReadAll(t.Context(), db.ReadQuery{})
	if err != nil || len(events) != 4 {
		t.Errorf("%d events are left, %v", len(events), err)
	}
	// What comes after it goes into a day of its own.
	if a := appendEvent(t, s, event("old", 3)); a.Seq != 3 {
		t.Errorf("seq %d, want 3", a.Seq)
	}
	if err := s.Commit(t.Context(), db.Batch{Cursor: "tracker", From: 3, To: 4}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Retain(t.Context(), keep90Days())
	if err != nil || len(got.Days) != 1 || got.Days[0].Position != 4 || got.Days[0].Lost != 0 {
		t.Errorf("dropped %+v, %v", got.Days, err)
	}
}

func TestPostgresReadsABuildFromOnePartition(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	s, conn := openPostgres(t, url), connect(t, url)
	execute(t, conn, `SET plan_cache_mode = force_generic_plan`)
	type stamp struct{ Build, Team, Day string }
	for n := range 3 {
		for _, team := range []string{"default", "web", "api"} {
			d := event(fmt.Sprintf("%s %d", team, n), 0)
			d.Team = team
			appendEvent(t, s, d)
		}
		age(t, conn, 7)
	}
	rows, err := conn.Query(t.Context(), `SELECT build_id, team, day::text FROM build_seqs`)
	if err != nil {
		t.Fatal(err)
	}
	stamps, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stamp])
	if err != nil || len(stamps) != 9 {
		t.Fatalf("%d builds, %v", len(stamps), err)
	}
	opened := make(map[string]bool)
	for _, b := range stamps {
		var leaf string
		if err := conn.QueryRow(t.Context(), `SELECT leaf FROM event_partitions() WHERE team = $1 AND day = $2::text::date`, b.Team, b.Day).Scan(&leaf); err != nil {
			t.Fatal(err)
		}
		opened[leaf] = true
		where := fmt.Sprintf("team = '%s' AND day = '%s'", b.Team, b.Day)
		for name, plan := range map[string]string{
			"read build": explain(t, conn, db.ReadBuildQuery(where), b.Build, 0, 100),
			"last told":  explain(t, conn, db.LastToldQuery(where), b.Build),
		} {
			var tables []string
			for _, found := range regexp.MustCompile(` on (events\w*)`).FindAllStringSubmatch(plan, -1) {
				tables = append(tables, found[1])
			}
			slices.Sort(tables)
			if diff := cmp.Diff([]string{leaf}, slices.Compact(tables)); diff != "" {
				t.Errorf("%s opens %s\n%s", name, diff, plan)
			}
		}
	}
	if len(opened) != 9 {
		t.Errorf("%d partitions for 9 builds", len(opened))
	}
}

func TestPostgresMigratesWhatIsThere(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	s := openPostgres(t, url)
	before := fill(t, s)
	age(t, connect(t, url), 5)
	appendEvent(t, s, event("young", 0))
	young, err := s.ReadBuild(t.Context(), "young", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	before = append(before, young...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	pool := stdlib.OpenDB(*config)
	defer pool.Close()
	if err := db.PostgresMigrateDown(t.Context(), pool, 3); err != nil {
		t.Fatal(err)
	}
	wantFilled(t, openPostgres(t, url), before)
}
