-- The key of the server that a call was made for, and its team. They are empty in
-- what the owner of the data folder does, and in what earlier versions recorded.
DROP VIEW calls;
CREATE TABLE call_names_8 (
	id       INTEGER PRIMARY KEY,
	project  TEXT NOT NULL,
	workflow TEXT NOT NULL,
	agent    TEXT NOT NULL,
	asked    TEXT NOT NULL,
	model    TEXT NOT NULL,
	source   TEXT NOT NULL,
	key      TEXT NOT NULL DEFAULT '', -- its name
	team     TEXT NOT NULL DEFAULT '',
	UNIQUE (project, workflow, agent, asked, model, source, key, team)
) STRICT;
INSERT INTO call_names_8 (id, project, workflow, agent, asked, model, source) SELECT id, project, workflow, agent, asked, model, source FROM call_names;
DROP TABLE call_names;
ALTER TABLE call_names_8 RENAME TO call_names;

-- So the sums by key, and by team, are those of all calls so far, also where rows
-- were dropped.
INSERT INTO call_rollups (seconds, kind, start, project, value, source,
	latency, service_latency, longest, calls, failed, live, cached, coalesced, unpriced, retries, input, output, cache_read,
	cache_write_5m, cache_write_1h, searches, cost, saved_cache, saved_coalesced, saved_prompt, saved_batch, saved_model,
	duration, alone, first_token, first_tokens, runs, run_wall, run_alone, outside_run, served, service, waited, refused,
	uncertain)
SELECT seconds, k.kind, start, project, value, source,
	latency, service_latency, longest, calls, failed, live, cached, coalesced, unpriced, retries, input, output, cache_read,
	cache_write_5m, cache_write_1h, searches, cost, saved_cache, saved_coalesced, saved_prompt, saved_batch, saved_model,
	duration, alone, first_token, first_tokens, runs, run_wall, run_alone, outside_run, served, service, waited, refused,
	uncertain
FROM call_rollups JOIN (SELECT 'key' AS kind UNION ALL SELECT 'team') k WHERE call_rollups.kind = 'source';

CREATE VIEW calls AS
SELECT r.id, strftime('%Y-%m-%dT%H:%M:%fZ', r.time / 1e9, 'unixepoch') AS time, coalesce(p.name, n.project) AS project, n.workflow, r.run, r.step, r.item,
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
	r.stop AS stop_reason,
	nullif(r.service, 0) / 1e9 AS service_seconds, CASE WHEN r.service != 0 OR r.waited != 0 THEN r.waited / 1e9 END AS waited_seconds, r.batch,
	p.place AS project_path, r.refused, r.uncertain / 1e9 AS uncertain_usd, n.key, n.team
FROM call_rows r JOIN call_names n ON n.id = r.name LEFT JOIN call_projects p ON p.project = n.project;
