package pipeline

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/seal"
)

// DataDir is the folder that holds what outlives a process. Its methods return
// the paths of the files and folders in it.
type DataDir string

// Cache returns the path of the response cache. The file is safe to delete.
func (d DataDir) Cache() string { return filepath.Join(string(d), "cache.db") }

// History returns the path of the store of runs and recorded calls.
func (d DataDir) History() string { return filepath.Join(string(d), "history.db") }

// Unsent returns the path beside which recorded calls wait that are not in the database yet.
func (d DataDir) Unsent() string { return filepath.Join(string(d), "postgres") }

// Budget returns the path of the ledger that budgets are charged to.
func (d DataDir) Budget() string { return filepath.Join(string(d), "budget.db") }

// Keys returns the path of the store of keys.
func (d DataDir) Keys() string { return filepath.Join(string(d), "keys.db") }

// Limits returns the folder in which processes share what they have learned of
// the service's rate limits.
func (d DataDir) Limits() string { return filepath.Join(string(d), "limits") }

// MCPTrust returns the path of the file of the MCP servers that the user trusts.
func (d DataDir) MCPTrust() string { return filepath.Join(string(d), "mcp-trust.json") }

// Logs returns the folder of what detached runs say.
func (d DataDir) Logs() string { return filepath.Join(string(d), "logs") }

// Schedules returns the path of the store of schedules.
func (d DataDir) Schedules() string { return filepath.Join(string(d), "schedules.db") }

// Webhooks returns the path of the store of webhooks.
func (d DataDir) Webhooks() string { return filepath.Join(string(d), "webhooks.db") }

// ServerKey returns the path of the file with the key of the server's owner.
func (d DataDir) ServerKey() string { return filepath.Join(string(d), "server-key") }

// Worktrees returns the folder of the worktrees that steps work in. It is beside the
// others: agents may not see what is in those.
func (d DataDir) Worktrees() string {
	if d == "" {
		return ""
	}
	return string(d) + "-worktrees"
}

// Batches returns the folder that remembers submitted message batches. Those of
// a simulator end with it and have a folder of their own.
func (d DataDir) Batches(simulated bool) string {
	if simulated {
		return filepath.Join(string(d), "batches-simulated")
	}
	return filepath.Join(string(d), "batches")
}

// EncryptionKey fetches the key that encrypts the stores. It returns nil if cfg
// names none. The error is a [fault.InputError].
func EncryptionKey(ctx context.Context, cfg *config.Config) ([]byte, error) {
	if cfg.Cache.EncryptionKey == "" {
		return nil, nil
	}
	key, err := seal.LoadKey(ctx, cfg.Cache.EncryptionKey)
	if err != nil {
		return nil, fault.Input(fmt.Errorf("reading the encryption key: %w", err))
	}
	return key, nil
}
