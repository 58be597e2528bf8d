package journalpg

import (
	"context"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal/journaltest"
)

// OpenAs opens a store for another process than this.
func OpenAs(ctx context.Context, db *postgres.DB, opts Options, host string, pid int) (*Store, error) {
	return openAs(ctx, db, opts, journaltest.Process(host, pid))
}
