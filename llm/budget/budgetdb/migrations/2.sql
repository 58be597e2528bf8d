-- The attempt that a reservation is for; 0 if none was sent, and null in what earlier
-- versions reserved, of which that is not known.
ALTER TABLE holds ADD COLUMN attempt INTEGER;

-- The attempts of processes that are not known to be recorded.
CREATE TABLE attempts (
  id    INTEGER PRIMARY KEY, -- random
  owner INTEGER NOT NULL REFERENCES owners (id),
  note  TEXT NOT NULL, -- of whoever records it
  made  INTEGER NOT NULL -- seconds since 1970
) STRICT;
