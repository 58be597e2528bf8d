-- Times are in milliseconds since 1970; 0 is never. Bodies are encrypted if the file is.
CREATE TABLE webhooks (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE,
  url        TEXT NOT NULL,
  events     TEXT NOT NULL, -- a JSON array
  secret_env TEXT NOT NULL,
  created    INTEGER NOT NULL,
  disabled   TEXT NOT NULL, -- why; empty if it is not
  -- How far events were looked for.
  runs       INTEGER NOT NULL,
  runs_at    INTEGER NOT NULL, -- nanoseconds
  budgets    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
  n        INTEGER PRIMARY KEY AUTOINCREMENT,
  webhook  TEXT NOT NULL REFERENCES webhooks (id),
  id       TEXT NOT NULL UNIQUE, -- of the event, to this webhook
  type     TEXT NOT NULL,
  subject  TEXT NOT NULL,
  body     BLOB NOT NULL,
  created  INTEGER NOT NULL,
  state    TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  last     INTEGER NOT NULL, -- attempt
  next     INTEGER NOT NULL, -- attempt
  status   INTEGER NOT NULL, -- that was answered last
  problem  TEXT NOT NULL,
  lease    TEXT NOT NULL, -- of the process that sends it; empty if none does
  owner    TEXT NOT NULL, -- that process, as JSON
  leased_until INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_state ON deliveries (webhook, state, n);
