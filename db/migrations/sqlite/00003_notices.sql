-- +goose Up

CREATE TABLE notices (
    build_id      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    wanted_rev    INTEGER NOT NULL,
    sent_rev      INTEGER NOT NULL DEFAULT 0,
    body_hash     BLOB,
    channel       TEXT NOT NULL DEFAULT '',
    ts            TEXT NOT NULL DEFAULT '',
    sent_at       INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    last_error    TEXT NOT NULL DEFAULT '',
    uncertain     INTEGER NOT NULL DEFAULT 0,
    token         INTEGER NOT NULL DEFAULT 0,
    claimed_until INTEGER,
    next_try_at   INTEGER NOT NULL,
    PRIMARY KEY (build_id, kind)
) STRICT;
CREATE INDEX notices_due ON notices (next_try_at) WHERE wanted_rev > sent_rev;

CREATE TABLE notice_token (
    single INTEGER PRIMARY KEY CHECK (single = 1),
    latest INTEGER NOT NULL
) STRICT;
INSERT INTO notice_token (single, latest) VALUES (1, 0);

-- +goose Down
DROP TABLE notice_token;
DROP TABLE notices;
