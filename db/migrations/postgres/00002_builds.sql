-- +goose Up

-- Where the readers stand. Moving one is the fence against a second tracker.
CREATE TABLE cursors (
    name     text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL
) WITH (fillfactor = 10);

-- A build's row outlives its events. The snapshot comes compressed.
CREATE TABLE builds (
    id           text COLLATE "C" PRIMARY KEY,
    organization text COLLATE "C" NOT NULL,
    pipeline     text COLLATE "C" NOT NULL,
    number       bigint NOT NULL,
    branch       text COLLATE "C" NOT NULL,
    state        text COLLATE "C" NOT NULL,
    status       text NOT NULL,
    class        smallint NOT NULL,
    failures     bigint NOT NULL,
    first_failed bigint NOT NULL,
    last_passed  bigint NOT NULL,
    parent_id    text COLLATE "C" NOT NULL,
    created_at   timestamptz,
    finished_at  timestamptz,
    rev          bigint NOT NULL,
    snapshot     bytea NOT NULL
) WITH (fillfactor = 80);
ALTER TABLE builds ALTER COLUMN snapshot SET STORAGE EXTERNAL;

-- The row of failures.
CREATE INDEX builds_branch ON builds (organization, pipeline, branch, number);
-- A build by its number, with or without the rest of the address.
CREATE INDEX builds_number ON builds (number, organization, pipeline);
-- Lists, newest first; a build without a time is oldest.
CREATE INDEX builds_newest ON builds (coalesce(created_at, '-infinity') DESC, id DESC);
CREATE INDEX builds_newest_of_pipeline ON builds (organization, pipeline, coalesce(created_at, '-infinity') DESC, id DESC);
CREATE INDEX builds_newest_of_branch ON builds (branch, coalesce(created_at, '-infinity') DESC, id DESC);
CREATE INDEX builds_parent ON builds (parent_id) WHERE parent_id <> '';
CREATE INDEX builds_finished ON builds (finished_at);

-- move_cursor raises BT001 unless the cursor stands where the caller says. A
-- cursor that is not there stands at position 0.
-- +goose StatementBegin
CREATE FUNCTION move_cursor(p_name text, p_from bigint, p_to bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE cursors SET position = p_to WHERE name = p_name AND position = p_from;
    IF FOUND THEN
        RETURN;
    END IF;
    IF p_from = 0 THEN
        INSERT INTO cursors (name, position) VALUES (p_name, p_to) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RAISE EXCEPTION 'the cursor has moved' USING ERRCODE = 'BT001';
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION move_cursor;
DROP TABLE builds;
DROP TABLE cursors;
