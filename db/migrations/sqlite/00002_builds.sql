-- +goose Up

CREATE TABLE cursors (
    name       TEXT PRIMARY KEY,
    position   INTEGER NOT NULL,
    generation TEXT NOT NULL
) STRICT;

CREATE TABLE builds (
    id           TEXT PRIMARY KEY,
    organization TEXT NOT NULL,
    pipeline     TEXT NOT NULL,
    number       INTEGER NOT NULL,
    branch       TEXT NOT NULL,
    state        TEXT NOT NULL,
    status       TEXT NOT NULL,
    class        INTEGER NOT NULL,
    failures     INTEGER NOT NULL,
    first_failed INTEGER NOT NULL,
    last_passed  INTEGER NOT NULL,
    parent_id    TEXT NOT NULL,
    created_at   INTEGER,
    finished_at  INTEGER,
    rev          INTEGER NOT NULL,
    snapshot     BLOB NOT NULL
) STRICT;

CREATE INDEX builds_branch ON builds (organization, pipeline, branch, number);
CREATE INDEX builds_number ON builds (number, organization, pipeline);
CREATE INDEX builds_newest ON builds (coalesce(created_at, -9223372036854775808) DESC, id DESC);
CREATE INDEX builds_newest_of_pipeline ON builds (organization, pipeline, coalesce(created_at, -9223372036854775808) DESC, id DESC);
CREATE INDEX builds_newest_of_branch ON builds (branch, coalesce(created_at, -9223372036854775808) DESC, id DESC);
CREATE INDEX builds_parent ON builds (parent_id) WHERE parent_id <> '';
CREATE INDEX builds_finished ON builds (finished_at);

-- +goose Down
DROP TABLE builds;
DROP TABLE cursors;
