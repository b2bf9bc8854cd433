-- +goose Up

CREATE TABLE reconciliations (
    name  TEXT PRIMARY KEY,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE reconciliations;
