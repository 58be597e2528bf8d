-- Browsers that have logged in, by the SHA-256 of their tokens.
CREATE TABLE sessions (
  token   BLOB PRIMARY KEY,
  secret  BLOB NOT NULL, -- the SHA-256 of that of the key
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
