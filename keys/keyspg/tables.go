package keyspg

import (
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the store holds, in the order in which it is to be copied, but for
// the requests of the last minute.
func (s *Store) Tables() []tablecopy.Table {
	return []tablecopy.Table{
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "keys", From: "keys_keys", Key: 1, DB: s.db.DB,
			Columns: "id text, name text, team text, role text, models text, rpm int, last4 text, created int, expires int, used int, revoked int",
		}),
		postgres.NewCopyTable(postgres.CopyTable{Label: "secrets of keys", From: "keys_secrets", Key: 1, Columns: "hash blob, key text, until int", DB: s.db.DB}),
		postgres.NewCopyTable(postgres.CopyTable{Label: "budgets of keys", From: "keys_budgets", Key: 2, Columns: "level text, name text, usd real, every int, since int", DB: s.db.DB}),
		postgres.NewCopyTable(postgres.CopyTable{Label: "audit log", From: "keys_acts", Key: 1, Columns: "id int, time int, who text, action text, name text, detail text", Identity: "id", DB: s.db.DB}),
		postgres.NewCopyTable(postgres.CopyTable{Label: "browser sessions", From: "keys_sessions", Key: 1, Columns: "token blob, secret blob, expires int", DB: s.db.DB}),
	}
}
