-- +goose Up

-- As with PostgreSQL: only what asks for this expression uses the index.
DROP INDEX builds_newest_of_branch;
CREATE INDEX builds_newest_of_branch ON builds (branch || '', coalesce(created_at, -9223372036854775808) DESC, id DESC);

-- +goose Down
DROP INDEX builds_newest_of_branch;
CREATE INDEX builds_newest_of_branch ON builds (branch, coalesce(created_at, -9223372036854775808) DESC, id DESC);
