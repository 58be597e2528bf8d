-- +goose Up

-- Keys of the server. Times are in seconds since 1970; 0 is never.
CREATE TABLE keys_keys (
	id      text PRIMARY KEY COLLATE "C",
	name    text NOT NULL UNIQUE COLLATE "C",
	team    text NOT NULL,
	role    text NOT NULL,
	models  text NOT NULL, -- a JSON array; null for all
	rpm     integer NOT NULL,
	last4   text NOT NULL,
	created bigint NOT NULL,
	expires bigint NOT NULL,
	used    bigint NOT NULL,
	revoked bigint NOT NULL
) WITH (fillfactor = 70);

-- The SHA-256 of the secrets of keys.
CREATE TABLE keys_secrets (
	hash  bytea PRIMARY KEY,
	key   text NOT NULL COLLATE "C" REFERENCES keys_keys (id),
	until bigint NOT NULL
);
CREATE INDEX keys_secrets_key ON keys_secrets (key);

CREATE TABLE keys_budgets (
	level text NOT NULL COLLATE "C",
	name  text NOT NULL COLLATE "C",
	usd   double precision NOT NULL,
	every bigint NOT NULL, -- seconds
	since bigint NOT NULL,
	PRIMARY KEY (level, name)
);

CREATE TABLE keys_acts (
	id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	time   bigint NOT NULL,
	who    text NOT NULL,
	action text NOT NULL,
	name   text NOT NULL,
	detail text NOT NULL
);

-- The requests of the last minute, of keys that may make only so many. It need not
-- outlast a crash of the database.
CREATE UNLOGGED TABLE keys_requests (
	key  bytea NOT NULL,
	time bigint NOT NULL -- nanoseconds since 1970
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
CREATE INDEX keys_requests_key ON keys_requests (key, time);
