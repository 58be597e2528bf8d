-- +goose Up

-- The engine that owns a run instead of a process, until it has ended; empty for none.
ALTER TABLE journal_runs ADD COLUMN engine text NOT NULL DEFAULT '';

-- Who writes the parts of a run that an engine owns. Only who knows the token may write
-- the part. Rows are changed by who has locked that of the run.
CREATE TABLE journal_parts (
	run   bigint NOT NULL,
	part  bytea NOT NULL, -- of any text
	token text NOT NULL,
	PRIMARY KEY (run, part)
) WITH (fillfactor = 70);
