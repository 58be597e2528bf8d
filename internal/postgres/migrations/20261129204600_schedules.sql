-- +goose Up

-- Schedules. Times are in seconds since 1970; 0 is never.
CREATE TABLE schedules (
	id       text PRIMARY KEY COLLATE "C",
	dir      bytea NOT NULL, -- which need not be UTF-8
	name     text NOT NULL COLLATE "C",
	spec     text NOT NULL, -- a JSON object: what does not change
	paused   boolean NOT NULL,
	decided  bigint NOT NULL,
	last_run text NOT NULL,
	tick     bigint NOT NULL, -- of last_run
	pending  boolean NOT NULL, -- last_run is not started yet
	problem  bytea NOT NULL,
	UNIQUE (dir, name)
) WITH (fillfactor = 70);
