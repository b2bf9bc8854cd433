-- +goose Up

CREATE TABLE stream_tail (
    single  INTEGER PRIMARY KEY CHECK (single = 1),
    dropped INTEGER NOT NULL
) STRICT;
INSERT INTO stream_tail (single, dropped) VALUES (1, 0);

-- A team's days on their way out: their events up to position.
CREATE TABLE dropping (
    team     TEXT NOT NULL,
    day      TEXT NOT NULL,
    position INTEGER NOT NULL,
    events   INTEGER NOT NULL,
    lost     INTEGER NOT NULL,
    behind   TEXT NOT NULL,
    PRIMARY KEY (team, day)
) STRICT;

CREATE INDEX deliveries_received ON deliveries (received_at);

-- +goose Down
DROP INDEX deliveries_received;
DROP TABLE dropping;
DROP TABLE stream_tail;
