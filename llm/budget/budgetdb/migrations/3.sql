-- The accounts that had no room left for a call, each the first time. Amounts are in
-- billionths of a dollar, tokens or calls. Numbers are never used again.
CREATE TABLE exceeded (
  n       INTEGER PRIMARY KEY AUTOINCREMENT,
  account TEXT NOT NULL UNIQUE,
  level   TEXT NOT NULL,
  name    TEXT NOT NULL,
  kind    TEXT NOT NULL,
  most    INTEGER NOT NULL,
  spent   INTEGER NOT NULL,
  at      INTEGER NOT NULL -- seconds since 1970
) STRICT;
