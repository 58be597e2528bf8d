-- The engine that owns a run instead of a process, until it has ended; null for none. A
-- row's sum covers it if there is one.
ALTER TABLE runs ADD COLUMN engine TEXT;

-- Who writes the parts of a run that an engine owns. Only who knows the token may write
-- the part.
CREATE TABLE parts (
	run   INTEGER NOT NULL,
	part  BLOB NOT NULL, -- of any text
	token BLOB NOT NULL,
	PRIMARY KEY (run, part)
) STRICT, WITHOUT ROWID;
