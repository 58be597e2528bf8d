-- The events that others may want to hear of, of all runs, in the order in which they
-- were written: numbers are never used again.
CREATE TABLE notices (
	n     INTEGER PRIMARY KEY AUTOINCREMENT,
	event INTEGER NOT NULL UNIQUE -- id of events
) STRICT;
