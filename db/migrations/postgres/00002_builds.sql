-- +goose Up

-- Where the readers stand. Moving one is the fence against a second tracker.
CREATE TABLE cursors (
    name       text COLLATE "C" PRIMARY KEY,
    position   bigint NOT NULL,
    generation text COLLATE "C" NOT NULL
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
-- cursor that is not there stands at position 0, without a generation.
-- +goose StatementBegin
CREATE FUNCTION move_cursor(p_name text, p_generation text, p_from bigint, p_to bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE cursors SET position = p_to WHERE name = p_name AND generation = p_generation AND position = p_from;
    IF FOUND THEN
        RETURN;
    END IF;
    IF p_from = 0 AND p_generation = '' THEN
        INSERT INTO cursors (name, position, generation) VALUES (p_name, p_to, '') ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RAISE EXCEPTION 'the cursor has moved' USING ERRCODE = 'BT001';
END $$;
-- +goose StatementEnd

-- begin_generation raises BT001 unless the cursor stands at p_position. It waits
-- for a batch that is being committed.
-- +goose StatementBegin
CREATE FUNCTION begin_generation(p_name text, p_position bigint, p_generation text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    IF p_position = 0 THEN
        INSERT INTO cursors (name, position, generation) VALUES (p_name, 0, '') ON CONFLICT DO NOTHING;
    END IF;
    UPDATE cursors SET generation = p_generation WHERE name = p_name AND position = p_position;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the cursor has moved' USING ERRCODE = 'BT001';
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION begin_generation;
DROP FUNCTION move_cursor;
DROP TABLE builds;
DROP TABLE cursors;
