-- +goose Up

-- A day is a number, from 1970 on.
CREATE TABLE tallies (
    organization TEXT NOT NULL,
    pipeline     TEXT NOT NULL,
    branch       TEXT NOT NULL,
    day          INTEGER NOT NULL,
    format       INTEGER NOT NULL,
    builds       INTEGER NOT NULL,
    data         BLOB NOT NULL,
    PRIMARY KEY (organization, pipeline, branch, day)
) STRICT;
CREATE INDEX tallies_day ON tallies (day);

-- +goose Down
DROP TABLE tallies;
