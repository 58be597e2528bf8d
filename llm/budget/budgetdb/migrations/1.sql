-- What every scope has spent, and what calls in flight have reserved of it.
-- Money is in billionths of a dollar.
CREATE TABLE accounts (
  key               TEXT PRIMARY KEY,
  spent_money       INTEGER NOT NULL,
  spent_tokens      INTEGER NOT NULL,
  spent_calls       INTEGER NOT NULL,
  reserved_money    INTEGER NOT NULL,
  reserved_tokens   INTEGER NOT NULL,
  reserved_calls    INTEGER NOT NULL,
  uncertain_money   INTEGER NOT NULL,
  uncertain_tokens  INTEGER NOT NULL,
  uncertain_calls   INTEGER NOT NULL,
  changed           INTEGER NOT NULL -- seconds since 1970
) STRICT, WITHOUT ROWID;

-- The processes that reserve.
CREATE TABLE owners (
  id    INTEGER PRIMARY KEY AUTOINCREMENT,
  host  TEXT NOT NULL,
  boot  TEXT NOT NULL,
  pid   INTEGER NOT NULL,
  born  INTEGER NOT NULL
) STRICT;

-- The reservations of calls in flight.
CREATE TABLE holds (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  owner     INTEGER NOT NULL REFERENCES owners (id),
  accounts  TEXT NOT NULL, -- a JSON array of keys
  money     INTEGER NOT NULL,
  tokens    INTEGER NOT NULL,
  calls     INTEGER NOT NULL,
  made      INTEGER NOT NULL -- seconds since 1970
) STRICT;
