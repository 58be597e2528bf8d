-- Times are in seconds since 1970; 0 is never.
CREATE TABLE keys (
  id      TEXT PRIMARY KEY,
  name    TEXT NOT NULL UNIQUE,
  team    TEXT NOT NULL,
  role    TEXT NOT NULL,
  models  TEXT NOT NULL, -- a JSON array; null for all
  rpm     INTEGER NOT NULL,
  last4   TEXT NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  used    INTEGER NOT NULL,
  revoked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The SHA-256 of the secrets of keys.
CREATE TABLE secrets (
  hash  BLOB PRIMARY KEY,
  key   TEXT NOT NULL REFERENCES keys (id),
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX secrets_key ON secrets (key);

CREATE TABLE budgets (
  level TEXT NOT NULL,
  name  TEXT NOT NULL,
  usd   REAL NOT NULL,
  every INTEGER NOT NULL, -- seconds
  since INTEGER NOT NULL,
  PRIMARY KEY (level, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE acts (
  id     INTEGER PRIMARY KEY,
  time   INTEGER NOT NULL,
  who    TEXT NOT NULL,
  action TEXT NOT NULL,
  name   TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;

-- The requests of the last minute, of keys that may make only so many.
CREATE TABLE requests (
  key  TEXT NOT NULL,
  time INTEGER NOT NULL, -- nanoseconds since 1970
  n    INTEGER NOT NULL, -- of those at one time
  PRIMARY KEY (key, time, n)
) STRICT, WITHOUT ROWID;
