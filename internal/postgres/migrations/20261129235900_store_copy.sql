-- +goose Up

-- The store that is being copied to this one; none once the copy is complete.
CREATE TABLE store_copy (
	id     boolean PRIMARY KEY DEFAULT true CHECK (id),
	source text NOT NULL,
	began  timestamptz NOT NULL DEFAULT clock_timestamp()
);
