package suite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/benchfile"
)

// What the questions' benchmark does.
const (
	again  = 1000 // how often a question is asked while its answer is kept
	atOnce = 50   // of these, between two readings of the clock
	rounds = 50   // of a dashboard
	writes = 0.2  // share of the rounds before which calls were added
)

// Query measures what a month of calls comes to: raw, by SQL over the calls;
// from the sums that are kept with them; and again, from the cache of results.
// Beside it a dashboard asks its questions over and over while calls are added.
func Query(ctx context.Context, opts Options) (*Result, error) {
	opts = opts.withDefaults()
	calls := 20_000
	if opts.Small {
		calls = 500
	}
	var c collector
	err := inScratch(func(dir string) (err error) {
		month, err := newPast(ctx, filepath.Join(dir, "month.db"), calls)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, month.Close()) }()
		shown, err := newPast(ctx, filepath.Join(dir, "shown.db"), 500)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, shown.Close()) }()
		for sample := range opts.Samples {
			opts.Progress(fmt.Sprintf("query: sample %d of %d", sample+1, opts.Samples))
			if err := c.question(ctx, month); err != nil {
				return err
			}
			if err := c.dashboard(ctx, shown); err != nil {
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

// question asks for the summary after a call was added, again and again, and
// then in SQL.
func (c *collector) question(ctx context.Context, p *past) error {
	if err := p.add(ctx, 1); err != nil {
		return err
	}
	before := p.store.CacheStats()
	start := time.Now()
	first, err := p.store.Summary(ctx, p.filter)
	if err != nil {
		return fmt.Errorf("asking for the summary: %w", err)
	}
	rollups := time.Since(start)
	sums, err := p.bareSums()
	if err != nil {
		return err
	}
	cached, least, err := p.askAgain(ctx)
	if err != nil {
		return err
	}
	after := p.store.CacheStats()
	if hits, misses := after.Hits-before.Hits, after.Misses-before.Misses; hits != again || misses != 1 {
		return fmt.Errorf("of %d questions after a write the cache answered %d; want all but one", hits+misses, hits)
	}
	start = time.Now()
	rows, err := p.raw(ctx)
	if err != nil {
		return err
	}
	raw := time.Since(start)
	read, err := p.bareRows()
	if err != nil {
		return err
	}
	last, err := p.store.Summary(ctx, p.filter)
	if err := errors.Join(err, rows.same(first)); err != nil {
		return err
	}
	if err := rows.same(last); err != nil {
		return err
	}
	c.beside("query.raw", raw, "reading the same rows, without adding them up", read, 0)
	c.beside("query.rollups", rollups, "reading the same sums, without adding them up", sums, 0)
	c.beside("query.cached", cached, "asking SQLite whether the file has changed, and a map lookup", least, 0)
	c.weigh("query.speedup", "x", benchfile.Higher, raw.Seconds()/cached.Seconds(), "the same of the floors", read.Seconds()/least.Seconds(), 0)
	return nil
}

// askAgain returns how long the store takes for a question whose answer it has, and
// how long the least takes that can be done instead. They take turns, and of each
// the median counts, since both are short and the machine may be busy.
func (p *past) askAgain(ctx context.Context) (cached, least time.Duration, err error) {
	kept := map[any]*figures{p.filter: {}}
	var asks, lookups []float64
	for range again / atOnce {
		start := time.Now()
		for range atOnce {
			if _, err := p.store.Summary(ctx, p.filter); err != nil {
				return 0, 0, fmt.Errorf("asking for the summary again: %w", err)
			}
		}
		between := time.Now()
		for range atOnce {
			if _, _, err := p.bare.Sum(`PRAGMA data_version`); err != nil {
				return 0, 0, fmt.Errorf("asking whether the file has changed: %w", err)
			}
			if kept[p.filter] == nil {
				return 0, 0, errors.New("a map lookup found nothing")
			}
		}
		asks = append(asks, float64(between.Sub(start)))
		lookups = append(lookups, float64(time.Since(between)))
	}
	return time.Duration(benchfile.Median(asks) / atOnce), time.Duration(benchfile.Median(lookups) / atOnce), nil
}

// dashboard asks eight questions, round after round; before some rounds calls
// are added. Which rounds these are is the same in each sample.
func (c *collector) dashboard(ctx context.Context, p *past) error {
	week := analytics.Filter{Since: pastEnd.AddDate(0, 0, -7)}
	group := func(by analytics.Dimension) func() error {
		return func() error { _, err := p.store.Groups(ctx, week, by); return err }
	}
	questions := []func() error{
		func() error { _, err := p.store.Summary(ctx, week); return err },
		group(analytics.ByAgent), group(analytics.ByModel), group(analytics.ByWorkflow), group(analytics.BySource),
		func() error { return p.costs(ctx) },
		func() error { _, err := p.store.Slowest(ctx, week, 10); return err },
		func() error { _, err := p.store.Failures(ctx, week); return err },
	}
	rng := rand.New(rand.NewPCG(1, rounds))
	before := p.store.CacheStats()
	for round := range rounds {
		if round == 0 || rng.Float64() < writes {
			if err := p.add(ctx, 10); err != nil {
				return err
			}
		}
		for _, ask := range questions {
			if err := ask(); err != nil {
				return fmt.Errorf("asking what a dashboard shows: %w", err)
			}
		}
	}
	after := p.store.CacheStats()
	hits, misses := after.Hits-before.Hits, after.Misses-before.Misses
	c.add("query.hit_rate", "", benchfile.Higher, float64(hits)/float64(hits+misses))
	return nil
}
