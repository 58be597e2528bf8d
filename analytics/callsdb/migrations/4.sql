-- What writing to the prompt cache cost above the plain price; 0 in what earlier
-- versions recorded.
ALTER TABLE call_attempts ADD COLUMN write_extra INTEGER NOT NULL DEFAULT 0;
CREATE INDEX call_attempts_prompt ON call_attempts (time) WHERE cache_read + cache_write_5m + cache_write_1h > 0;

DROP VIEW attempts;
CREATE VIEW attempts AS
SELECT a.call, a.number, strftime('%Y-%m-%dT%H:%M:%fZ', a.time / 1e9, 'unixepoch') AS time, a.model,
	a.input AS input_tokens, a.output AS output_tokens, a.cache_read AS cache_read_tokens, a.cache_write_5m + a.cache_write_1h AS cache_write_tokens,
	a.cost / 1e9 AS cost_usd, a.basis, a.duration / 1e9 AS seconds, nullif(a.first_token, 0) / 1e9 AS first_token_seconds,
	CASE a.code WHEN 0 THEN 'ok' WHEN 1 THEN 'invalid_request' WHEN 2 THEN 'authentication' WHEN 3 THEN 'billing' WHEN 4 THEN 'not_found'
		WHEN 5 THEN 'too_large' WHEN 6 THEN 'rate_limit' WHEN 7 THEN 'spend_limit' WHEN 8 THEN 'overloaded' WHEN 9 THEN 'server'
		WHEN 10 THEN 'connection' WHEN 11 THEN 'incomplete' WHEN 12 THEN 'timeout' WHEN 13 THEN 'canceled' ELSE 'internal' END AS outcome,
	a.write_extra / 1e9 AS cache_write_extra_usd
FROM call_attempts a;
