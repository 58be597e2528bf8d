-- Times are in seconds since 1970; 0 is never.
CREATE TABLE schedules (
  id       TEXT PRIMARY KEY,
  dir      TEXT NOT NULL,
  name     TEXT NOT NULL,
  spec     TEXT NOT NULL, -- a JSON object: what does not change
  paused   INTEGER NOT NULL,
  decided  INTEGER NOT NULL,
  last_run TEXT NOT NULL,
  tick     INTEGER NOT NULL, -- of last_run
  pending  INTEGER NOT NULL, -- last_run is not started yet
  problem  TEXT NOT NULL,
  UNIQUE (dir, name)
) STRICT, WITHOUT ROWID;
