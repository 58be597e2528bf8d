package main

import (
	"context"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/compare/sets"
)

// periodSet returns what was recorded in a period.
func (a *app) periodSet(ctx context.Context, name string) (set compare.Set, err error) {
	now, err := a.now()
	if err != nil {
		return set, err
	}
	err = a.withCalls(ctx, func(ctx context.Context, store analytics.Store) error {
		of, rows, err := sets.OfPeriod(ctx, store, name, now.Location())
		if !rows.IsZero() {
			a.say("%s", rowsNote(rows.In(now.Location())))
		}
		set = of
		return err
	})
	return set, err
}
