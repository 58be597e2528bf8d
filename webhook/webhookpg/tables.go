package webhookpg

import (
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/tablecopy"
)

// Tables returns what the store holds, in the order in which it is to be copied.
func (s *Store) Tables() []tablecopy.Table {
	return []tablecopy.Table{
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "webhooks", From: "webhooks", Key: 1, DB: s.db.DB,
			Columns: "id text, name text, url text, events text, secret_env text, created int, disabled text, runs int, runs_at int, budgets int",
		}),
		postgres.NewCopyTable(postgres.CopyTable{
			Label: "deliveries", From: "webhook_deliveries", Key: 1, Identity: "n", DB: s.db.DB,
			Columns: "n int, webhook text, id text, type text, subject text, body blob, created int, state text, attempts int, last int, next int, status int, problem text, lease text, owner text, leased_until int",
		}),
	}
}
