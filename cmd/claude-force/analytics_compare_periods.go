package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/sqlite"
	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/llm"
)

// periodSet is what was recorded in a period.
func (a *app) periodSet(ctx context.Context, name string) (set compare.Set, err error) {
	from, to, err := compare.ParsePeriod(name, time.Local)
	if err != nil {
		return set, inputError{err}
	}
	err = a.withCalls(ctx, func(store *sqlite.Store) error {
		set, err = compare.FromHistory(ctx, callHistory{store}, name, from, to)
		return err
	})
	return set, err
}

// callHistory gives samples of recorded calls.
type callHistory struct{ store *sqlite.Store }

// mostLatencies is how many single calls are looked at; of more, as many are
// drawn by chance.
const mostLatencies = 50_000

// Samples implements [compare.History].
func (h callHistory) Samples(ctx context.Context, from, to time.Time) (map[string][]float64, error) {
	var latency []float64
	var cost, tokens, errors, hits compare.Means
	rng := rand.New(rand.NewPCG(1, 1)) // the same calls each time
	answered := 0
	for c, err := range h.store.Calls(ctx, analytics.Filter{Since: from, Until: to}) {
		if err != nil {
			return nil, err
		}
		errors.Add(one(c.Code != 0))
		tokens.Add(float64(c.Usage.TotalTokens()))
		if !c.Unpriced {
			cost.Add(c.Cost.USD())
		}
		if c.Code != 0 {
			continue
		}
		hits.Add(one(c.Source == llm.SourceCache))
		if answered++; len(latency) < mostLatencies {
			latency = append(latency, c.Duration.Seconds())
		} else if i := rng.IntN(answered); i < mostLatencies {
			latency[i] = c.Duration.Seconds()
		}
	}
	return map[string][]float64{
		compare.LatencyMetric: latency, "cost": cost.Samples(), "tokens": tokens.Samples(),
		"errors": errors.Samples(), "cache_hit_rate": hits.Samples(),
	}, nil
}

// one is 1 for true.
func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
