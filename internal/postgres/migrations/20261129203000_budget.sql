-- +goose Up

-- The ledger of budgets. Money is in billionths of a dollar. Names may have any bytes.
-- Locks are taken in the order of these tables, and of their keys within one.

-- The processes that reserve. Each extends its lease while it lives. One that has ended
-- reserves no more, and is kept while it has attempts.
CREATE TABLE budget_owners (
	id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	host    text NOT NULL,
	boot    text NOT NULL, -- tells one start of a machine, and one space of pids, from another
	pid     integer NOT NULL,
	born    bigint NOT NULL, -- when the process started, in a unit of its system; 0 if unknown
	expires timestamptz NOT NULL,
	ended   boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- The reservations of calls in flight.
CREATE TABLE budget_reservations (
	id       bigint PRIMARY KEY, -- random
	owner    bigint NOT NULL,
	accounts bytea[] NOT NULL,
	money    bigint NOT NULL,
	tokens   bigint NOT NULL,
	calls    bigint NOT NULL,
	attempt  bigint NOT NULL DEFAULT 0 -- that it is for; 0 if none was sent
) WITH (fillfactor = 70);
CREATE INDEX budget_reservations_owner ON budget_reservations (owner);

-- What every scope has spent, and what calls in flight have reserved of it.
CREATE TABLE budget_accounts (
	key              bytea PRIMARY KEY,
	spent_money      bigint NOT NULL DEFAULT 0,
	spent_tokens     bigint NOT NULL DEFAULT 0,
	spent_calls      bigint NOT NULL DEFAULT 0,
	reserved_money   bigint NOT NULL DEFAULT 0,
	reserved_tokens  bigint NOT NULL DEFAULT 0,
	reserved_calls   bigint NOT NULL DEFAULT 0,
	uncertain_money  bigint NOT NULL DEFAULT 0,
	uncertain_tokens bigint NOT NULL DEFAULT 0,
	uncertain_calls  bigint NOT NULL DEFAULT 0,
	changed          timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- The attempts of processes that are not known to be recorded.
CREATE TABLE budget_attempts (
	id    bigint PRIMARY KEY, -- random
	owner bigint NOT NULL,
	note  bytea NOT NULL, -- of whoever records it
	made  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX budget_attempts_owner ON budget_attempts (owner);

-- The accounts that had no room left for a call, each the first time, in the order in
-- which they were committed: who writes one holds the row with the last number until its
-- transaction ends. Amounts are in billionths of a dollar, tokens or calls.
CREATE TABLE budget_exceeded (
	n       bigint PRIMARY KEY,
	account bytea NOT NULL UNIQUE,
	level   bytea NOT NULL,
	name    bytea NOT NULL,
	kind    text NOT NULL,
	most    bigint NOT NULL,
	spent   bigint NOT NULL,
	at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE budget_last_exceeded (
	id boolean PRIMARY KEY DEFAULT true CHECK (id),
	n  bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO budget_last_exceeded (n) VALUES (0);

-- What changes with every call: dead rows are cleared before they fill the table.
ALTER TABLE budget_accounts SET (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
ALTER TABLE budget_reservations SET (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
ALTER TABLE budget_attempts SET (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
