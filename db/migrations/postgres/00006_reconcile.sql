-- +goose Up

-- How far a look for lost webhooks is, in a form of its own.
CREATE TABLE reconciliations (
    name  text COLLATE "C" PRIMARY KEY,
    state text NOT NULL
);

-- +goose Down
DROP TABLE reconciliations;
