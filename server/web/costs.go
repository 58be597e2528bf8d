package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/csvtext"
	"github.com/claude-force/claude-force/pipeline"
)

// addFigures adds the pages of figures.
func (p *Pages) addFigures() {
	p.page("GET /costs", p.costs)
	p.routes = append(p.routes, Route{Pattern: "GET /costs.csv", Handle: p.costsCSV})
}

// option is a choice of a filter.
type option struct{ Value, Label string }

// periods are the times that figures can be of, in days.
var periods = []option{{"1", "the last day"}, {"7", "the last 7 days"}, {"30", "the last 30 days"}, {"90", "the last 90 days"}, {"365", "the last year"}, {"0", "all time"}}

const usualDays = "30"

// costsBy are what costs are shown by.
var costsBy = []option{
	{"day", "day"}, {"week", "week"}, {"month", "month"}, {"agent", "agent"}, {"model", "model"},
	{"workflow", "workflow"}, {"project", "project"}, {"source", "where the answer is from"}, {"key", "key"}, {"team", "team"},
}

// costsData is what calls cost and what was saved on them.
type costsData struct {
	By, Days, Project string
	ByOptions         []option
	Periods           []option
	Projects          []option
	Summary           *analytics.Summary
	Before            float64 // what the calls would have cost
	Rows              []analytics.CostRow
	Sum               analytics.Figures
	Columns           *columnChart
	Bars              *barChart
	Savings           *barChart
	SavedBy           []savedBy
	CSV               string // address of the rows as CSV
}

// savedBy is what one reason has saved.
type savedBy struct {
	Name  string
	USD   float64
	Share float64 // of all
}

// costFilter is what a reader asks of costs.
type costFilter struct {
	by      []analytics.Dimension
	days    string
	project string // its id; empty for all
	filter  analytics.Filter
}

// costFilter reads the filter of a request.
func (p *Pages) costFilter(r *http.Request) (*costFilter, error) {
	q := r.URL.Query()
	f := &costFilter{by: []analytics.Dimension{analytics.Dimension(cmp.Or(q.Get("by"), "day"))}, days: cmp.Or(q.Get("days"), usualDays), project: q.Get("project")}
	if err := analytics.CheckCostDimensions(f.by); err != nil {
		return nil, fault.Input(err)
	}
	days, err := strconv.Atoi(f.days)
	if err != nil || days < 0 || days > 3650 {
		return nil, fault.Input(fmt.Errorf("%q is no number of days up to 3650", f.days))
	}
	f.filter = analytics.Filter{Project: f.project, Zone: p.opts.Config.TimeZone}
	if days > 0 {
		f.filter.Since = since(days)
	}
	return f, nil
}

// since returns the whole hour at which the last days begin.
func since(days int) time.Time {
	return time.Now().Add(-time.Duration(days) * 24 * time.Hour).Truncate(time.Hour)
}

// withCalls calls do with the store of calls.
func (p *Pages) withCalls(ctx context.Context, do func(analytics.Store) error) error {
	store, err := pipeline.OpenCalls(ctx, p.opts.Config)
	if err != nil {
		return err
	}
	return errors.Join(do(store), store.Close())
}

func (p *Pages) costs(r *http.Request) (*view, error) {
	f, err := p.costFilter(r)
	if err != nil {
		return nil, err
	}
	data := &costsData{By: string(f.by[0]), Days: f.days, Project: f.project, ByOptions: costsBy, Periods: withOption(periods, f.days, "the last "+f.days+" days")}
	err = p.withCalls(r.Context(), func(store analytics.Store) error {
		projects, err := store.Projects(r.Context())
		if err != nil {
			return err
		}
		for _, project := range projects {
			data.Projects = append(data.Projects, option{project.ID, cmp.Or(project.Name, "(none)")})
		}
		if data.Summary, err = store.Summary(r.Context(), f.filter); err != nil {
			return err
		}
		groups, paths, err := analytics.CostGroups(r.Context(), store, f.filter, f.by...)
		if err != nil {
			return err
		}
		data.fill(f.by, groups, paths)
		return nil
	})
	if err != nil {
		return nil, err
	}
	data.CSV = "/costs.csv?" + r.URL.RawQuery
	return &view{Page: "costs", Title: "Costs and savings", Nav: "costs", Fragments: []string{"costs-figures"}, Data: data}, nil
}

// withOption returns options with one more if none has its value.
func withOption(options []option, value, label string) []option {
	if slices.ContainsFunc(options, func(o option) bool { return o.Value == value }) {
		return options
	}
	return append(slices.Clone(options), option{value, label})
}

// fill fills in the rows of groups, and their charts.
func (d *costsData) fill(by []analytics.Dimension, groups []analytics.Group, paths []string) {
	d.Rows = analytics.CostRows(by, groups, paths)
	var sum analytics.Totals
	for i := range groups {
		sum.Add(&groups[i].Totals)
	}
	d.Sum = analytics.FiguresOf([]analytics.Group{{Totals: sum}})[0]
	d.Before = d.Summary.CostUSD + d.Summary.SavedUSD.Total
	list := make([]bar, len(groups))
	for i := range groups {
		paid, saved := groups[i].Cost.USD(), groups[i].Saved.Total().USD()
		list[i] = bar{Name: axisName(by[0], groups[i].Start, cmp.Or(groups[i].Name, "(none)")), Lower: paid, Upper: saved, Title: costTitle(groups[i].Name, paid, saved, groups[i].Calls)}
	}
	if by[0].Calendar() {
		list = withEmpty(by[0], groups, list)
		d.Columns = newColumnChart("costs-chart", "Paid and saved by "+d.By, fmt.Sprintf("%s paid and %s saved, by %s; the table below has all figures.", dollars(&d.Sum.CostUSD), dollars(&d.Sum.SavedUSD.Total), d.By),
			[]string{"paid", "saved"}, axisDollars, list)
	} else {
		d.Bars = newBarChart("costs-chart", "Paid by "+d.By, fmt.Sprintf("%s paid, by %s; the table below has all figures.", dollars(&d.Sum.CostUSD), d.By),
			func(a bar) string { return dollars(&a.Lower) }, withoutUpper(list))
	}
	d.fillSavings()
}

// withoutUpper returns amounts with their lower parts alone.
func withoutUpper(list []bar) []bar {
	list = slices.Clone(list)
	for i := range list {
		list[i].Upper = 0
	}
	return list
}

// costTitle returns what is said of a column or bar that is pointed at.
func costTitle(name string, paid, saved float64, calls int64) string {
	return fmt.Sprintf("%s: %s paid, %s saved, %s calls", cmp.Or(name, "(none)"), dollars(&paid), dollars(&saved), amount.Thousands(calls))
}

// withEmpty returns amounts of days, weeks or months with those in between that have no
// calls.
func withEmpty(by analytics.Dimension, groups []analytics.Group, list []bar) []bar {
	var filled []bar
	for i := range groups {
		if i > 0 {
			for t := by.Next(groups[i-1].Start); t.Before(groups[i].Start) && len(filled) < 10*maxColumns; t = by.Next(t) {
				filled = append(filled, bar{Name: axisName(by, t, by.Label(t)), Title: by.Label(t) + ": no calls"})
			}
		}
		filled = append(filled, list[i])
	}
	return filled
}

// axisName returns the name of a group as it fits below a column.
func axisName(by analytics.Dimension, start time.Time, name string) string {
	switch by {
	case analytics.ByDay:
		return start.Format("Jan 2")
	case analytics.ByMonth:
		return start.Format("Jan 2006")
	}
	return name
}

// axisDollars returns an amount beside a line of a chart whose lines are step apart, with
// as many decimals as the others.
func axisDollars(v, step float64) string {
	decimals := 0
	if step < 1 {
		decimals = max(2, int(math.Ceil(-math.Log10(step)-1e-9)))
	}
	return "$" + strconv.FormatFloat(v, 'f', decimals, 64)
}

// fillSavings fills in what was saved, by the reason.
func (d *costsData) fillSavings() {
	s := d.Summary.SavedUSD
	var list []bar
	for _, reason := range []savedBy{{Name: "Response cache", USD: s.Cache}, {Name: "Identical calls in flight", USD: s.Coalesced}, {Name: "Prompt cache", USD: s.Prompt}, {Name: "Batches", USD: s.Batch}, {Name: "Choice of model", USD: s.Model}} {
		if s.Total > 0 {
			reason.Share = reason.USD / s.Total
		}
		d.SavedBy = append(d.SavedBy, reason)
		list = append(list, bar{Name: reason.Name, Upper: max(reason.USD, 0), Lower: min(reason.USD, 0), Title: fmt.Sprintf("%s: %s, %s of what was saved", reason.Name, dollars(&reason.USD), percent(reason.Share))})
	}
	d.Savings = newBarChart("savings-chart", "Saved by", dollars(&s.Total)+" saved in all, by the reason.", func(a bar) string {
		usd := a.Upper + a.Lower
		return dollars(&usd)
	}, list)
}

// costsCSV answers with the rows as CSV.
func (p *Pages) costsCSV(w http.ResponseWriter, r *http.Request) {
	f, err := p.costFilter(r)
	var groups []analytics.Group
	if err == nil {
		err = p.withCalls(r.Context(), func(store analytics.Store) error {
			groups, _, err = analytics.CostGroups(r.Context(), store, f.filter, f.by...)
			return err
		})
	}
	if err != nil {
		p.write(w, r, p.problem(err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="costs-by-`+string(f.by[0])+`.csv"`)
	_ = csvtext.WriteTable(w, analytics.FiguresOf(groups)) // the client may be gone
}
