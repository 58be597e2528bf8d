package main

import (
	"context"

	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/compare/sets"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// runSet returns the metrics of a run, read from its journal.
func (a *app) runSet(ctx context.Context, id string) (set compare.Set, err error) {
	err = a.withHistory(ctx, func(store journal.Store) error {
		detail, err := runs.Load(ctx, store, id)
		if err == nil {
			set = sets.OfRun(detail)
		}
		return err
	})
	return set, err
}
