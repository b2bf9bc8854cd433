-- +goose Up

-- What was delivered: the key tells a second sending of an event. It is a table
-- of its own because a unique constraint on a partitioned table must contain
-- the partition key.
CREATE TABLE deliveries (
    key         bytea PRIMARY KEY,
    received_at timestamptz NOT NULL
);

-- The stamp of a build: which partition holds all its events, and the next seq.
-- dropped: that partition is gone, or about to be, and the next event stamps the
-- build anew. Only build_id is in an index, so updates stay on the page (HOT).
CREATE TABLE build_seqs (
    build_id text COLLATE "C" PRIMARY KEY,
    team     text COLLATE "C" NOT NULL,
    day      date NOT NULL,
    next_seq bigint NOT NULL,
    dropped  boolean NOT NULL DEFAULT false
) WITH (fillfactor = 70);

-- The highest position. Its one row is locked last in an append and held to the
-- commit, so the order of commits is the order of positions.
CREATE TABLE stream_head (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    position bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO stream_head (position) VALUES (0);

-- Events, by team and by the UTC day of the build's first recorded event.
-- Payloads come compressed.
CREATE TABLE events (
    position     bigint NOT NULL,
    team         text COLLATE "C" NOT NULL,
    day          date NOT NULL,
    id           uuid NOT NULL,
    organization text COLLATE "C" NOT NULL,
    build_id     text COLLATE "C",
    pipeline     text COLLATE "C",
    number       bigint,
    seq          bigint,
    type         text NOT NULL,
    version      smallint NOT NULL,
    recorded_at  timestamptz NOT NULL,
    payload      bytea NOT NULL
) PARTITION BY LIST (team);
ALTER TABLE events ALTER COLUMN payload SET STORAGE EXTERNAL;

-- Events that could not be processed.
CREATE TABLE set_aside (
    position bigint PRIMARY KEY,
    build_id text COLLATE "C",
    reason   text NOT NULL,
    set_at   timestamptz NOT NULL DEFAULT now()
);

-- ensure_partitions makes the partitions that these builds are stamped with, and
-- those of these teams for today and p_ahead days more. A table is made first and
-- attached then: CREATE TABLE ... PARTITION OF would lock all events against
-- readers and writers. Indexes are the leaves' own: a primary key of the whole
-- would have to contain team and day.
-- +goose StatementBegin
CREATE FUNCTION ensure_partitions(p_teams text[], p_builds text[], p_ahead integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    today  date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    p      record;
    parent text;
    leaf   text;
BEGIN
    -- One replica at a time; the others then find what they need.
    PERFORM pg_advisory_xact_lock(hashtextextended(current_schema() || ' build-tracker partitions', 0));
    FOR p IN
        SELECT s.team, CASE WHEN s.dropped THEN today ELSE s.day END FROM build_seqs s WHERE s.build_id = ANY (p_builds)
        UNION
        SELECT t, today + d FROM unnest(p_teams) AS t, generate_series(0, p_ahead) AS d
        ORDER BY 1, 2
    LOOP
        parent := 'events_' || left(encode(sha256(convert_to(p.team, 'UTF8')), 'hex'), 16);
        leaf := parent || '_' || to_char(p.day, 'YYYYMMDD');
        IF to_regclass(format('%I.%I', current_schema(), parent)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING STORAGE) PARTITION BY RANGE (day)', parent);
            EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES IN (%L)', parent, p.team);
        END IF;
        IF to_regclass(format('%I.%I', current_schema(), leaf)) IS NULL THEN
            -- A payload of a few KB stays in its row: a read then costs one page.
            EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING STORAGE, PRIMARY KEY (position), UNIQUE (build_id, seq))
                WITH (toast_tuple_target = 8160)', leaf);
            EXECUTE format('CREATE INDEX ON %I (organization, pipeline, position)', leaf);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, leaf, p.day, p.day + 1);
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- record_events writes those events of a batch whose numbers are in p_fresh. Locks
-- are taken in one order everywhere: keys sorted, builds sorted, the head last.
--
-- ranks[i] is 1, 2, 3 … for what is written and null for the rest; the position is
-- head + rank. seqs[i] is null for an event without a build, and means nothing
-- for one that is not written. An id is the first 16 bytes of p_ids[i].
--
-- Payloads come one behind the other, each ending at its byte of p_ends: a client
-- writes one value faster than an array of large ones.
--
-- The plans must not depend on the sizes of the arrays: a generic plan does not
-- copy payloads, and without nested loops no join is quadratic.
-- +goose StatementBegin
CREATE FUNCTION record_events(
    p_ids bytea[], p_teams text[], p_organizations text[], p_builds text[], p_pipelines text[],
    p_numbers bigint[], p_types text[], p_version integer, p_payloads bytea, p_ends integer[], p_fresh bigint[],
    OUT head bigint, OUT ranks bigint[], OUT seqs bigint[])
LANGUAGE plpgsql
SET enable_nestloop = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    today       date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    recorded    timestamptz;
    teams       text[];
    days        date[];
    stamp_build text[];
    stamp_team  text[];
    stamp_day   date[];
    stamp_next  bigint[];
BEGIN
    WITH arrived AS (
        SELECT x.build, count(*) AS n, (array_agg(x.team ORDER BY x.n))[1] AS team
        FROM unnest(p_builds, p_teams) WITH ORDINALITY AS x(build, team, n)
        JOIN unnest(p_fresh) AS f(n) ON f.n = x.n
        WHERE x.build <> ''
        GROUP BY x.build
    ), stamped AS (
        INSERT INTO build_seqs AS s (build_id, team, day, next_seq)
        SELECT a.build, a.team, today, a.n FROM arrived a ORDER BY a.build COLLATE "C"
        ON CONFLICT (build_id) DO UPDATE SET next_seq = s.next_seq + excluded.next_seq,
            day = CASE WHEN s.dropped THEN excluded.day ELSE s.day END, dropped = false
        RETURNING s.build_id, s.team, s.day, s.next_seq
    )
    SELECT array_agg(s.build_id), array_agg(s.team), array_agg(s.day), array_agg(s.next_seq)
    INTO stamp_build, stamp_team, stamp_day, stamp_next
    FROM stamped s;

    -- Everything that can be worked out before the head is locked.
    SELECT array_agg(y.rank ORDER BY y.n), array_agg(y.team ORDER BY y.n),
           array_agg(y.day ORDER BY y.n), array_agg(y.seq ORDER BY y.n)
    INTO ranks, teams, days, seqs
    FROM (
        SELECT x.n, f.rank, coalesce(s.team, x.team) AS team, coalesce(s.day, today) AS day,
               s.next_seq - count(f.n) OVER (PARTITION BY x.build ORDER BY x.n DESC) AS seq
        FROM unnest(p_builds, p_teams) WITH ORDINALITY AS x(build, team, n)
        LEFT JOIN unnest(p_fresh) WITH ORDINALITY AS f(n, rank) ON f.n = x.n
        LEFT JOIN unnest(stamp_build, stamp_team, stamp_day, stamp_next) AS s(build, team, day, next_seq)
            ON s.build = x.build
    ) y;

    UPDATE stream_head h SET position = h.position + cardinality(p_fresh)
    RETURNING h.position - cardinality(p_fresh) INTO head;

    -- Taken under the lock, so that time grows with position.
    recorded := clock_timestamp();

    INSERT INTO events (position, team, day, id, organization, build_id, pipeline, number, seq,
                        type, version, recorded_at, payload)
    SELECT head + e.rank, e.team, e.day, encode(substring(e.id FROM 1 FOR 16), 'hex')::uuid, e.organization,
           nullif(e.build, ''),
           CASE WHEN e.build <> '' THEN e.pipeline END,
           CASE WHEN e.build <> '' THEN e.number END,
           e.seq, e.type, p_version, recorded, substring(p_payloads FROM e.begins + 1 FOR e.ends - e.begins)
    FROM unnest(p_ids, p_organizations, p_builds, p_pipelines, p_numbers, p_types,
                0 || p_ends, p_ends, ranks, teams, days, seqs)
         AS e(id, organization, build, pipeline, number, type, begins, ends, rank, team, day, seq)
    WHERE e.rank IS NOT NULL;
END $$;
-- +goose StatementEnd

-- append_events records the deliveries of a batch that were not seen before, in one
-- statement, so that no client holds the head's lock between two round trips. What
-- it returns is record_events'.
-- +goose StatementBegin
CREATE FUNCTION append_events(
    p_keys bytea[], p_teams text[], p_organizations text[], p_builds text[], p_pipelines text[],
    p_numbers bigint[], p_types text[], p_version integer, p_payloads bytea, p_ends integer[],
    OUT head bigint, OUT ranks bigint[], OUT seqs bigint[])
LANGUAGE plpgsql
SET enable_nestloop = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    fresh bigint[];
BEGIN
    -- For this transaction, whatever a pooler or a role's defaults say.
    PERFORM set_config('synchronous_commit', 'on', true);

    WITH added AS (
        INSERT INTO deliveries AS d (key, received_at)
        SELECT k, clock_timestamp() FROM unnest(p_keys) AS k ORDER BY k
        ON CONFLICT DO NOTHING
        RETURNING d.key
    )
    SELECT array_agg(k.n ORDER BY k.n) INTO fresh
    FROM unnest(p_keys) WITH ORDINALITY AS k(key, n) JOIN added a ON a.key = k.key;

    IF fresh IS NULL THEN
        head := 0;
        ranks := array_fill(NULL::bigint, ARRAY[cardinality(p_keys)]);
        seqs := ranks;
        RETURN;
    END IF;

    SELECT r.head, r.ranks, r.seqs INTO head, ranks, seqs
    FROM record_events(p_keys, p_teams, p_organizations, p_builds, p_pipelines, p_numbers, p_types,
                       p_version, p_payloads, p_ends, fresh) r;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION append_events;
DROP FUNCTION record_events;
DROP FUNCTION ensure_partitions;
DROP TABLE set_aside;
DROP TABLE events;
DROP TABLE stream_head;
DROP TABLE build_seqs;
DROP TABLE deliveries;
