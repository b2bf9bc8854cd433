-- +goose Up

-- What a reader needs to go on from its cursor, in a form of its own.
ALTER TABLE cursors ADD COLUMN state text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE cursors DROP COLUMN state;
