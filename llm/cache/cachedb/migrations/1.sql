-- Answers by the key of their call. Times are in nanoseconds since 1970. What is
-- said is in data, which is encrypted if the store is; names of agents and models
-- are not.
CREATE TABLE answers (
	id        INTEGER PRIMARY KEY,
	key       BLOB NOT NULL UNIQUE,
	agent     TEXT NOT NULL,
	model     TEXT NOT NULL,
	created   INTEGER NOT NULL,
	expires   INTEGER, -- null for never
	used      INTEGER NOT NULL,
	size      INTEGER NOT NULL, -- bytes that count against the limit
	tokens    INTEGER NOT NULL,
	usd       REAL, -- null if unknown
	truncated INTEGER NOT NULL,
	sum       BLOB NOT NULL, -- of key and data
	data      BLOB NOT NULL
);
CREATE INDEX answers_used ON answers (used);
CREATE INDEX answers_expires ON answers (expires);
CREATE INDEX answers_created ON answers (created);

-- Sums over all answers, and what they were good for.
CREATE TABLE totals (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	entries INTEGER NOT NULL,
	bytes   INTEGER NOT NULL,
	hits    INTEGER NOT NULL,
	misses  INTEGER NOT NULL,
	tokens  INTEGER NOT NULL, -- saved by hits
	usd     REAL NOT NULL,    -- saved by hits whose price is known
	priced  INTEGER NOT NULL, -- hits whose price is known
	folded  INTEGER NOT NULL  -- bytes of the file of uses that are counted in here
);
INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0);

-- How data is encrypted: null for not at all, else a known text, sealed.
CREATE TABLE cipher (id INTEGER PRIMARY KEY CHECK (id = 1), verifier BLOB);
