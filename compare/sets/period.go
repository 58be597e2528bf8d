package sets

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
)

// OfPeriod returns what was recorded in a period, as [compare.ParsePeriod] reads it in a
// time zone. rows is not zero if calls of the period are kept one by one only from then
// on: those before are not in the set. If that is none of it, or the text is no period, the
// error is a [fault.InputError]; without a call it is [compare.ErrNoCalls].
func OfPeriod(ctx context.Context, store analytics.Store, name string, zone *time.Location) (set compare.Set, rows time.Time, err error) {
	const minutes = "2006-01-02 15:04"
	from, to, err := compare.ParsePeriod(name, zone)
	if err != nil {
		return set, rows, fault.Input(err)
	}
	since, err := store.RowsSince(ctx)
	if err != nil {
		return set, rows, err
	}
	if !since.IsZero() && from.Before(since) {
		if !since.Before(to) {
			return set, rows, fault.Input(fmt.Errorf("%s: these calls are kept in sums only, of which there are no samples to compare; calls are kept one by one since %s (setting analytics.keep_rows)",
				name, since.In(zone).Format(minutes)))
		}
		from, rows = since, since
		name = from.In(zone).Format(minutes) + " to " + to.In(zone).Format(minutes)
	}
	set, err = compare.FromHistory(ctx, callHistory{store}, name, from, to)
	return set, rows, err
}

// callHistory gives samples of recorded calls.
type callHistory struct{ store analytics.Store }

// Samples implements [compare.History].
func (h callHistory) Samples(ctx context.Context, from, to time.Time) (map[string][]float64, error) {
	latency, total, speedup := newDraw(), newDraw(), newDraw()
	var cost, tokens, errors, hits compare.Means
	work := workWithin{from: from, to: to}
	for c, err := range h.store.Calls(ctx, analytics.Filter{Since: from, Until: to}) {
		if err != nil {
			return nil, err
		}
		work.Call(c.Time)
		if c.Run == "" {
			work.add(c.Time, c.Time.Add(c.Duration))
		}
		errors.Add(one(c.Code != 0))
		tokens.Add(float64(c.Usage.TotalTokens()))
		if !c.Unpriced {
			cost.Add(c.Cost.USD())
		}
		if c.Code == 0 {
			hits.Add(one(c.Source == llm.SourceCache))
		}
		if c.Served() { // how fast the service is, whatever waited before it
			latency.add(c.Service.Seconds())
		}
	}
	runs, err := h.store.Runs(ctx, analytics.Filter{Since: from, Until: to})
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		work.add(r.Began, r.Ended)
		if took := r.Ended.Sub(r.Began); took > 0 && !r.Began.Before(from) {
			total.add(took.Seconds())
			if r.Alone > 0 {
				speedup.add(r.Alone.Seconds() / took.Seconds())
			}
		}
	}
	return map[string][]float64{
		compare.LatencyMetric: latency.values, "cost": cost.Samples(), "tokens": tokens.Samples(),
		"errors": errors.Samples(), "cache_hit_rate": hits.Samples(),
		"total_time": total.values, "speedup": speedup.values, "throughput": work.Samples(),
	}, nil
}

// workWithin is the rates of a period.
type workWithin struct {
	compare.Rates
	from, to time.Time
}

// add adds the part of some work that lies within the period.
func (w *workWithin) add(from, to time.Time) {
	if from.Before(w.from) {
		from = w.from
	}
	if to.After(w.to) {
		to = w.to
	}
	w.Work(from, to)
}

// maxValues is how many single values are looked at; of more, as many are
// drawn by chance.
const maxValues = 50_000

// draw is values, or some of them drawn by chance.
type draw struct {
	values []float64
	seen   int
	rng    *rand.Rand
}

// newDraw draws the same values each time.
func newDraw() *draw { return &draw{rng: rand.New(rand.NewPCG(1, 1))} }

func (d *draw) add(v float64) {
	if d.seen++; len(d.values) < maxValues {
		d.values = append(d.values, v)
	} else if i := d.rng.IntN(d.seen); i < maxValues {
		d.values[i] = v
	}
}

// one returns 1 for true and 0 for false.
func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
