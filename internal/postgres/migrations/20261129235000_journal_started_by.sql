-- +goose Up

-- The name of the key of a server that a run was started with: null for none, and of a run
-- that an earlier version started.
ALTER TABLE journal_runs ADD COLUMN started_by text;
CREATE INDEX journal_runs_started_by ON journal_runs (started_by, n) WHERE started_by IS NOT NULL;
