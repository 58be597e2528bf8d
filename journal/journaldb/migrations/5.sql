-- The name of the key of a server that a run was started with: null for none, and of a run
-- that an earlier version started. A row's sum covers it if there is one.
ALTER TABLE runs ADD COLUMN started_by TEXT;
CREATE INDEX runs_started_by ON runs (started_by) WHERE started_by IS NOT NULL;
