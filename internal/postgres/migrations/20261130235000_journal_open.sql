-- +goose Up

-- Runs that have not ended are few, and asked for by each server and worker once a second;
-- those of a day are asked for by each page that shows it.
CREATE INDEX journal_runs_open ON journal_runs (n) WHERE status IN ('running', 'waiting', 'interrupted');
CREATE INDEX journal_runs_started ON journal_runs (started);
