package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/keys/keysdb"
	"github.com/claude-force/claude-force/keys/keyspg"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetdb"
	"github.com/claude-force/claude-force/llm/budget/budgetpg"
)

// Ledger is a ledger of budgets that processes share.
type Ledger interface {
	budget.Ledger
	// Balances returns the states of the accounts whose keys start with prefix.
	Balances(prefix string) (map[string]budget.Balance, error)
	// NoteExceeded writes down that a scope has no room left for a call.
	NoteExceeded(e *budget.ExceededError) error
	// Recorded says that attempts are recorded elsewhere.
	Recorded(ids ...int64)
	Close() error
}

// Excesses are the scopes that had no room left for a call, as a ledger knows them.
type Excesses interface {
	// After returns at most limit scopes that were written down after a number, in order.
	After(ctx context.Context, after int64, limit int) ([]budget.Exceeded, error)
	// Last returns the number of the latest scope that was ever written down.
	Last(ctx context.Context) (int64, error)
	Close() error
}

// connect returns the database that cfg names. It connects when it is used.
func connect(cfg *config.Config) (*postgres.DB, error) {
	db, err := postgres.Connect(cfg.Store)
	return db, fault.Input(err)
}

// OpenLedger returns the ledger that budgets are charged to: in the database that cfg
// names, or in a file of the data folder. Close it when done.
func OpenLedger(cfg *config.Config) (Ledger, error) {
	if cfg.Store == "" {
		return budgetdb.New(DataDir(cfg.DataDir).Budget()), nil
	}
	db, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	return budgetpg.New(db), nil
}

// OpenExcesses returns what is written down of exceeded budgets in the ledger that cfg
// names. Close it when done.
func OpenExcesses(cfg *config.Config) (Excesses, error) {
	if cfg.Store == "" {
		return budgetdb.NewExcesses(DataDir(cfg.DataDir).Budget()), nil
	}
	db, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	return budgetpg.New(db), nil
}

// OpenKeys returns the store of keys that cfg names: in a database or in the data folder.
// The error is a [fault.InputError] if there is neither. Close the store when done.
func OpenKeys(cfg *config.Config) (keys.Store, error) {
	if cfg.Store != "" {
		db, err := connect(cfg)
		if err != nil {
			return nil, err
		}
		return keyspg.New(db), nil
	}
	if cfg.DataDir == "" {
		return nil, fault.Input(errors.New("no folder for the store of keys: set CLAUDE_FORCE_HOME, or HOME"))
	}
	return keysdb.New(DataDir(cfg.DataDir).Keys()), nil
}

// unrecordedTimeout bounds the look at the attempts of crashed processes, which can wait.
const unrecordedTimeout = 5 * time.Second

// unrecorded calls record with the attempts of crashed processes that are not known to be
// recorded, and forgets them if it returns nil.
func unrecorded(ctx context.Context, cfg *config.Config, record func([]budget.Attempt) error) error {
	if cfg.Store == "" {
		return budgetdb.Unrecorded(DataDir(cfg.DataDir).Budget(), record)
	}
	db, err := connect(cfg)
	if err != nil {
		return err
	}
	ledger := budgetpg.New(db)
	ctx, cancel := context.WithTimeout(ctx, unrecordedTimeout)
	defer cancel()
	return errors.Join(ledger.Unrecorded(ctx, record), ledger.Close())
}
