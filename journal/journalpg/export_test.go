package journalpg

import (
	"context"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/process"
)

// OpenAs opens a store for another process than this.
func OpenAs(ctx context.Context, db *postgres.DB, opts Options, host string, pid int) (*Store, error) {
	self := process.This()
	if host != "" {
		self.Host = host
	}
	if pid != 0 {
		self.PID = pid
		_, self.Born = process.Running(pid)
	}
	return openAs(ctx, db, opts, self)
}
