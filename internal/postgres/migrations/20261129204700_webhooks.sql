-- +goose Up

-- Webhooks and what is to be sent to them. Times are in milliseconds since 1970; 0 is
-- never. Bodies are encrypted if the store is. Locks are taken in the order of these
-- tables.
CREATE TABLE webhooks (
	id         text PRIMARY KEY COLLATE "C",
	name       text NOT NULL UNIQUE COLLATE "C",
	url        text NOT NULL,
	events     text NOT NULL, -- a JSON array
	secret_env text NOT NULL,
	created    bigint NOT NULL,
	disabled   text NOT NULL, -- why; empty if it is not
	-- How far events were looked for.
	runs       bigint NOT NULL,
	runs_at    bigint NOT NULL, -- nanoseconds
	budgets    bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE webhook_deliveries (
	n        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	webhook  text NOT NULL COLLATE "C" REFERENCES webhooks (id),
	id       text NOT NULL UNIQUE COLLATE "C", -- of the event, to this webhook
	type     text NOT NULL,
	subject  text NOT NULL,
	body     bytea NOT NULL,
	created  bigint NOT NULL,
	state    text NOT NULL,
	attempts integer NOT NULL,
	last     bigint NOT NULL, -- attempt
	next     bigint NOT NULL, -- attempt
	status   integer NOT NULL, -- that was answered last
	problem  text NOT NULL,
	lease    text NOT NULL, -- of the process that sends it; empty if none does
	owner    text NOT NULL, -- that process, as JSON
	leased_until bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_limit = 1000);
CREATE INDEX webhook_deliveries_state ON webhook_deliveries (webhook, state, n);
