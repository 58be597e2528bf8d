//go:build linux

package main

// rows is how many rows a batch of the fit has.
const rows = 100

// schema has tables like those of the journal, the calls, the budgets and the answers.
const schema = `
CREATE TABLE runs (id int PRIMARY KEY, seq bigint NOT NULL, heartbeat timestamptz NOT NULL) WITH (fillfactor = 70);
INSERT INTO runs SELECT n, 0, now() FROM generate_series(1, 10000) n;
CREATE SEQUENCE numbers CACHE 1000;
CREATE TABLE events (run int, n bigint, at timestamptz NOT NULL, type text NOT NULL, step text NOT NULL, item text NOT NULL,
  attempt int NOT NULL, key bytea, output bytea, detail bytea, sum bytea NOT NULL, PRIMARY KEY (run, n));
CREATE TABLE calls (id bigint NOT NULL, at timestamptz NOT NULL, run text, step text, agent text, model text, workflow text, source text, key text, team text,
  input bigint, output bigint, cache_read bigint, cache_write bigint, usd bigint, saved bigint, uncertain bigint, took bigint, first bigint, attempts int,
  status text, detail bytea, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE TABLE calls_today PARTITION OF calls DEFAULT;
CREATE INDEX calls_at ON calls USING brin (at);
CREATE TABLE sums (unit text, at bigint, group_id int, calls bigint, input bigint, output bigint, usd bigint, saved bigint, sketch bytea,
  PRIMARY KEY (unit, at, group_id)) WITH (fillfactor = 70);
CREATE TABLE accounts (id int PRIMARY KEY, spent bigint NOT NULL, reserved bigint NOT NULL, cap bigint NOT NULL) WITH (fillfactor = 50);
INSERT INTO accounts SELECT n, 0, 0, 1::bigint << 60 FROM generate_series(1, 2000) n;
CREATE TABLE holds (id bigint PRIMARY KEY, owner int, accounts int[], money bigint, made timestamptz);
CREATE TABLE answers (key bytea PRIMARY KEY, made timestamptz NOT NULL, expires timestamptz, model text, body bytea NOT NULL);
ALTER TABLE answers ALTER body SET STORAGE EXTERNAL;
CREATE TABLE sizes (name text, bytes bigint);
ANALYZE;
`

// script is a transaction of pgbench.
type script struct{ name, text string }

const (
	insertEvents = `WITH owned AS (UPDATE runs SET seq = seq + %[1]d, heartbeat = now() WHERE id = :run RETURNING id)
INSERT INTO events SELECT id, nextval('numbers'), now(), 'step_finished', 'review/part-' || g, '', 1, decode(md5(g::text) || md5(random()::text), 'hex'),
  decode(repeat(md5(random()::text), 4), 'hex'), NULL, decode(md5(random()::text), 'hex') FROM owned, generate_series(1, %[1]d) g;
`
	insertCalls = `BEGIN;
INSERT INTO calls SELECT nextval('numbers'), now(), 'run_' || md5(random()::text), 'review/part-' || g, 'reviewer', 'claude-sonnet-5-5', 'review', 'service', 'ci', 'platform',
  1500, 400, 12000, 0, 9000000, 0, 0, 7000000000, 900000000, 1, 'ok', decode(md5(random()::text), 'hex') FROM generate_series(1, %[1]d) g;
INSERT INTO sums SELECT u, 1, (:group + g) %% 500, 1, 1500, 400, 9000000, 0, decode(repeat(md5(random()::text), 12), 'hex') FROM generate_series(1, least(%[1]d, 20)) g, unnest(ARRAY['day', 'hour']) u ORDER BY 1, 2, 3
  ON CONFLICT (unit, at, group_id) DO UPDATE SET calls = sums.calls + 1, input = sums.input + 1500, output = sums.output + 400, usd = sums.usd + 9000000, sketch = excluded.sketch;
COMMIT;
`
	reserveAndSettle = `BEGIN;
UPDATE accounts SET reserved = reserved + 10 WHERE id = 1 + :slot AND spent + reserved + 10 <= cap RETURNING id;
UPDATE accounts SET reserved = reserved + 10 WHERE id = 100 + :team AND spent + reserved + 10 <= cap RETURNING id;
UPDATE accounts SET reserved = reserved + 10 WHERE id = 500 + :key AND spent + reserved + 10 <= cap RETURNING id;
INSERT INTO holds VALUES (:hold, 1, ARRAY[1, 100, 500], 10, now());
COMMIT;
BEGIN;
UPDATE accounts SET reserved = reserved - 10, spent = spent + 5 WHERE id = 1 + :slot;
UPDATE accounts SET reserved = reserved - 10, spent = spent + 5 WHERE id = 100 + :team;
UPDATE accounts SET reserved = reserved - 10, spent = spent + 5 WHERE id = 500 + :key;
DELETE FROM holds WHERE id = :hold;
COMMIT;
`
	putAnswer = `INSERT INTO answers SELECT decode(md5(n::text) || md5(n::text), 'hex'), now(), now() + interval '1 day', 'claude-sonnet-5-5', decode(repeat(md5(random()::text), 100), 'hex')
  FROM nextval('numbers') n ON CONFLICT (key) DO NOTHING;
`
	getAnswer = `SELECT body, expires FROM answers WHERE key = decode(md5(:n::text) || md5(:n::text), 'hex');
`
	poll = `SELECT id, seq FROM runs WHERE id = :run;
`
)

// answerBytes is the size of the bodies that putAnswer stores.
const answerBytes = 1600
