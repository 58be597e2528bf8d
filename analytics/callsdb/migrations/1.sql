-- Times are in nanoseconds since 1970, durations in nanoseconds, money in
-- nano-dollars. Tables are ours; the views are documented for people.

-- Who made calls, each combination once.
CREATE TABLE call_names (
	id       INTEGER PRIMARY KEY,
	project  TEXT NOT NULL,
	workflow TEXT NOT NULL,
	agent    TEXT NOT NULL,
	asked    TEXT NOT NULL,
	model    TEXT NOT NULL,
	source   TEXT NOT NULL,
	UNIQUE (project, workflow, agent, asked, model, source)
) STRICT;

CREATE TABLE call_rows (
	id              INTEGER PRIMARY KEY,
	time            INTEGER NOT NULL,
	name            INTEGER NOT NULL, -- of call_names
	run             TEXT NOT NULL,
	step            TEXT NOT NULL,
	item            TEXT NOT NULL,
	input           INTEGER NOT NULL,
	output          INTEGER NOT NULL,
	cache_read      INTEGER NOT NULL,
	cache_write_5m  INTEGER NOT NULL,
	cache_write_1h  INTEGER NOT NULL,
	searches        INTEGER NOT NULL,
	unpriced        INTEGER NOT NULL,
	cost            INTEGER NOT NULL,
	saved_cache     INTEGER NOT NULL,
	saved_coalesced INTEGER NOT NULL,
	saved_prompt    INTEGER NOT NULL,
	saved_batch     INTEGER NOT NULL,
	saved_model     INTEGER NOT NULL,
	duration        INTEGER NOT NULL,
	first_token     INTEGER NOT NULL,
	alone           INTEGER NOT NULL,
	attempts        INTEGER NOT NULL,
	code            INTEGER NOT NULL,
	stop            TEXT NOT NULL
) STRICT;
CREATE INDEX call_rows_time ON call_rows (time);
CREATE INDEX call_rows_run ON call_rows (run) WHERE run != '';
CREATE INDEX call_rows_failed ON call_rows (time) WHERE code != 0;

-- Sums over the calls, or for the kind 'run' the runs, that began in a period
-- of so many seconds, from start on, in seconds since 1970.
CREATE TABLE call_rollups (
	seconds         INTEGER NOT NULL, -- 3600 or 86400
	kind            TEXT NOT NULL,    -- what value is: source (then it is empty), agent, model, workflow, run
	start           INTEGER NOT NULL,
	project         TEXT NOT NULL,
	value           TEXT NOT NULL,
	source          TEXT NOT NULL,
	calls           INTEGER NOT NULL,
	failed          INTEGER NOT NULL,
	live            INTEGER NOT NULL,
	cached          INTEGER NOT NULL,
	coalesced       INTEGER NOT NULL,
	unpriced        INTEGER NOT NULL,
	retries         INTEGER NOT NULL,
	input           INTEGER NOT NULL,
	output          INTEGER NOT NULL,
	cache_read      INTEGER NOT NULL,
	cache_write_5m  INTEGER NOT NULL,
	cache_write_1h  INTEGER NOT NULL,
	searches        INTEGER NOT NULL,
	cost            INTEGER NOT NULL,
	saved_cache     INTEGER NOT NULL,
	saved_coalesced INTEGER NOT NULL,
	saved_prompt    INTEGER NOT NULL,
	saved_batch     INTEGER NOT NULL,
	saved_model     INTEGER NOT NULL,
	duration        INTEGER NOT NULL,
	alone           INTEGER NOT NULL,
	first_token     INTEGER NOT NULL,
	first_tokens    INTEGER NOT NULL,
	longest         INTEGER NOT NULL,
	runs            INTEGER NOT NULL,
	run_wall        INTEGER NOT NULL,
	run_alone       INTEGER NOT NULL,
	outside_run     INTEGER NOT NULL,
	latency         BLOB NOT NULL, -- a sketch
	PRIMARY KEY (seconds, kind, start, project, value, source)
) STRICT, WITHOUT ROWID;

-- Runs as their calls show them.
CREATE TABLE call_runs (
	id       TEXT PRIMARY KEY,
	project  TEXT NOT NULL,
	workflow TEXT NOT NULL,
	began    INTEGER NOT NULL,
	ended    INTEGER NOT NULL,
	calls    INTEGER NOT NULL,
	cost     INTEGER NOT NULL,
	alone    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX call_runs_began ON call_runs (began);

-- How long the service takes to answer an agent, for estimates.
CREATE TABLE call_pace (
	agent    TEXT NOT NULL,
	model    TEXT NOT NULL,
	calls    INTEGER NOT NULL,
	duration INTEGER NOT NULL,
	PRIMARY KEY (agent, model)
) STRICT, WITHOUT ROWID;

-- Lines that were imported, by a hash.
CREATE TABLE call_imports (hash BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE call_state (
	id         INTEGER PRIMARY KEY CHECK (id = 1),
	spool      BLOB NOT NULL,    -- id of the spool file that was read last
	taken      INTEGER NOT NULL, -- how far
	rows_since INTEGER NOT NULL, -- rows that began before were dropped, in seconds
	hours_since INTEGER NOT NULL, -- and hours, which then are in days only
	pruned     INTEGER NOT NULL  -- when that was last looked after, in seconds
) STRICT;
INSERT INTO call_state VALUES (1, x'', 0, 0, 0, 0);

CREATE VIEW calls AS
SELECT r.id, strftime('%Y-%m-%dT%H:%M:%fZ', r.time / 1e9, 'unixepoch') AS time, n.project, n.workflow, r.run, r.step, r.item,
	n.agent, n.asked AS model_asked, n.model, n.source,
	r.input AS input_tokens, r.output AS output_tokens, r.cache_read AS cache_read_tokens, r.cache_write_5m + r.cache_write_1h AS cache_write_tokens,
	CASE r.unpriced WHEN 0 THEN r.cost / 1e9 END AS cost_usd,
	(r.saved_cache + r.saved_coalesced + r.saved_prompt + r.saved_batch + r.saved_model) / 1e9 AS saved_usd,
	r.saved_cache / 1e9 AS saved_cache_usd, r.saved_coalesced / 1e9 AS saved_coalesced_usd, r.saved_prompt / 1e9 AS saved_prompt_usd,
	r.saved_batch / 1e9 AS saved_batch_usd, r.saved_model / 1e9 AS saved_model_usd,
	r.duration / 1e9 AS seconds, nullif(r.first_token, 0) / 1e9 AS first_token_seconds, r.attempts,
	CASE r.code WHEN 0 THEN 'ok' WHEN 1 THEN 'invalid_request' WHEN 2 THEN 'authentication' WHEN 3 THEN 'billing' WHEN 4 THEN 'not_found'
		WHEN 5 THEN 'too_large' WHEN 6 THEN 'rate_limit' WHEN 7 THEN 'spend_limit' WHEN 8 THEN 'overloaded' WHEN 9 THEN 'server'
		WHEN 10 THEN 'connection' WHEN 11 THEN 'incomplete' WHEN 12 THEN 'timeout' WHEN 13 THEN 'canceled' ELSE 'internal' END AS outcome,
	r.stop AS stop_reason
FROM call_rows r JOIN call_names n ON n.id = r.name;

CREATE VIEW hourly AS
SELECT strftime('%Y-%m-%dT%H:00:00Z', start, 'unixepoch') AS hour, kind, project, value, source, calls, failed, retries,
	input AS input_tokens, output AS output_tokens, cache_read AS cache_read_tokens, cache_write_5m + cache_write_1h AS cache_write_tokens,
	cost / 1e9 AS cost_usd, (saved_cache + saved_coalesced + saved_prompt + saved_batch + saved_model) / 1e9 AS saved_usd,
	duration / 1e9 AS seconds, longest / 1e9 AS longest_seconds
FROM call_rollups WHERE seconds = 3600 AND kind != 'run';

CREATE VIEW daily AS
SELECT date(start, 'unixepoch') AS day, kind, project, value, source, calls, failed, retries,
	input AS input_tokens, output AS output_tokens, cache_read AS cache_read_tokens, cache_write_5m + cache_write_1h AS cache_write_tokens,
	cost / 1e9 AS cost_usd, (saved_cache + saved_coalesced + saved_prompt + saved_batch + saved_model) / 1e9 AS saved_usd,
	duration / 1e9 AS seconds, longest / 1e9 AS longest_seconds
FROM call_rollups WHERE seconds = 86400 AND kind != 'run';

CREATE VIEW workflow_runs AS
SELECT id AS run, project, workflow, strftime('%Y-%m-%dT%H:%M:%fZ', began / 1e9, 'unixepoch') AS began, calls, cost / 1e9 AS cost_usd,
	(ended - began) / 1e9 AS seconds, alone / 1e9 AS sequential_seconds
FROM call_runs;
