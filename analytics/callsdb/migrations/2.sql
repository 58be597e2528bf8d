-- The time of the service apart from that of waiting. service and served are 0 in
-- what earlier versions recorded: their durations include the waiting.
ALTER TABLE call_rows ADD COLUMN service INTEGER NOT NULL DEFAULT 0; -- of the attempt that answered
ALTER TABLE call_rows ADD COLUMN waited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_rows ADD COLUMN batch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_rollups ADD COLUMN served INTEGER NOT NULL DEFAULT 0; -- calls whose service time is known
ALTER TABLE call_rollups ADD COLUMN service INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_rollups ADD COLUMN waited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_rollups ADD COLUMN service_latency BLOB NOT NULL DEFAULT x''; -- a sketch

-- Each request that was sent to the service.
CREATE TABLE call_attempts (
	call           INTEGER NOT NULL, -- of call_rows
	number         INTEGER NOT NULL, -- from 1, in the order in which they ended
	time           INTEGER NOT NULL, -- when it was sent
	duration       INTEGER NOT NULL,
	first_token    INTEGER NOT NULL,
	model          TEXT NOT NULL,
	code           INTEGER NOT NULL,
	basis          TEXT NOT NULL,    -- answer, free, part, unknown
	cost           INTEGER NOT NULL,
	input          INTEGER NOT NULL,
	output         INTEGER NOT NULL,
	cache_read     INTEGER NOT NULL,
	cache_write_5m INTEGER NOT NULL,
	cache_write_1h INTEGER NOT NULL,
	searches       INTEGER NOT NULL,
	PRIMARY KEY (call, number)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER call_rows_deleted AFTER DELETE ON call_rows BEGIN
	DELETE FROM call_attempts WHERE call = old.id;
END;

DROP VIEW calls;
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
	r.stop AS stop_reason,
	nullif(r.service, 0) / 1e9 AS service_seconds, CASE WHEN r.service != 0 OR r.waited != 0 THEN r.waited / 1e9 END AS waited_seconds, r.batch
FROM call_rows r JOIN call_names n ON n.id = r.name;


CREATE VIEW attempts AS
SELECT a.call, a.number, strftime('%Y-%m-%dT%H:%M:%fZ', a.time / 1e9, 'unixepoch') AS time, a.model,
	a.input AS input_tokens, a.output AS output_tokens, a.cache_read AS cache_read_tokens, a.cache_write_5m + a.cache_write_1h AS cache_write_tokens,
	a.cost / 1e9 AS cost_usd, a.basis, a.duration / 1e9 AS seconds, nullif(a.first_token, 0) / 1e9 AS first_token_seconds,
	CASE a.code WHEN 0 THEN 'ok' WHEN 1 THEN 'invalid_request' WHEN 2 THEN 'authentication' WHEN 3 THEN 'billing' WHEN 4 THEN 'not_found'
		WHEN 5 THEN 'too_large' WHEN 6 THEN 'rate_limit' WHEN 7 THEN 'spend_limit' WHEN 8 THEN 'overloaded' WHEN 9 THEN 'server'
		WHEN 10 THEN 'connection' WHEN 11 THEN 'incomplete' WHEN 12 THEN 'timeout' WHEN 13 THEN 'canceled' ELSE 'internal' END AS outcome
FROM call_attempts a;
