package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/sim"
)

// What the cache's benchmark does.
const (
	entries = 1000 // answers in the store
	lookups = 200  // of a sample
	asks    = 20   // of a day's work, of which repeats were asked before
	repeats = 9
)

// Cache measures a call that is not in the cache and one that is, a lookup in
// the store beside one in a map, and what a day's work costs in which 9 of 20
// tasks were asked before.
func Cache(ctx context.Context, opts Options) (*Result, error) {
	opts = opts.withDefaults()
	var c collector
	err := inScratch(func(dir string) error { return c.cache(ctx, opts, dir) })
	if err != nil {
		return nil, err
	}
	before, after := c.median("cache.cost.without"), c.median("cache.cost.with")
	return &Result{Metrics: c.metrics, Summary: benchfile.Summary{
		CostBefore: new(before), CostAfter: new(after), CostSavings: new(1 - after/before), CacheHitRate: new(c.median("cache.hit_rate")),
	}}, nil
}

func (c *collector) cache(ctx context.Context, opts Options, dir string) (err error) {
	slow := sim.New(sim.Options{Latency: sim.Fixed(opts.Latency)})
	orch, err := orchestrator(ctx, filepath.Join(dir, "calls"), slow, 10, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, orch.Close()) }()
	shelf, err := newShelf(ctx, filepath.Join(dir, "shelf.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shelf.store.Close()) }()
	for sample := range opts.Samples {
		opts.Progress(fmt.Sprintf("cache: sample %d of %d", sample+1, opts.Samples))
		if err := c.hit(ctx, orch, slow, shelf, sample); err != nil {
			return err
		}
		if err := c.lookup(ctx, shelf, sample); err != nil {
			return err
		}
		if err := c.day(ctx, filepath.Join(dir, fmt.Sprint(sample))); err != nil {
			return err
		}
	}
	return nil
}

// hit asks something new, and then the same again, a few times.
func (c *collector) hit(ctx context.Context, orch *claudeforce.Orchestrator, server *sim.Server, shelf *shelf, sample int) error {
	const again = 20
	task := tasks(1_000_000+sample, 1)[0]
	bare, err := bareCall(ctx, server, task.Prompt)
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := orch.Execute(ctx, task, nil); err != nil {
		return err
	}
	c.beside("cache.miss", time.Since(start), "one call of a bare HTTP client", bare, 0)
	start = time.Now()
	for range again {
		res, err := orch.Execute(ctx, task, nil)
		if err != nil {
			return err
		}
		if res.Source != llm.SourceCache {
			return fmt.Errorf("a task that was asked before came from %s and not from the cache", res.Source)
		}
	}
	c.beside("cache.hit", time.Since(start)/again, "a map lookup and a copy of the answer", shelf.bare(sample), 0)
	return nil
}

// lookup reads answers of the store beside those of a map.
func (c *collector) lookup(ctx context.Context, s *shelf, sample int) error {
	start := time.Now()
	for i := range lookups {
		if _, err := s.store.Get(ctx, s.key(sample*lookups+i), time.Time{}); err != nil {
			return fmt.Errorf("reading the cache: %w", err)
		}
	}
	c.beside("cache.lookup", time.Since(start)/lookups, "a map lookup and a copy of the answer", s.bare(sample), 0)
	return nil
}

// day returns a day's work without the cache and with it. It is paid for by token,
// so how long calls take does not matter.
func (c *collector) day(ctx context.Context, dir string) error {
	work := append(tasks(0, asks-repeats), tasks(0, repeats)...)
	for _, cached := range []bool{false, true} {
		totals, err := worked(ctx, dir, work, cached)
		if err != nil {
			return err
		}
		if !cached {
			c.add("cache.cost.without", "USD", benchfile.Lower, totals.CostUSD/asks)
			continue
		}
		c.add("cache.cost.with", "USD", benchfile.Lower, totals.CostUSD/asks)
		c.add("cache.hit_rate", "", benchfile.Higher, float64(totals.Cached)/float64(totals.Calls))
	}
	return nil
}

func worked(ctx context.Context, dir string, work []claudeforce.Task, cached bool) (totals pipeline.Totals, err error) {
	orch, err := orchestrator(ctx, dir, sim.New(sim.Options{}), 1, cached)
	if err != nil {
		return totals, err
	}
	defer func() { err = errors.Join(err, orch.Close()) }()
	err = done(orch.ExecuteMultiple(ctx, work))
	return orch.Totals(), err
}

// shelf is answers in a store, and the same in a map.
type shelf struct {
	store *cachedb.Store
	keys  []llm.Key
	held  map[llm.Key]*llm.Response
}

func newShelf(ctx context.Context, path string) (*shelf, error) {
	store, err := cachedb.Open(path, cachedb.Options{MaxBytes: 1 << 40})
	if err != nil {
		return nil, err
	}
	s := &shelf{store: store, held: map[llm.Key]*llm.Response{}}
	now := time.Now()
	for i := range entries {
		req := &llm.Request{Model: "claude-haiku-5-5", MaxTokens: 1000, Messages: []llm.Message{llm.UserText(fmt.Sprint(i))}}
		key, err := llm.Keyer{Provider: "bench"}.Key(req)
		if err != nil {
			return nil, errors.Join(err, store.Close())
		}
		e := &cache.Entry{
			Key: key, Model: req.Model, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
			Response: &llm.Response{Model: req.Model, StopReason: llm.StopEndTurn, Content: []llm.Block{llm.TextBlock(fmt.Sprintf("%01000d", i))}},
		}
		if err := store.Put(ctx, e); err != nil {
			return nil, errors.Join(fmt.Errorf("filling the cache: %w", err), store.Close())
		}
		s.keys = append(s.keys, e.Key)
		s.held[e.Key] = e.Response
	}
	return s, nil
}

func (s *shelf) key(i int) llm.Key { return s.keys[i*7919%len(s.keys)] }

// bare returns how long a map lookup and a copy take.
func (s *shelf) bare(sample int) time.Duration {
	copies := make([]*llm.Response, lookups) // so that nothing is optimised away
	start := time.Now()
	for i := range lookups {
		copies[i] = s.held[s.key(sample*lookups+i)].Clone()
	}
	return time.Since(start) / lookups
}
