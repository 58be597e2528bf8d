package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/sqlite"
	"github.com/claude-force/claude-force/llm"
)

// Query measures the list of runs with what each cost: from their headers, which
// are kept up to date with every event, and raw, by adding up all events.
func Query(ctx context.Context, opts Options) (*Result, error) {
	opts = opts.withDefaults()
	runs := 100
	if opts.Small {
		runs = 5
	}
	var c collector
	err := inScratch(func(dir string) (err error) {
		store, err := sqlite.Open(filepath.Join(dir, "history.db"), sqlite.Options{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		if err := fill(ctx, store, runs); err != nil {
			return err
		}
		for sample := range opts.Samples {
			opts.Progress(fmt.Sprintf("query: sample %d of %d", sample+1, opts.Samples))
			if err := c.query(ctx, store); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Result{Metrics: c.metrics}, nil
}

// fill makes runs of 20 steps.
func fill(ctx context.Context, store journal.Store, runs int) error {
	for i := range runs {
		log, err := store.Create(ctx, journal.Run{ID: fmt.Sprintf("run_%06d", i), Workflow: "bench"})
		if err != nil {
			return fmt.Errorf("filling the history: %w", err)
		}
		for s := range 20 {
			step := fmt.Sprintf("step%d", s)
			log.Append(
				journal.Event{Type: journal.StepStarted, Step: step, Attempt: 1, Detail: journal.Detail(journal.Started{Agent: "linter", Task: "check the style"})},
				journal.Event{Type: journal.StepFinished, Step: step, Attempt: 1, Output: fmt.Sprintf("%0500d", i*20+s), Detail: journal.Detail(journal.Finished{
					Source: llm.SourceLive, Usage: llm.Usage{InputTokens: 900, OutputTokens: 500}, CostUSD: new(0.01), DurationSeconds: 1,
				})},
			)
		}
		err = log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.Ended{Status: journal.StatusCompleted})})()
		if err = errors.Join(err, log.Release()); err != nil {
			return fmt.Errorf("filling the history: %w", err)
		}
	}
	return nil
}

func (c *collector) query(ctx context.Context, store journal.Store) error {
	var ids []string
	var headers, events float64
	start := time.Now()
	for run, err := range store.Runs(ctx, journal.Filter{}) {
		if err != nil {
			return err
		}
		ids = append(ids, run.ID)
		headers += run.CostUSD
	}
	cached := time.Since(start)
	start = time.Now()
	for _, id := range ids {
		state, err := journal.Fold(store.Events(ctx, id, 0))
		if err != nil {
			return err
		}
		for _, u := range state.Order {
			if u.Finished.CostUSD != nil {
				events += *u.Finished.CostUSD
			}
		}
	}
	raw := time.Since(start)
	if len(ids) == 0 || fmt.Sprintf("%.6f", headers) != fmt.Sprintf("%.6f", events) {
		return fmt.Errorf("the headers of %d runs add up to $%f, their events to $%f", len(ids), headers, events)
	}
	c.took("query.raw", raw)
	start = time.Now()
	for _, err := range store.Runs(ctx, journal.Filter{Limit: 1}) {
		if err != nil {
			return err
		}
	}
	c.beside("query.cached", cached, "the header of one run", time.Since(start), 0)
	c.add("query.speedup", "x", benchfile.Higher, raw.Seconds()/cached.Seconds())
	return nil
}
