package schedulepg

import (
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the store holds.
func (s *Store) Tables() []tablecopy.Table {
	return []tablecopy.Table{postgres.NewCopyTable(postgres.CopyTable{
		Label: "schedules", From: "schedules", Key: 1, DB: s.db.DB,
		Columns: "id text, dir blob, name text, spec text, paused bool, decided int, last_run text, tick int, pending bool, problem blob",
	})}
}
