-- Runs that have not ended are few, and asked for by each page of a server.
CREATE INDEX runs_open ON runs (n) WHERE status IN ('running', 'waiting', 'interrupted');
