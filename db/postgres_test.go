package db_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/build-tracker/build-tracker/db"
	"github.com/build-tracker/build-tracker/db/dbtest"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

func openPostgres(t testing.TB, url string) *db.Postgres {
	t.Helper()
	s, err := db.OpenPostgres(t.Context(), db.PostgresOptions{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func event(build string, n int) db.Delivery {
	d := db.Delivery{Organization: "acme", BuildID: build, Pipeline: "web", Number: 1, Type: "job.finished", Data: []byte(`{}`)}
	copy(d.Key[:], fmt.Sprintf("%s/%d", build, n))
	return d
}

func appendEvent(t *testing.T, s db.Store, d db.Delivery) db.Appended {
	t.Helper()
	a, err := s.Append(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T) db.Store { return openPostgres(t, testenv.Postgres(t)) })
}

func TestPostgresReplicasShareOneOrder(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	dbtest.Order(t, openPostgres(t, url), openPostgres(t, url), openPostgres(t, url))
}

func TestPostgresReplicasStartAtOnce(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			s, err := db.OpenPostgres(t.Context(), db.PostgresOptions{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			// A team that nobody has seen: all make its partition.
			d := event(fmt.Sprint(n), 0)
			d.Team = "new"
			if _, err := s.Append(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestPostgresRefusesOnlyTheCulprit(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	s := openPostgres(t, url)
	execute(t, connect(t, url), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.type = 'poison' THEN RAISE EXCEPTION 'no' USING ERRCODE = '22021'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()`)
	var group sync.WaitGroup
	for n := range 30 {
		group.Go(func() {
			d := event("a", n)
			if n%7 == 3 {
				d.Type = "poison"
			}
			_, err := s.Append(t.Context(), d)
			if poison := d.Type == "poison"; errors.Is(err, db.ErrRefused) != poison || (err != nil) != poison {
				t.Errorf("%s: error %v", d.Type, err)
			}
		})
	}
	group.Wait()
	events, err := s.ReadBuild(t.Context(), "a", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 26 || events[25].Seq != 25 {
		t.Errorf("%d events, want 26 with seqs up to 25", len(events))
	}
}

func TestPostgresMakesTheMissingPartition(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	s := openPostgres(t, url)
	conn := connect(t, url)
	// A build of long ago: its partition is the day's of its first event.
	execute(t, conn, `INSERT INTO build_seqs VALUES ('old', 'old team', '2001-02-03', 7)`)
	if a := appendEvent(t, s, event("old", 1)); a.Seq != 7 {
		t.Errorf("seq %d, want 7", a.Seq)
	}
	var team, day string
	if err := conn.QueryRow(t.Context(), `SELECT team, day::text FROM events`).Scan(&team, &day); err != nil {
		t.Fatal(err)
	}
	if team != "old team" || day != "2001-02-03" {
		t.Errorf("recorded for %s, %s", team, day)
	}
}

func explain(t *testing.T, conn *pgx.Conn, query string, args ...any) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "EXPLAIN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// TestPostgresReadsPartitionsAsMeant looks at plans, because a wrong one shows
// only under load.
func TestPostgresReadsPartitionsAsMeant(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	s := openPostgres(t, url)
	conn := connect(t, url)
	execute(t, conn, `INSERT INTO build_seqs SELECT 'build-' || d, 'default', current_date - d, 0 FROM generate_series(1, 40) d`)
	for d := 1; d <= 40; d++ {
		appendEvent(t, s, event(fmt.Sprintf("build-%d", d), 0))
	}
	// Enough that an index is worth it.
	execute(t, conn, `INSERT INTO events (position, team, day, id, organization, build_id, seq, type, version, recorded_at, payload)
		SELECT 1000 + 100 * n + position, team, day, gen_random_uuid(), organization, build_id, n, type, version, recorded_at,
			decode(repeat('00', 1000), 'hex')
		FROM events, generate_series(1, 100) n`)
	execute(t, conn, `ANALYZE events`)
	execute(t, conn, `SET plan_cache_mode = force_generic_plan`)
	all := explain(t, conn, db.ReadAllQuery(), 1<<20, 5, 100)
	if !strings.Contains(all, "Merge Append") || strings.Contains(all, "Seq Scan") || strings.Count(all, "pkey") < 40 {
		t.Errorf("read all does not merge the partitions' indexes:\n%s", all)
	}
	one := explain(t, conn, db.ReadBuildQuery("team = 'default' AND day = '2001-01-01'"), "build-3", 0, 100)
	if strings.Contains(one, "events_") {
		t.Errorf("a day without a partition opens one:\n%s", one)
	}
	var stamp string
	if err := conn.QueryRow(t.Context(), `SELECT format('team = %L AND day = %L', team, day) FROM build_seqs WHERE build_id = 'build-3'`).Scan(&stamp); err != nil {
		t.Fatal(err)
	}
	one = explain(t, conn, db.ReadBuildQuery(stamp), "build-3", 0, 100)
	if n := strings.Count(one, " on events_"); n != 1 {
		t.Errorf("read build opens %d partitions, want 1:\n%s", n, one)
	}
	one = explain(t, conn, db.EachOfBuildQuery(stamp), "build-3", 0, 100_000, 100)
	if n := strings.Count(one, " on events_"); n != 1 {
		t.Errorf("each of builds opens %d partitions a build, want 1:\n%s", n, one)
	}
}

// What is looked for in a branch is near, however many builds there are, in it and
// in those of the same name.
func TestPostgresReadsBranchesAsMeant(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	openPostgres(t, url)
	conn := connect(t, url)
	execute(t, conn, `INSERT INTO builds SELECT p || '-' || n, 'acme', 'pipeline-' || p, n, CASE WHEN n % 2 = 0 THEN 'main' ELSE 'feature-' || p || '-' || n END,
			'passed', 'passed', 2, 0, 0, 0, '', now() - n * interval '1 minute', now(), 1, decode(repeat('00', 500), 'hex')
		FROM generate_series(1, 20) p, generate_series(1, 1000) n`)
	execute(t, conn, `ANALYZE builds`)
	read := regexp.MustCompile(`Buffers: shared hit=(\d+)(?: read=(\d+))?`)
	for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
		execute(t, conn, `SET plan_cache_mode = `+mode)
		for _, branch := range []struct {
			name   string
			number int
		}{{"main", 2}, {"main", 500}, {"feature-7-501", 501}} {
			plan := explain(t, conn, "(ANALYZE, BUFFERS, TIMING OFF) "+db.BranchQueryText(), "acme", "pipeline-7", branch.name, branch.number, branch.number)
			pages := 0
			for _, n := range read.FindStringSubmatch(plan)[1:] {
				some, _ := strconv.Atoi(n) // 0 where none is read
				pages += some
			}
			if pages > 60 {
				t.Errorf("%s, build %d of %s: %d pages are read:\n%s", mode, branch.number, branch.name, pages, plan)
			}
		}
	}
}

func TestPostgresFrozenReplicaIsWaitedForBriefly(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	s := openPostgres(t, url)
	conn := connect(t, url)
	execute(t, conn, `BEGIN`)
	execute(t, conn, `UPDATE stream_head SET position = position`)
	if _, err := s.Append(t.Context(), event("a", 0)); err == nil || errors.Is(err, db.ErrRefused) {
		t.Errorf("error %v, want that of a lock", err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("ready although the latest commit failed")
	}
	execute(t, conn, `ROLLBACK`)
	if a := appendEvent(t, s, event("a", 0)); a.Position != 1 || a.Seq != 0 {
		t.Errorf("after it: %+v", a)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestPostgresSessions(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, testenv.Postgres(t))
	for name, want := range map[string]string{
		"application_name":                    "build-tracker",
		"synchronous_commit":                  "on",
		"transaction_isolation":               "read committed",
		"idle_in_transaction_session_timeout": "5s",
		"lock_timeout":                        "3s",
		"statement_timeout":                   "5s",
	} {
		got, appends, err := s.Settings(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
		if name == "statement_timeout" {
			want = "4s"
		}
		if appends != want {
			t.Errorf("%s is %s for appends, want %s", name, appends, want)
		}
	}
}

func TestPostgresRecoversFromARestart(t *testing.T) {
	t.Parallel()
	server := testenv.StartPostgres(t)
	s := openPostgres(t, server.URL())
	appendEvent(t, s, event("a", 0))
	for n, end := range []func(){server.Stop, server.Kill} {
		end()
		if _, err := s.Append(t.Context(), event("a", n+1)); err == nil || errors.Is(err, db.ErrRefused) {
			t.Errorf("while it is away: %v", err)
		}
		if err := s.Ping(t.Context()); err == nil {
			t.Error("ping answers while it is away")
		}
		server.Start()
		if a := appendEvent(t, s, event("a", n+1)); a.Seq != int64(n+1) {
			t.Errorf("after a restart: %+v", a)
		}
		// Each session of before may say once that it was cut.
		head, err := s.Head(t.Context())
		for tries := 0; err != nil && tries < 10; tries++ {
			head, err = s.Head(t.Context())
		}
		if err != nil || head != int64(n+2) {
			t.Errorf("head %d, %v", head, err)
		}
	}
}
