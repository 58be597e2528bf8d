package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// maxCompared is how many steps and items of two runs are listed.
const maxCompared = 200

// compareData are two runs, or two periods, side by side.
type compareData struct {
	A, B  string // as they were given
	Names [2]string
	Rows  []comparedRow
	Runs  bool
	comparedSteps
	Recent  []journal.Run // to choose from
	Periods [2]string     // last week and the one before, to choose
}

// comparedSteps are the steps of two runs that asked a model or a person.
type comparedSteps struct {
	Steps []runs.StepDiff
	More  int // that are not listed
}

// compareSteps compares two runs step by step.
func compareSteps(one, two *runs.Detail) (c comparedSteps) {
	c.Steps = runs.Diff(one, two, "")
	if n := len(c.Steps) - maxCompared; n > 0 {
		c.Steps, c.More = c.Steps[:maxCompared], n
	}
	return c
}

// comparedRow is one figure of both sides.
type comparedRow struct {
	Name   string
	Values [2]string
	Change string
	Class  string // good or bad; empty for neither
}

func (p *Pages) compare(r *http.Request) (*view, error) {
	q := r.URL.Query()
	data := &compareData{A: strings.TrimSpace(q.Get("a")), B: strings.TrimSpace(q.Get("b"))}
	data.Names = [2]string{data.A, data.B}
	var err error
	switch {
	case data.A == "" || data.B == "":
		today := p.today.start()
		week := func(weeks int) string {
			from := today.AddDate(0, 0, -7*weeks)
			return from.Format(time.DateOnly) + ".." + from.AddDate(0, 0, 6).Format(time.DateOnly)
		}
		data.Periods = [2]string{week(2), week(1)}
		data.Recent, err = p.list(r.Context(), journal.Filter{Limit: 10})
	case compare.SameKind(data.A, data.B) != nil:
		err = fault.Input(compare.SameKind(data.A, data.B))
	case compare.IsPeriod(data.A):
		err = p.comparePeriods(r, data)
	default:
		err = p.compareRuns(r, data)
	}
	if err != nil {
		return nil, err
	}
	return &view{Page: "compare", Title: "Compare", Nav: "compare", Data: data}, nil
}

// comparePeriods fills in the figures of two periods.
func (p *Pages) comparePeriods(r *http.Request, data *compareData) error {
	var s [2]*analytics.Summary
	err := p.withCalls(r.Context(), func(store analytics.Store) error {
		for i, name := range []string{data.A, data.B} {
			from, to, err := compare.ParsePeriod(name, p.opts.Config.TimeZone)
			if err != nil {
				return fault.Input(err)
			}
			if s[i], err = store.Summary(r.Context(), analytics.Filter{Since: from, Until: to, Zone: p.opts.Config.TimeZone}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	usd := func(v float64) string { return dollars(&v) }
	whole := func(v float64) string { return amount.Thousands(int64(v)) }
	data.add("Paid", s[0].CostUSD, s[1].CostUSD, usd, lower)
	data.add("Saved", s[0].SavedUSD.Total, s[1].SavedUSD.Total, usd, higher)
	data.add("Paid per call", or(s[0].CostAfter), or(s[1].CostAfter), usd, lower)
	data.add("Calls", float64(s[0].Calls), float64(s[1].Calls), whole, neither)
	data.add("From the cache", s[0].CacheHitRate, s[1].CacheHitRate, percent, higher)
	data.add("Failed", s[0].FailureRate, s[1].FailureRate, percent, lower)
	data.add("Rate limited", float64(s[0].Refused), float64(s[1].Refused), whole, lower)
	data.add("Tokens read", float64(s[0].InputTokens), float64(s[1].InputTokens), whole, neither)
	data.add("Tokens written", float64(s[0].OutputTokens), float64(s[1].OutputTokens), whole, neither)
	data.add("Answer, median", s[0].Latency.P50, s[1].Latency.P50, seconds, lower)
	data.add("Answer, 95 of 100", s[0].Latency.P95, s[1].Latency.P95, seconds, lower)
	data.add("Runs", float64(s[0].Runs), float64(s[1].Runs), whole, neither)
	data.add("A run takes", or(s[0].TimeAfter), or(s[1].TimeAfter), seconds, lower)
	return nil
}

// compareRuns fills in the figures and the steps of two runs.
func (p *Pages) compareRuns(r *http.Request, data *compareData) error {
	var d [2]*runs.Detail
	for i, id := range []string{data.A, data.B} {
		var err error
		if d[i], err = p.opts.Runs.LoadRecent(r.Context(), id); err != nil {
			return err
		}
		data.Names[i] = d[i].Run.ID
	}
	usd := func(v float64) string { return dollars(&v) }
	whole := func(v float64) string { return amount.Thousands(int64(v)) }
	data.Runs = true
	data.add("Paid", d[0].Run.CostUSD, d[1].Run.CostUSD, usd, lower)
	data.add("Tokens", float64(d[0].Run.Tokens), float64(d[1].Run.Tokens), whole, lower)
	data.add("Took", d[0].Result.TotalTimeSeconds, d[1].Result.TotalTimeSeconds, seconds, lower)
	data.add("Failures", float64(len(d[0].Failures())), float64(len(d[1].Failures())), whole, lower)
	data.comparedSteps = compareSteps(d[0], d[1])
	return nil
}

// better says which change of a figure is good.
type better int

const (
	neither better = iota
	lower
	higher
)

// add adds a figure of both sides.
func (d *compareData) add(name string, a, b float64, write func(float64) string, good better) {
	row := comparedRow{Name: name, Values: [2]string{write(a), write(b)}}
	switch {
	case a == b:
		row.Change = "the same"
	case a == 0:
		row.Change = "new"
	default:
		row.Change = fmt.Sprintf("%+.0f%%", 100*(b/a-1))
	}
	if a != b && good != neither {
		row.Class = "bad"
		if (b < a) == (good == lower) {
			row.Class = "good"
		}
	}
	d.Rows = append(d.Rows, row)
}

// or returns what v points to; 0 for nil.
func or(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}
