-- +goose Up

-- The tables and views of calls are those of the store in a file (analytics/callsdb), but
-- for what is said here. Times are in nanoseconds since 1970, those of sums in seconds.

CREATE TABLE call_names (
	id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	project  text COLLATE "C" NOT NULL,
	workflow text COLLATE "C" NOT NULL,
	agent    text COLLATE "C" NOT NULL,
	asked    text COLLATE "C" NOT NULL,
	model    text COLLATE "C" NOT NULL,
	source   text COLLATE "C" NOT NULL,
	key      text COLLATE "C" NOT NULL,
	team     text COLLATE "C" NOT NULL,
	UNIQUE (project, workflow, agent, asked, model, source, key, team)
);

-- Rows are in one partition for each day (of UTC), which is dropped whole. What is of no
-- day that has one is in the default partition: old calls that are imported, and those of
-- a clock that is wrong. The order of time is that of the primary key; a BRIN index finds
-- what a question about some hours needs to look at.
CREATE SEQUENCE call_ids;
CREATE TABLE call_rows (
	id              bigint NOT NULL,
	time            bigint NOT NULL,
	name            bigint NOT NULL,
	run             text COLLATE "C" NOT NULL,
	step            text COLLATE "C" NOT NULL,
	item            text COLLATE "C" NOT NULL,
	input           bigint NOT NULL,
	output          bigint NOT NULL,
	cache_read      bigint NOT NULL,
	cache_write_5m  bigint NOT NULL,
	cache_write_1h  bigint NOT NULL,
	searches        bigint NOT NULL,
	unpriced        bigint NOT NULL,
	cost            bigint NOT NULL,
	saved_cache     bigint NOT NULL,
	saved_coalesced bigint NOT NULL,
	saved_prompt    bigint NOT NULL,
	saved_batch     bigint NOT NULL,
	saved_model     bigint NOT NULL,
	duration        bigint NOT NULL,
	first_token     bigint NOT NULL,
	alone           bigint NOT NULL,
	attempts        bigint NOT NULL,
	code            bigint NOT NULL,
	stop            text COLLATE "C" NOT NULL,
	service         bigint NOT NULL,
	waited          bigint NOT NULL,
	batch           bigint NOT NULL,
	refused         bigint NOT NULL,
	uncertain       bigint NOT NULL,
	PRIMARY KEY (time, id)
) PARTITION BY RANGE (time);
CREATE TABLE call_rows_other PARTITION OF call_rows DEFAULT;
CREATE INDEX call_rows_brin ON call_rows USING brin (time);
CREATE INDEX call_rows_run ON call_rows (run) WHERE run != '';
CREATE INDEX call_rows_failed ON call_rows (time) WHERE code != 0;

-- Attempts are in the partition of their call.
CREATE TABLE call_attempts (
	call_time      bigint NOT NULL, -- of call_rows
	call           bigint NOT NULL, -- of call_rows
	number         bigint NOT NULL,
	time           bigint NOT NULL,
	duration       bigint NOT NULL,
	first_token    bigint NOT NULL,
	model          text COLLATE "C" NOT NULL,
	code           bigint NOT NULL,
	basis          text COLLATE "C" NOT NULL,
	cost           bigint NOT NULL,
	input          bigint NOT NULL,
	output         bigint NOT NULL,
	cache_read     bigint NOT NULL,
	cache_write_5m bigint NOT NULL,
	cache_write_1h bigint NOT NULL,
	searches       bigint NOT NULL,
	write_extra    bigint NOT NULL,
	id             bigint NOT NULL, -- 0 if another call has it
	uncertain      bigint NOT NULL,
	PRIMARY KEY (call_time, call, number)
) PARTITION BY RANGE (call_time);
CREATE TABLE call_attempts_other PARTITION OF call_attempts DEFAULT;
CREATE INDEX call_attempts_prompt ON call_attempts (time) WHERE cache_read + cache_write_5m + cache_write_1h > 0;

-- Ids of attempts, each once. An index over partitions cannot see to that.
CREATE TABLE call_attempt_ids (
	id   bigint PRIMARY KEY,
	time bigint NOT NULL -- of its call
);
CREATE INDEX call_attempt_ids_time ON call_attempt_ids USING brin (time);

CREATE TABLE call_sent (
	id   bigint PRIMARY KEY,
	host text COLLATE "C" NOT NULL,
	boot text COLLATE "C" NOT NULL,
	pid  bigint NOT NULL,
	born bigint NOT NULL,
	call bytea NOT NULL
);

CREATE TABLE call_rollups (
	seconds         bigint NOT NULL,
	kind            text COLLATE "C" NOT NULL,
	start           bigint NOT NULL,
	project         text COLLATE "C" NOT NULL,
	value           text COLLATE "C" NOT NULL,
	source          text COLLATE "C" NOT NULL,
	calls           bigint NOT NULL DEFAULT 0,
	failed          bigint NOT NULL DEFAULT 0,
	live            bigint NOT NULL DEFAULT 0,
	cached          bigint NOT NULL DEFAULT 0,
	coalesced       bigint NOT NULL DEFAULT 0,
	unpriced        bigint NOT NULL DEFAULT 0,
	retries         bigint NOT NULL DEFAULT 0,
	input           bigint NOT NULL DEFAULT 0,
	output          bigint NOT NULL DEFAULT 0,
	cache_read      bigint NOT NULL DEFAULT 0,
	cache_write_5m  bigint NOT NULL DEFAULT 0,
	cache_write_1h  bigint NOT NULL DEFAULT 0,
	searches        bigint NOT NULL DEFAULT 0,
	cost            bigint NOT NULL DEFAULT 0,
	saved_cache     bigint NOT NULL DEFAULT 0,
	saved_coalesced bigint NOT NULL DEFAULT 0,
	saved_prompt    bigint NOT NULL DEFAULT 0,
	saved_batch     bigint NOT NULL DEFAULT 0,
	saved_model     bigint NOT NULL DEFAULT 0,
	duration        bigint NOT NULL DEFAULT 0,
	alone           bigint NOT NULL DEFAULT 0,
	first_token     bigint NOT NULL DEFAULT 0,
	first_tokens    bigint NOT NULL DEFAULT 0,
	longest         bigint NOT NULL DEFAULT 0,
	runs            bigint NOT NULL DEFAULT 0,
	run_wall        bigint NOT NULL DEFAULT 0,
	run_alone       bigint NOT NULL DEFAULT 0,
	outside_run     bigint NOT NULL DEFAULT 0,
	served          bigint NOT NULL DEFAULT 0,
	service         bigint NOT NULL DEFAULT 0,
	waited          bigint NOT NULL DEFAULT 0,
	refused         bigint NOT NULL DEFAULT 0,
	uncertain       bigint NOT NULL DEFAULT 0,
	latency         bytea NOT NULL DEFAULT '',
	service_latency bytea NOT NULL DEFAULT '',
	PRIMARY KEY (seconds, kind, start, project, value, source)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);

CREATE TABLE call_runs (
	id       text COLLATE "C" PRIMARY KEY,
	project  text COLLATE "C" NOT NULL,
	workflow text COLLATE "C" NOT NULL,
	began    bigint NOT NULL DEFAULT 0,
	ended    bigint NOT NULL DEFAULT 0,
	calls    bigint NOT NULL DEFAULT 0,
	cost     bigint NOT NULL DEFAULT 0,
	alone    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
CREATE INDEX call_runs_began ON call_runs (began);

CREATE TABLE call_pace (
	agent    text COLLATE "C" NOT NULL,
	model    text COLLATE "C" NOT NULL,
	calls    bigint NOT NULL,
	duration bigint NOT NULL,
	PRIMARY KEY (agent, model)
) WITH (fillfactor = 70);

CREATE TABLE call_imports (hash bytea PRIMARY KEY);

CREATE TABLE call_projects (
	project text COLLATE "C" PRIMARY KEY,
	name    text COLLATE "C" NOT NULL,
	place   text COLLATE "C"
);

CREATE TABLE call_state (
	id          boolean PRIMARY KEY DEFAULT true CHECK (id),
	rows_since  bigint NOT NULL DEFAULT 0,
	hours_since bigint NOT NULL DEFAULT 0,
	pruned      bigint NOT NULL DEFAULT 0
);
INSERT INTO call_state DEFAULT VALUES;

-- Files of machines that hold what was recorded, and how far each was read.
CREATE TABLE call_spools (
	id    bytea PRIMARY KEY,
	taken bigint NOT NULL,
	at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE call_tool_names (
	id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	project  text COLLATE "C" NOT NULL,
	workflow text COLLATE "C" NOT NULL,
	agent    text COLLATE "C" NOT NULL,
	tool     text COLLATE "C" NOT NULL,
	UNIQUE (project, workflow, agent, tool)
);
CREATE TABLE call_tools (
	id       bigint NOT NULL,
	time     bigint NOT NULL,
	name     bigint NOT NULL,
	run      text COLLATE "C" NOT NULL,
	step     text COLLATE "C" NOT NULL,
	item     text COLLATE "C" NOT NULL,
	outcome  bigint NOT NULL,
	duration bigint NOT NULL,
	PRIMARY KEY (time, id)
) PARTITION BY RANGE (time);
CREATE TABLE call_tools_other PARTITION OF call_tools DEFAULT;
CREATE TABLE call_tool_tasks (
	id         bigint NOT NULL,
	time       bigint NOT NULL,
	name       bigint NOT NULL,
	run        text COLLATE "C" NOT NULL,
	step       text COLLATE "C" NOT NULL,
	item       text COLLATE "C" NOT NULL,
	turns      bigint NOT NULL,
	tool_calls bigint NOT NULL,
	failed     bigint NOT NULL,
	duration   bigint NOT NULL,
	PRIMARY KEY (time, id)
) PARTITION BY RANGE (time);
CREATE TABLE call_tool_tasks_other PARTITION OF call_tool_tasks DEFAULT;

-- +goose StatementBegin
CREATE FUNCTION call_time(nanoseconds bigint) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
	SELECT to_char(to_timestamp(floor(nanoseconds / 1e6) / 1e3) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION call_outcome(code bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE code WHEN 0 THEN 'ok' WHEN 1 THEN 'invalid_request' WHEN 2 THEN 'authentication' WHEN 3 THEN 'billing' WHEN 4 THEN 'not_found'
		WHEN 5 THEN 'too_large' WHEN 6 THEN 'rate_limit' WHEN 7 THEN 'spend_limit' WHEN 8 THEN 'overloaded' WHEN 9 THEN 'server'
		WHEN 10 THEN 'connection' WHEN 11 THEN 'incomplete' WHEN 12 THEN 'timeout' WHEN 13 THEN 'canceled' ELSE 'internal' END
$$;
-- +goose StatementEnd

-- Views have the names and columns of those of the store in a file. Dollars and seconds are
-- double precision.
CREATE VIEW calls AS
SELECT r.id, call_time(r.time) AS time, coalesce(p.name, n.project) AS project, n.workflow, r.run, r.step, r.item,
	n.agent, n.asked AS model_asked, n.model, n.source,
	r.input AS input_tokens, r.output AS output_tokens, r.cache_read AS cache_read_tokens, r.cache_write_5m + r.cache_write_1h AS cache_write_tokens,
	CASE r.unpriced WHEN 0 THEN r.cost / 1e9::float8 END AS cost_usd,
	(r.saved_cache + r.saved_coalesced + r.saved_prompt + r.saved_batch + r.saved_model) / 1e9::float8 AS saved_usd,
	r.saved_cache / 1e9::float8 AS saved_cache_usd, r.saved_coalesced / 1e9::float8 AS saved_coalesced_usd, r.saved_prompt / 1e9::float8 AS saved_prompt_usd,
	r.saved_batch / 1e9::float8 AS saved_batch_usd, r.saved_model / 1e9::float8 AS saved_model_usd,
	r.duration / 1e9::float8 AS seconds, nullif(r.first_token, 0) / 1e9::float8 AS first_token_seconds, r.attempts,
	call_outcome(r.code) AS outcome, r.stop AS stop_reason,
	nullif(r.service, 0) / 1e9::float8 AS service_seconds, CASE WHEN r.service != 0 OR r.waited != 0 THEN r.waited / 1e9::float8 END AS waited_seconds, r.batch,
	p.place AS project_path, r.refused, r.uncertain / 1e9::float8 AS uncertain_usd, n.key, n.team
FROM call_rows r JOIN call_names n ON n.id = r.name LEFT JOIN call_projects p ON p.project = n.project;

CREATE VIEW attempts AS
SELECT a.call, a.number, call_time(a.time) AS time, a.model,
	a.input AS input_tokens, a.output AS output_tokens, a.cache_read AS cache_read_tokens, a.cache_write_5m + a.cache_write_1h AS cache_write_tokens,
	a.cost / 1e9::float8 AS cost_usd, a.basis, a.duration / 1e9::float8 AS seconds, nullif(a.first_token, 0) / 1e9::float8 AS first_token_seconds,
	call_outcome(a.code) AS outcome, a.write_extra / 1e9::float8 AS cache_write_extra_usd, a.uncertain / 1e9::float8 AS uncertain_usd
FROM call_attempts a;

CREATE VIEW hourly AS
SELECT to_char(to_timestamp(start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:00:00"Z"') AS hour, kind, coalesce(p.name, r.project) AS project, value, source, calls, failed, retries,
	input AS input_tokens, output AS output_tokens, cache_read AS cache_read_tokens, cache_write_5m + cache_write_1h AS cache_write_tokens,
	cost / 1e9::float8 AS cost_usd, (saved_cache + saved_coalesced + saved_prompt + saved_batch + saved_model) / 1e9::float8 AS saved_usd,
	duration / 1e9::float8 AS seconds, longest / 1e9::float8 AS longest_seconds, p.place AS project_path, refused, uncertain / 1e9::float8 AS uncertain_usd
FROM call_rollups r LEFT JOIN call_projects p ON p.project = r.project WHERE seconds = 3600 AND kind != 'run';

CREATE VIEW daily AS
SELECT to_char(to_timestamp(start) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, kind, coalesce(p.name, r.project) AS project, value, source, calls, failed, retries,
	input AS input_tokens, output AS output_tokens, cache_read AS cache_read_tokens, cache_write_5m + cache_write_1h AS cache_write_tokens,
	cost / 1e9::float8 AS cost_usd, (saved_cache + saved_coalesced + saved_prompt + saved_batch + saved_model) / 1e9::float8 AS saved_usd,
	duration / 1e9::float8 AS seconds, longest / 1e9::float8 AS longest_seconds, p.place AS project_path, refused, uncertain / 1e9::float8 AS uncertain_usd
FROM call_rollups r LEFT JOIN call_projects p ON p.project = r.project WHERE seconds = 86400 AND kind != 'run';

CREATE VIEW workflow_runs AS
SELECT id AS run, coalesce(p.name, r.project) AS project, workflow, call_time(began) AS began, calls, cost / 1e9::float8 AS cost_usd,
	(ended - began) / 1e9::float8 AS seconds, alone / 1e9::float8 AS sequential_seconds, p.place AS project_path
FROM call_runs r LEFT JOIN call_projects p ON p.project = r.project;

CREATE VIEW tool_calls AS
SELECT r.id, call_time(r.time) AS time, coalesce(p.name, n.project) AS project, n.workflow, r.run, r.step, r.item,
	n.agent, n.tool, CASE r.outcome WHEN 0 THEN 'ok' WHEN 2 THEN 'denied' WHEN 3 THEN 'unknown' ELSE 'failed' END AS outcome,
	r.duration / 1e9::float8 AS seconds, p.place AS project_path
FROM call_tools r JOIN call_tool_names n ON n.id = r.name LEFT JOIN call_projects p ON p.project = n.project;

CREATE VIEW tool_tasks AS
SELECT r.id, call_time(r.time) AS time, coalesce(p.name, n.project) AS project, n.workflow, r.run, r.step, r.item,
	n.agent, n.tool AS model, r.turns, r.tool_calls, CASE r.failed WHEN 0 THEN 'ok' ELSE 'failed' END AS outcome,
	r.duration / 1e9::float8 AS seconds, p.place AS project_path
FROM call_tool_tasks r JOIN call_tool_names n ON n.id = r.name LEFT JOIN call_projects p ON p.project = n.project;
