package keysdb

import (
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the store holds, in the order in which it is to be copied, but for
// the requests of the last minute.
func (s *Store) Tables() []tablecopy.Table {
	return []tablecopy.Table{
		sqlitefile.NewTable(sqlitefile.Table{
			Label: "keys", From: "keys", Key: 1, Use: s.file.Use,
			Columns: "id text, name text, team text, role text, models text, rpm int, last4 text, created int, expires int, used int, revoked int",
		}),
		sqlitefile.NewTable(sqlitefile.Table{Label: "secrets of keys", From: "secrets", Key: 1, Columns: "hash blob, key text, until int", Use: s.file.Use}),
		sqlitefile.NewTable(sqlitefile.Table{Label: "budgets of keys", From: "budgets", Key: 2, Columns: "level text, name text, usd real, every int, since int", Use: s.file.Use}),
		sqlitefile.NewTable(sqlitefile.Table{Label: "audit log", From: "acts", Key: 1, Columns: "id int, time int, who text, action text, name text, detail text", Use: s.file.Use}),
		sqlitefile.NewTable(sqlitefile.Table{Label: "browser sessions", From: "sessions", Key: 1, Columns: "token blob, secret blob, expires int", Use: s.file.Use}),
	}
}
