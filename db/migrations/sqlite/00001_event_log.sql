-- +goose Up

-- The tables of migrations/postgres, without partitions. Times are microseconds
-- since 1970, UTC; team and day are kept for retention.

CREATE TABLE deliveries (
    key         BLOB PRIMARY KEY,
    received_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE build_seqs (
    build_id TEXT PRIMARY KEY,
    team     TEXT NOT NULL,
    day      TEXT NOT NULL,
    next_seq INTEGER NOT NULL,
    dropped  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE stream_head (
    single   INTEGER PRIMARY KEY CHECK (single = 1),
    position INTEGER NOT NULL
) STRICT;
INSERT INTO stream_head (single, position) VALUES (1, 0);

CREATE TABLE events (
    position     INTEGER PRIMARY KEY,
    team         TEXT NOT NULL,
    day          TEXT NOT NULL,
    id           BLOB NOT NULL,
    organization TEXT NOT NULL,
    build_id     TEXT,
    pipeline     TEXT,
    number       INTEGER,
    seq          INTEGER,
    type         TEXT NOT NULL,
    version      INTEGER NOT NULL,
    recorded_at  INTEGER NOT NULL,
    payload      BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_build ON events (build_id, seq) WHERE build_id IS NOT NULL;
CREATE INDEX events_pipeline ON events (organization, pipeline);
CREATE INDEX events_day ON events (team, day);

CREATE TABLE set_aside (
    position INTEGER PRIMARY KEY,
    build_id TEXT,
    reason   TEXT NOT NULL,
    set_at   INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE set_aside;
DROP TABLE events;
DROP TABLE stream_head;
DROP TABLE build_seqs;
DROP TABLE deliveries;
