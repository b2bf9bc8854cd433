-- +goose Up

-- A notice is desired state: due while wanted_rev is above sent_rev.
CREATE TABLE notices (
    build_id      text COLLATE "C",
    kind          text COLLATE "C",
    wanted_rev    bigint NOT NULL,
    sent_rev      bigint NOT NULL DEFAULT 0,
    body_hash     bytea,
    channel       text NOT NULL DEFAULT '',
    ts            text NOT NULL DEFAULT '',
    sent_at       timestamptz,
    attempts      integer NOT NULL DEFAULT 0,
    last_error    text NOT NULL DEFAULT '',
    uncertain     boolean NOT NULL DEFAULT false,
    token         bigint NOT NULL DEFAULT 0,
    claimed_until timestamptz,
    next_try_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (build_id, kind)
) WITH (fillfactor = 70);
CREATE INDEX notices_due ON notices (next_try_at) WHERE wanted_rev > sent_rev;
CREATE SEQUENCE notice_tokens AS bigint;

-- +goose Down
DROP SEQUENCE notice_tokens;
DROP TABLE notices;
