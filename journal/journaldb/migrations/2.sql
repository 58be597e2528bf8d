-- How a step ended the run, as JSON, sealed like other text: null if none did, and of a run
-- that an earlier version ended. A row's sum covers it if there is one.
ALTER TABLE runs ADD COLUMN exit BLOB;
