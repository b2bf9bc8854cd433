-- +goose Up

ALTER TABLE cursors ADD COLUMN state TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE cursors DROP COLUMN state;
