-- +goose Up

-- Answers by the key of their call. Times are in nanoseconds since 1970. What is said is
-- in data, which is encrypted if the store is; names of agents and models are not.
CREATE TABLE cache_answers (
	key       bytea PRIMARY KEY,
	agent     text COLLATE "C" NOT NULL,
	model     text COLLATE "C" NOT NULL,
	created   bigint NOT NULL,
	expires   bigint, -- null for never
	size      bigint NOT NULL, -- bytes that count against the limit
	tokens    bigint NOT NULL,
	usd       double precision, -- null if unknown
	truncated boolean NOT NULL,
	sum       bytea NOT NULL, -- of key and data
	data      bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
CREATE INDEX cache_answers_created ON cache_answers (created, key);
CREATE INDEX cache_answers_expires ON cache_answers (expires) WHERE expires IS NOT NULL;

-- When each answer was last used. It is apart from the answers since it changes often.
CREATE TABLE cache_uses (
	key  bytea PRIMARY KEY,
	used bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
CREATE INDEX cache_uses_used ON cache_uses (used, key);

-- Sums over all answers, and what they were good for, in parts, so that processes do not
-- wait for each other.
CREATE TABLE cache_totals (
	part    integer PRIMARY KEY,
	entries bigint NOT NULL DEFAULT 0,
	bytes   bigint NOT NULL DEFAULT 0,
	hits    bigint NOT NULL DEFAULT 0,
	misses  bigint NOT NULL DEFAULT 0,
	tokens  bigint NOT NULL DEFAULT 0, -- saved by hits
	usd     double precision NOT NULL DEFAULT 0, -- saved by hits whose price is known
	priced  bigint NOT NULL DEFAULT 0 -- hits whose price is known
) WITH (fillfactor = 50);
INSERT INTO cache_totals (part) SELECT generate_series(0, 15);

-- How data is encrypted, from the first use on: null for not at all, else a known text,
-- sealed.
CREATE TABLE cache_cipher (
	id       boolean PRIMARY KEY DEFAULT true CHECK (id),
	verifier bytea
);
