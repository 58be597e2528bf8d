package suite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/llm"
)

// pastEnd is the end of the month that questions are about. It is on a whole
// hour and not on a whole day, as a period of some days is when it is asked for.
var pastEnd = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

const pastDays = 30

// past is a store with the calls of a month, and a connection of its own to the
// same file, which knows of no sums and no cache.
type past struct {
	store  *callsdb.Store
	bare   *sqlitefile.Conn
	rng    *rand.Rand
	filter analytics.Filter // all calls
	calls  int64
}

func newPast(ctx context.Context, path string, n int) (*past, error) {
	p := &past{rng: rand.New(rand.NewPCG(1, uint64(n))), filter: analytics.Filter{Since: pastEnd.AddDate(0, 0, -pastDays)}}
	var err error
	if p.store, err = callsdb.Open(path); err != nil {
		return nil, err
	}
	if p.bare, err = sqlitefile.Open(path, sqlitefile.Options{}); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the calls: %w", err), p.store.Close())
	}
	if err := p.add(ctx, n); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close closes both connections.
func (p *past) Close() error { return errors.Join(p.bare.Close(), p.store.Close()) }

// add adds n calls anywhere in the month.
func (p *past) add(ctx context.Context, n int) error {
	list := make([]analytics.Call, n)
	for i := range list {
		list[i] = p.call()
	}
	if err := p.store.Add(ctx, list...); err != nil {
		return fmt.Errorf("adding calls: %w", err)
	}
	p.calls += int64(n)
	return nil
}

// costs asks what each day cost, and fails if the answer is one of before the
// last write.
func (p *past) costs(ctx context.Context) error {
	days, err := p.store.Costs(ctx, p.filter, analytics.ByDay)
	if err != nil {
		return err
	}
	n := int64(0)
	for i := range days {
		n += days[i].Calls
	}
	if n != p.calls {
		return fmt.Errorf("the costs are of %d calls, and there are %d", n, p.calls)
	}
	return nil
}

// call draws one: three of four belong to a run of some workflow.
func (p *past) call() analytics.Call {
	rng := p.rng
	minute := rng.IntN(pastDays * 24 * 60)
	c := analytics.Call{
		Time: pastEnd.Add(-time.Duration(minute+1) * time.Minute), Project: fmt.Sprintf("project-%d", rng.IntN(3)),
		Agent: fmt.Sprintf("agent-%d", rng.IntN(12)), Asked: "haiku", Model: [...]string{"haiku", "sonnet", "opus"}[rng.IntN(3)],
		Usage:    llm.Usage{InputTokens: 200 + rng.IntN(4000), OutputTokens: 50 + rng.IntN(1500)},
		Attempts: 1 + rng.IntN(11)/10, StopReason: "end_turn",
	}
	if rng.IntN(4) > 0 {
		c.Workflow, c.Step = fmt.Sprintf("workflow-%d", minute/10%5), fmt.Sprintf("step-%d", rng.IntN(8))
		c.Run = fmt.Sprintf("run_%s_%d", c.Project, minute/10)
	}
	DrawEnd(rng, &c)
	return c
}

// DrawEnd draws how a call went, at $1 and $5 per million tokens: four of ten come
// from the response cache, one of ten fails, the rest are live, with a median of
// 2.2 s.
func DrawEnd(rng *rand.Rand, c *analytics.Call) {
	money := llm.Money(c.Usage.InputTokens*1000 + c.Usage.OutputTokens*5000)
	switch rng.IntN(10) {
	case 0, 1, 2, 3:
		c.Source, c.Saved.Cache, c.Duration = llm.SourceCache, money, time.Duration(2e5+1e5*rng.ExpFloat64())
	case 4:
		c.Code, c.Duration = llm.CodeRateLimit, time.Second
	default:
		c.Source, c.Cost, c.Duration = llm.SourceLive, money, time.Duration(math.Exp(21.5+0.6*rng.NormFloat64()))
	}
}

// figures are what a month comes to. Money is in whole nano-dollars, so that two
// ways of adding it up can be compared.
type figures struct {
	calls, failed, cached, coalesced, retries, input, output, runs int64
	cost, saved                                                    llm.Money
	days                                                           map[string]daily
}

type daily struct {
	calls       int64
	cost, saved llm.Money
}

// same says how a summary differs from what the rows add up to.
func (a *figures) same(s *analytics.Summary) error {
	b := figures{
		s.Calls, s.Failed, s.Cached, s.Coalesced, s.Retries, s.InputTokens, s.OutputTokens, s.Runs,
		llm.Dollars(s.CostUSD), llm.Dollars(s.SavedUSD.Total), map[string]daily{},
	}
	for _, d := range s.Daily {
		b.days[d.Day] = daily{d.Calls, llm.Dollars(d.CostUSD), llm.Dollars(d.SavedUSD)}
	}
	if rows, summary := fmt.Sprint(*a), fmt.Sprint(b); a.calls == 0 || rows != summary {
		return fmt.Errorf("the summary does not agree with the rows:\n%s\n%s", summary, rows)
	}
	return nil
}

// raw works out from the rows what a summary shows, but for percentiles, which
// would take SQL longer. All rows are of the period, so there is no bound to
// find them by. It reads the views that are documented for people.
func (p *past) raw(ctx context.Context) (*figures, error) {
	a := &figures{days: map[string]daily{}}
	defer p.bare.SetInterrupt(p.bare.SetInterrupt(ctx))
	err := p.bare.Query(`SELECT source, substr(time, 1, 10), count(*), sum(outcome != 'ok'), sum(attempts - 1),
		sum(input_tokens + cache_read_tokens + cache_write_tokens), sum(output_tokens), sum(cost_usd), sum(saved_usd), sum(seconds)
		FROM calls GROUP BY 1, 2`, func(row *sqlite3.Stmt) error {
		n := row.ColumnInt64(2)
		a.calls += n
		switch llm.Source(row.ColumnText(0)) {
		case llm.SourceCache:
			a.cached += n
		case llm.SourceCoalesced:
			a.coalesced += n
		}
		a.failed += row.ColumnInt64(3)
		a.retries += row.ColumnInt64(4)
		a.input += row.ColumnInt64(5)
		a.output += row.ColumnInt64(6)
		cost := llm.Dollars(row.ColumnFloat(7))
		saved := llm.Dollars(row.ColumnFloat(8))
		a.cost, a.saved = a.cost+cost, a.saved+saved
		d := a.days[row.ColumnText(1)]
		a.days[row.ColumnText(1)] = daily{d.calls + n, d.cost + cost, d.saved + saved}
		return nil
	})
	if err == nil {
		err = p.bare.Query(`SELECT count(*), sum(seconds), sum(sequential_seconds) FROM workflow_runs`, func(row *sqlite3.Stmt) error {
			a.runs = row.ColumnInt64(0)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("asking in SQL: %w", err)
	}
	return a, nil
}

// bareRows returns how long it takes to read the rows that raw adds up.
func (p *past) bareRows() (time.Duration, error) {
	start := time.Now()
	n, _, err := p.bare.Sum(`SELECT length(source) + length(time) + length(outcome) + attempts + input_tokens + cache_read_tokens + cache_write_tokens + output_tokens + cost_usd + saved_usd + seconds FROM calls`)
	took := time.Since(start)
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading the calls: %w", err)
	case n != p.calls:
		return 0, fmt.Errorf("%d rows were read of %d", n, p.calls)
	}
	return took, nil
}

// bareSums returns how long it takes to read the sums that the summary is made of:
// hours until the first midnight, and days from then on.
func (p *past) bareSums() (time.Duration, error) {
	from, midnight := p.filter.Since, p.filter.Since.Truncate(24*time.Hour).Add(24*time.Hour)
	start := time.Now()
	n := 0
	for _, kind := range []string{"source", "run"} {
		for _, span := range [][3]int64{{3600, from.Unix(), midnight.Unix()}, {86400, midnight.Unix(), math.MaxInt64}} {
			err := p.bare.Query(`SELECT start, project, value, source, calls, cost, latency FROM call_rollups WHERE seconds = ? AND kind = ? AND start >= ? AND start < ?`, func(row *sqlite3.Stmt) error {
				n += len(row.ColumnRawBlob(6))
				return nil
			}, span[0], kind, span[1], span[2])
			if err != nil {
				return 0, fmt.Errorf("reading the sums: %w", err)
			}
		}
	}
	took := time.Since(start)
	if n == 0 {
		return 0, errors.New("there are no sums to read")
	}
	return took, nil
}
