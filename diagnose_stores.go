package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	units "github.com/docker/go-units"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/oslimit"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm/budget/budgetdb"
	"github.com/claude-force/claude-force/pipeline"
)

const (
	lowSpace = 256 << 20 // bytes: a warning
	noSpace  = 8 << 20   // bytes: less than a store needs to write
)

// storeChecks returns the checks of everything in the data folder. Each store is opened
// as calls open it, read as a whole, and written to.
func storeChecks(cfg *config.Config) []check {
	dir := pipeline.DataDir(cfg.DataDir)
	if dir == "" {
		return []check{one("store", func(context.Context) Check {
			return Check{"store", CheckFailed, "there is no data folder", "set CLAUDE_FORCE_HOME, or HOME"}
		})}
	}
	return []check{
		one("space", func(context.Context) Check { return checkSpace(string(dir)) }),
		one("store", func(ctx context.Context) Check { return checkCache(ctx, cfg) }),
		one("history", func(ctx context.Context) Check { return checkHistory(ctx, cfg) }),
		one("budget", func(ctx context.Context) Check { return checkBudget(ctx, cfg) }),
		one("folders", func(context.Context) Check {
			return checkFolders(string(dir), dir.Limits(), dir.Batches(false), dir.Logs())
		}),
	}
}

// one returns a check of a single thing.
func one(name string, run func(ctx context.Context) Check) check {
	return check{[]string{name}, func(ctx context.Context) []Check { return []Check{run(ctx)} }}
}

func checkSpace(dir string) Check {
	free, err := oslimit.Free(dir)
	detail := fmt.Sprintf("%s free on the file system of %s", units.BytesSize(float64(free)), dir)
	switch {
	case err != nil:
		return Check{"space", CheckSkipped, err.Error(), ""}
	case free < noSpace:
		return Check{"space", CheckFailed, "the disk is full: " + detail, "free some space; without it nothing can be stored"}
	case free < lowSpace:
		return Check{"space", CheckWarned, detail, "free some space before stores can no longer be written"}
	}
	return Check{"space", CheckPassed, detail, ""}
}

func checkCache(ctx context.Context, cfg *config.Config) Check {
	if !cfg.Cache.Enabled {
		return Check{"store", CheckWarned, "the response cache is off", "set cache.enabled to true to pay once for the same call"}
	}
	path, hint := pipeline.DataDir(cfg.DataDir).Cache(), func(err error) string {
		switch {
		case sqlitefile.Damaged(err):
			return "calls are made without the cache; it is safe to delete"
		case isSetting(err):
			return "no call is made until that is corrected"
		}
		return "calls are made without the cache until that is corrected"
	}
	if cfg.Store != "" {
		path, hint = cfg.Value("store"), func(error) string {
			return "calls are made without the cache; check the setting store, and the database"
		}
	}
	store, err := pipeline.OpenCache(ctx, cfg)
	if err != nil {
		return failedStore(ctx, "store", path, err, hint(err))
	}
	stats, err := store.Stats(ctx)
	if err = errors.Join(err, store.Close()); err == nil && cfg.Store == "" {
		err = sqlitefile.Check(ctx, path)
	}
	if err != nil {
		return failedStore(ctx, "store", path, err, hint(err))
	}
	return Check{"store", CheckPassed, fmt.Sprintf("%s, %d answers", path, stats.Entries), ""}
}

func checkHistory(ctx context.Context, cfg *config.Config) Check {
	path := pipeline.DataDir(cfg.DataDir).History()
	hint := func(err error) string {
		if sqlitefile.Damaged(err) {
			return "nothing is run without it; keep a copy, and put a backup in its place or move it away to start over"
		}
		return "nothing is run until that is corrected"
	}
	if cfg.Store != "" {
		return checkDatabase(ctx, cfg)
	}
	runs, err := openHistory(ctx, cfg)
	if err != nil {
		return failedStore(ctx, "history", path, err, hint(err))
	}
	calls, err := pipeline.OpenCalls(ctx, cfg)
	if err == nil {
		err = calls.Close()
	}
	if err = errors.Join(err, runs.Close()); err == nil {
		err = sqlitefile.Check(ctx, path)
	}
	if err != nil {
		return failedStore(ctx, "history", path, err, hint(err))
	}
	return Check{"history", CheckPassed, path, ""}
}

// isSetting reports whether an error of opening a store is one of the settings, such as a key
// that is not the store's, or says that this program is too old for the store. What is stored
// may be sound then.
func isSetting(err error) bool {
	return fault.Has(err, fault.KindInput) || fault.Has(err, fault.KindOutdated) ||
		errors.Is(err, seal.ErrWrongKey) || errors.Is(err, seal.ErrEncrypted) || errors.Is(err, seal.ErrNotEncrypted)
}

// HintMigrate is the hint of the check of a database whose schema is not up to date.
const HintMigrate = "bring its schema up to date"

// checkDatabase opens the history in the database, which checks the schema, and reads it.
func checkDatabase(ctx context.Context, cfg *config.Config) Check {
	runs, err := openHistory(ctx, cfg)
	if err == nil {
		_, err = runs.Find(ctx, journal.Latest)
		if errors.Is(err, journal.ErrNotFound) {
			err = nil // it is empty
		}
		err = errors.Join(err, runs.Close())
	}
	if schema, ok := errors.AsType[*postgres.SchemaError](err); ok && !schema.Newer {
		return failedStore(ctx, "history", cfg.Value("store"), err, HintMigrate)
	}
	if err != nil {
		return failedStore(ctx, "history", cfg.Value("store"), err, "nothing is run without it; check the setting store, and the database")
	}
	return Check{"history", CheckPassed, cfg.Value("store"), ""}
}

func checkBudget(ctx context.Context, cfg *config.Config) Check {
	if cfg.Store != "" {
		return checkSharedBudget(ctx, cfg)
	}
	path := pipeline.DataDir(cfg.DataDir).Budget()
	ledger := budgetdb.New(path)
	_, err := ledger.Balances("")
	if err = errors.Join(err, ledger.Close()); err == nil {
		err = sqlitefile.Check(ctx, path)
	}
	if err != nil {
		hint := "no call is made that a budget applies to until that is corrected"
		if sqlitefile.Damaged(err) {
			hint = "no call is made that a budget applies to; put a backup in its place, or move it away to start with nothing spent"
		}
		return failedStore(ctx, "budget", path, err, hint)
	}
	return Check{"budget", CheckPassed, path, ""}
}

func checkValkey(ctx context.Context, cfg *config.Config) Check {
	addr, version, err := pipeline.PingValkey(ctx, cfg)
	if isSetting(err) {
		return Check{"valkey", CheckFailed, err.Error(), "correct it; no call is made until then"}
	}
	if err != nil {
		return Check{"valkey", CheckFailed, fmt.Sprintf("%s: %v", addr, err), "start it, correct the setting valkey, or give its user the rights that docs/scale.md names; without it each process keeps to a share of the rate limits"}
	}
	if version == "" {
		version = "whose version the user may not ask for"
	}
	return Check{"valkey", CheckPassed, addr + ", " + version, ""}
}

// checkSharedBudget reads the ledger in the database.
func checkSharedBudget(ctx context.Context, cfg *config.Config) Check {
	exceeded, err := pipeline.OpenExcesses(cfg)
	if err == nil {
		_, err = exceeded.Last(ctx)
		err = errors.Join(err, exceeded.Close())
	}
	if err != nil {
		return failedStore(ctx, "budget", cfg.Value("store"), err, "no call is made that a budget applies to; check the setting store, and the database")
	}
	return Check{"budget", CheckPassed, cfg.Value("store"), ""}
}

// failedStore returns the check of a store that cannot be used.
func failedStore(ctx context.Context, name, path string, err error, hint string) Check {
	if ctx.Err() != nil {
		return Check{name, CheckSkipped, fmt.Sprintf("%s could not be checked in time", path), "try again when no other process uses it"}
	}
	return Check{name, CheckFailed, err.Error(), hint}
}

// checkFolders writes a file to each folder that exists, and to the first, which is made.
func checkFolders(first string, others ...string) Check {
	err := os.MkdirAll(first, 0o700)
	if err == nil {
		err = tryFolder(first)
	}
	for _, dir := range others {
		if err == nil {
			err = tryFolder(dir)
		}
	}
	if err != nil {
		return Check{"folders", CheckFailed, err.Error(), "make it a folder that you may write to, or use another with CLAUDE_FORCE_HOME"}
	}
	return Check{"folders", CheckPassed, "files can be written in " + first, ""}
}

// tryFolder writes a file to a folder and removes it. A folder that is missing is made
// when it is needed.
func tryFolder(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, err := os.CreateTemp(dir, ".check-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("check")
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}
