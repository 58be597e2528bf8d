-- +goose Up

-- Runs and their events. Times are in nanoseconds since 1970, except those of leases,
-- which are the database's. Columns that say "sealed" are encrypted if the store is.

-- The processes that write to the journal. Each says with every transaction, and at
-- least every few seconds, that it lives. batch is the number of its last transaction,
-- by which it knows after a lost connection whether that took effect.
CREATE TABLE journal_writers (
	id    text PRIMARY KEY COLLATE "C",
	host  text NOT NULL,
	boot  text NOT NULL, -- tells one start of a machine, and one space of pids, from another
	pid   integer NOT NULL,
	born  bigint NOT NULL, -- when the process started, in a unit of its system; 0 if unknown
	batch bigint NOT NULL,
	seen  timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE journal_runs (
	n        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of creation
	id       text NOT NULL UNIQUE COLLATE "C",
	workflow bytea NOT NULL, -- sealed
	file     bytea NOT NULL, -- sealed
	spec     bytea,          -- sealed
	status   text NOT NULL,
	started  bigint NOT NULL,
	finished bigint NOT NULL, -- 0 if it has not ended
	steps    bigint NOT NULL,
	usd      double precision NOT NULL,
	tokens   bigint NOT NULL,
	exit     bytea,           -- sealed; null if no step ended it
	seq      bigint NOT NULL, -- of the last event
	-- Who owns the run; null if no process does. Only who knows the token may write events.
	token    text,
	writer   text COLLATE "C",
	since    bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX journal_runs_owned ON journal_runs (writer) WHERE writer IS NOT NULL;

CREATE TABLE journal_events (
	run     bigint NOT NULL,
	seq     bigint NOT NULL, -- from 1, without a gap
	time    bigint NOT NULL,
	type    text NOT NULL,
	step    bytea NOT NULL, -- any text
	item    bytea NOT NULL, -- any text
	attempt integer NOT NULL,
	key     bytea, -- null if there is none
	output  bytea, -- hash of journal_outputs; null for an empty one
	detail  bytea, -- sealed
	PRIMARY KEY (run, seq)
);
CREATE INDEX journal_events_sent ON journal_events (run, seq) WHERE type IN ('approval_given', 'cancel_asked');

-- Answers of steps, each once however many events have it.
CREATE TABLE journal_outputs (
	hash bytea PRIMARY KEY,     -- SHA-256; with encryption an HMAC
	data bytea NOT NULL,        -- sealed
	refs bigint NOT NULL        -- how many events have it
) WITH (fillfactor = 90);

-- The ends and the questions of all runs, in the order in which they were committed: who
-- writes one holds the row with the last number until its transaction ends.
CREATE TABLE journal_notices (
	n   bigint PRIMARY KEY,
	run bigint NOT NULL,
	seq bigint NOT NULL
);
CREATE INDEX journal_notices_run ON journal_notices (run);
CREATE TABLE journal_last_notice (
	id boolean PRIMARY KEY DEFAULT true CHECK (id),
	n  bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO journal_last_notice (n) VALUES (0);

-- How the journal is encrypted: a null verifier for not at all, else a known text, sealed.
CREATE TABLE journal_cipher (
	id       boolean PRIMARY KEY DEFAULT true CHECK (id),
	verifier bytea
);

-- Both change with every transaction: dead rows are cleared before they fill the table.
ALTER TABLE journal_writers SET (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
ALTER TABLE journal_runs SET (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
