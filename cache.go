package claudeforce

import (
	"context"
	"path/filepath"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm/cache/sqlite"
)

// CacheStats says what the response cache holds and what it has saved, also
// over earlier runs. It is zero if the cache is off.
func (o *Orchestrator) CacheStats(ctx context.Context) (sqlite.Stats, error) {
	if o.store == nil {
		return sqlite.Stats{}, nil
	}
	return o.store.Stats(ctx)
}

func cachePath(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "cache.db") }
