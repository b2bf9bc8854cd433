-- +goose Up

-- The other end of the stream: the highest position that retention has dropped, or
-- is about to. Below it events may be missing.
CREATE TABLE stream_tail (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    dropped bigint NOT NULL
);
INSERT INTO stream_tail (dropped) VALUES (0);

-- Partitions on their way out. A row is written before the first step and goes
-- with the last, so that what is cut off is finished later.
CREATE TABLE dropping (
    leaf     text COLLATE "C" PRIMARY KEY,
    parent   text COLLATE "C" NOT NULL,
    team     text COLLATE "C" NOT NULL,
    day      date NOT NULL,
    position bigint NOT NULL,
    events   bigint NOT NULL,
    lost     bigint NOT NULL,
    behind   text NOT NULL
);

-- Old deliveries. Not a BRIN index: new rows fill the room of deleted ones, so that
-- soon every range of pages would have some old time as its lowest.
CREATE INDEX deliveries_received ON deliveries (received_at);

-- event_partitions lists the leaves of events. A team is known by its partition's
-- bound, which is written as SQL.
-- +goose StatementBegin
CREATE FUNCTION event_partitions(OUT parent text, OUT leaf text, OUT team text, OUT day date) RETURNS SETOF record
LANGUAGE plpgsql STABLE AS $$
DECLARE
    teams record;
BEGIN
    FOR teams IN
        SELECT c.oid, c.relname, substring(pg_get_expr(c.relpartbound, c.oid) FROM '^FOR VALUES IN \((.*)\)$') AS bound
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'events'::regclass
    LOOP
        parent := teams.relname;
        EXECUTE 'SELECT ' || teams.bound INTO team;
        FOR leaf, day IN
            SELECT c.relname, to_date(right(c.relname, 8), 'YYYYMMDD')
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = teams.oid AND NOT i.inhdetachpending
        LOOP
            RETURN NEXT;
        END LOOP;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION event_partitions;
DROP INDEX deliveries_received;
DROP TABLE dropping;
DROP TABLE stream_tail;
