package scheduledb

import (
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the store holds.
func (s *Store) Tables() []tablecopy.Table {
	return []tablecopy.Table{sqlitefile.NewTable(sqlitefile.Table{
		Label: "schedules", From: "schedules", Key: 1, Use: s.file.Use,
		Columns: "id text, dir text, name text, spec text, paused bool, decided int, last_run text, tick int, pending bool, problem text",
	})}
}
