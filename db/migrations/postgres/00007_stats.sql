-- +goose Up

-- What is counted of the builds that finished on a day: of all, where the names are
-- empty, of a pipeline's, and of a branch's. A row is written as a whole. It stays
-- small enough to lie in the table itself: a year of them is read at once.
CREATE TABLE tallies (
    organization text COLLATE "C" NOT NULL,
    pipeline     text COLLATE "C" NOT NULL,
    branch       text COLLATE "C" NOT NULL,
    day          date NOT NULL,
    format       integer NOT NULL,
    builds       bigint NOT NULL,
    data         bytea NOT NULL,
    PRIMARY KEY (organization, pipeline, branch, day)
) WITH (toast_tuple_target = 8160);
ALTER TABLE tallies ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX tallies_day ON tallies (day);

-- +goose Down
DROP TABLE tallies;
