//go:build nextversion

package postgres

import (
	"io/fs"
	"testing/fstest"
)

// nextStep is the migration of the next version: all that a step that only adds may do to
// the tables there are.
const nextStep = `-- +goose Up

CREATE TABLE next_notes (id bigint PRIMARY KEY, note text NOT NULL);
-- +goose StatementBegin
DO $$
DECLARE t regclass;
BEGIN
	FOR t IN SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
			AND relname NOT IN ('schema_versions', 'next_notes') ORDER BY oid LOOP
		EXECUTE format('ALTER TABLE %s ADD COLUMN next_note text, ADD COLUMN next_count bigint NOT NULL DEFAULT 7', t);
	END LOOP;
END $$;
-- +goose StatementEnd
`

// withNext returns the steps of the next version: those of this one, and one more.
func withNext(steps fs.FS) fs.FS {
	all := fstest.MapFS{"99990101000000_next.sql": {Data: []byte(nextStep)}}
	names, err := fs.Glob(steps, "*.sql")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(steps, name)
		if err != nil {
			panic(err)
		}
		all[name] = &fstest.MapFile{Data: data}
	}
	return all
}
