package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/journal/journalpg"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/pipeline"
)

// OpenHistory opens the store of runs that cfg names, to see and steer them: a database
// or a file. It makes no file: where nothing has run yet it gives an empty store. It needs no
// credential of the API. Close it when done.
func OpenHistory(ctx context.Context, cfg *config.Config) (journal.Store, error) {
	if cfg.Store != "" {
		return openHistory(ctx, cfg)
	}
	if cfg.DataDir == "" {
		return nil, invalid(errors.New("no folder for the history of runs: set CLAUDE_FORCE_HOME, or HOME"))
	}
	if _, err := os.Stat(pipeline.DataDir(cfg.DataDir).History()); errors.Is(err, fs.ErrNotExist) {
		return memory.New(), nil
	}
	return openHistory(ctx, cfg)
}

// CreateHistory opens the store of runs as [OpenHistory] does, and makes it if there is
// none: for a process that outlasts the first run.
func CreateHistory(ctx context.Context, cfg *config.Config) (journal.Store, error) {
	if cfg.DataDir == "" && cfg.Store == "" {
		return OpenHistory(ctx, cfg) // which says what to do
	}
	return openHistory(ctx, cfg)
}

// openHistory opens the store of runs. It makes the file if there is none.
func openHistory(ctx context.Context, cfg *config.Config) (journal.Store, error) {
	key, err := pipeline.EncryptionKey(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Store != "" {
		db, err := postgres.Open(ctx, cfg.Store)
		if err != nil {
			return nil, invalid(err)
		}
		store, err := journalpg.Open(ctx, db, journalpg.Options{Key: key})
		if err != nil {
			db.Close()
			return nil, invalid(err)
		}
		return store, nil
	}
	store, err := journaldb.Open(pipeline.DataDir(cfg.DataDir).History(), journaldb.Options{Key: key})
	if err != nil {
		return nil, invalid(err)
	}
	return store, nil
}

// History returns the store that the orchestrator's runs are written to. It is closed
// with the orchestrator.
func (o *Orchestrator) History(ctx context.Context) (journal.Store, error) { return o.history(ctx) }

// history opens the store of runs with the first use: a process that gives one
// task to one agent does without.
func (o *Orchestrator) history(ctx context.Context) (journal.Store, error) {
	o.opening.Lock()
	defer o.opening.Unlock()
	if o.runs != nil {
		return o.runs, nil
	}
	if o.opts.Replay != nil || o.config.DataDir == "" && o.config.Store == "" {
		if o.opts.Replay == nil {
			o.notice(ctx, "there is no folder for the history of runs, so this run cannot be resumed; set CLAUDE_FORCE_HOME, or HOME")
		}
		o.runs = memory.New()
		return o.runs, nil
	}
	store, err := openHistory(ctx, o.config)
	if err != nil {
		return nil, err
	}
	o.runs = store
	return store, nil
}

// Decide answers the approval that a unit of a run in this process waits for.
func (o *Orchestrator) Decide(ctx context.Context, run, path, item string, d journal.Decision) error {
	store, err := o.history(ctx)
	if err != nil {
		return err
	}
	err = store.Signal(ctx, journal.Event{Run: run, Type: journal.ApprovalGiven, Step: path, Item: item, Detail: journal.Detail(d)})
	if err != nil {
		return fmt.Errorf("answering run %s: %w", run, err)
	}
	return nil
}
