-- What attempts that broke off, or whose process was killed, may have been billed
-- beyond their cost. It is 0 in what earlier versions recorded, as is an attempt's id.
ALTER TABLE call_rows ADD COLUMN uncertain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_rollups ADD COLUMN uncertain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_attempts ADD COLUMN id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_attempts ADD COLUMN uncertain INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX call_attempts_id ON call_attempts (id) WHERE id != 0;

-- Attempts that were sent and of which nothing more is recorded, with their process.
CREATE TABLE call_sent (
	id   INTEGER PRIMARY KEY, -- of the attempt
	host TEXT NOT NULL,
	boot TEXT NOT NULL,
	pid  INTEGER NOT NULL,
	born INTEGER NOT NULL,
	call BLOB NOT NULL -- to add if the process is killed, in the form of the spool file
) STRICT;

DROP VIEW calls;
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
	p.place AS project_path, r.refused, r.uncertain / 1e9 AS uncertain_usd
FROM call_rows r JOIN call_names n ON n.id = r.name LEFT JOIN call_projects p ON p.project = n.project;

DROP VIEW hourly;
CREATE VIEW hourly AS
SELECT strftime('%Y-%m-%dT%H:00:00Z', start, 'unixepoch') AS hour, kind, coalesce(p.name, r.project) AS project, value, source, calls, failed, retries,
	input AS input_tokens, output AS output_tokens, cache_read AS cache_read_tokens, cache_write_5m + cache_write_1h AS cache_write_tokens,
	cost / 1e9 AS cost_usd, (saved_cache + saved_coalesced + saved_prompt + saved_batch + saved_model) / 1e9 AS saved_usd,
	duration / 1e9 AS seconds, longest / 1e9 AS longest_seconds, p.place AS project_path, refused, uncertain / 1e9 AS uncertain_usd
FROM call_rollups r LEFT JOIN call_projects p ON p.project = r.project WHERE seconds = 3600 AND kind != 'run';

DROP VIEW daily;
CREATE VIEW daily AS
SELECT date(start, 'unixepoch') AS day, kind, coalesce(p.name, r.project) AS project, value, source, calls, failed, retries,
	input AS input_tokens, output AS output_tokens, cache_read AS cache_read_tokens, cache_write_5m + cache_write_1h AS cache_write_tokens,
	cost / 1e9 AS cost_usd, (saved_cache + saved_coalesced + saved_prompt + saved_batch + saved_model) / 1e9 AS saved_usd,
	duration / 1e9 AS seconds, longest / 1e9 AS longest_seconds, p.place AS project_path, refused, uncertain / 1e9 AS uncertain_usd
FROM call_rollups r LEFT JOIN call_projects p ON p.project = r.project WHERE seconds = 86400 AND kind != 'run';

DROP VIEW attempts;
CREATE VIEW attempts AS
SELECT a.call, a.number, strftime('%Y-%m-%dT%H:%M:%fZ', a.time / 1e9, 'unixepoch') AS time, a.model,
	a.input AS input_tokens, a.output AS output_tokens, a.cache_read AS cache_read_tokens, a.cache_write_5m + a.cache_write_1h AS cache_write_tokens,
	a.cost / 1e9 AS cost_usd, a.basis, a.duration / 1e9 AS seconds, nullif(a.first_token, 0) / 1e9 AS first_token_seconds,
	CASE a.code WHEN 0 THEN 'ok' WHEN 1 THEN 'invalid_request' WHEN 2 THEN 'authentication' WHEN 3 THEN 'billing' WHEN 4 THEN 'not_found'
		WHEN 5 THEN 'too_large' WHEN 6 THEN 'rate_limit' WHEN 7 THEN 'spend_limit' WHEN 8 THEN 'overloaded' WHEN 9 THEN 'server'
		WHEN 10 THEN 'connection' WHEN 11 THEN 'incomplete' WHEN 12 THEN 'timeout' WHEN 13 THEN 'canceled' ELSE 'internal' END AS outcome,
	a.write_extra / 1e9 AS cache_write_extra_usd, a.uncertain / 1e9 AS uncertain_usd
FROM call_attempts a;
