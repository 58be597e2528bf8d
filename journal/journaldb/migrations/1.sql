-- Times are in nanoseconds since 1970. Blobs of text are encrypted if the file is.

CREATE TABLE runs (
	n         INTEGER PRIMARY KEY,
	id        TEXT NOT NULL UNIQUE,
	workflow  BLOB NOT NULL,
	file      BLOB NOT NULL,
	spec      BLOB,
	spec_sum  BLOB, -- of spec
	status    TEXT NOT NULL,
	started   INTEGER NOT NULL,
	finished  INTEGER, -- null if it has not ended
	steps     INTEGER NOT NULL,
	usd       REAL NOT NULL,
	tokens    INTEGER NOT NULL,
	seq       INTEGER NOT NULL, -- of the last event
	-- Who works on the run; null if nobody does. Only who knows the token may
	-- write events.
	token     BLOB,
	host      TEXT,
	boot      TEXT, -- tells one start of a machine, and one space of pids, from another
	pid       INTEGER,
	born      INTEGER, -- when the process started, in a unit of its system; 0 if unknown
	since     INTEGER,
	heartbeat INTEGER,
	sum       BLOB NOT NULL -- of all columns but n, spec and spec_sum
) STRICT;
CREATE INDEX runs_started ON runs (started, n);

CREATE TABLE events (
	id      INTEGER PRIMARY KEY, -- run's n << 32 | number of the event
	time    INTEGER NOT NULL,
	type    TEXT NOT NULL,
	step    TEXT NOT NULL,
	item    TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	key     BLOB,    -- null if there is none
	output  INTEGER, -- n of outputs; null for an empty one
	detail  BLOB,
	sum     BLOB NOT NULL -- of the run's id, the event's number, all columns above, and the output's hash
) STRICT;
CREATE INDEX events_output ON events (output) WHERE output IS NOT NULL;
CREATE INDEX events_sent ON events (id) WHERE type IN ('approval_given', 'cancel_asked');

-- Answers of steps, each once however many events have it.
CREATE TABLE outputs (
	n    INTEGER PRIMARY KEY,
	hash BLOB NOT NULL UNIQUE, -- SHA-256; with encryption an HMAC
	data BLOB NOT NULL
) STRICT;

-- How the file is encrypted: null for not at all, else a known text, sealed.
CREATE TABLE cipher (id INTEGER PRIMARY KEY CHECK (id = 1), verifier BLOB) STRICT;
