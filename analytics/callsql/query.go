package callsql

import (
	"context"
	"strings"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// span is a part of a period: from and until are in nanoseconds, or, for sums of
// so many seconds, in seconds.
type span struct {
	seconds     int64 // 0 for rows
	from, until int64
}

// spans cuts a period into whole days, whole hours beside them, and rows beside
// these.
func spans(since, until int64) []span {
	const second = int64(time.Second)
	up := func(nanos, step int64) int64 {
		if at := Floor(nanos, step); at*second != nanos {
			return at + step
		}
		return Floor(nanos, step)
	}
	var list []span
	add := func(seconds, from, until int64) {
		if from < until {
			list = append(list, span{seconds, from, until})
		}
	}
	h0, h1 := up(since, hour), Floor(until, hour)
	if h0 >= h1 { // within an hour, or two
		add(0, since, until)
		return list
	}
	add(0, since, h0*second)
	add(0, h1*second, until)
	d0, d1 := up(since, day), Floor(until, day)
	if d0 >= d1 {
		add(hour, h0, h1)
		return list
	}
	add(hour, h0, d0)
	add(day, d0, d1)
	add(hour, d1, h1)
	return list
}

// The earliest and the latest time there is, on a whole day.
const (
	never  = -9_000_000_000_000_000_000 / (day * int64(time.Second)) * (day * int64(time.Second))
	always = -never
)

// bounds returns a filter's, moved out to whole hours or days where rows, or hours,
// were dropped.
func (s *state) bounds(f analytics.Filter) (since, until int64, p analytics.Period, err error) {
	var rows, hours int64
	err = s.query(`SELECT rows_since, hours_since FROM call_state`, func(row Row) error {
		rows, hours = row.ColumnInt64(0), row.ColumnInt64(1)
		return nil
	})
	if err != nil {
		return 0, 0, p, err
	}
	if p.Project, p.ProjectPath, err = s.shown(f.Project); err != nil {
		return 0, 0, p, err
	}
	p.Zone = f.In().String()
	since, until = never, always
	widen := func(nanos, up int64) int64 {
		for _, at := range [...]struct{ dropped, step int64 }{{rows, hour}, {hours, day}} {
			if start := Floor(nanos, at.step); nanos < at.dropped*int64(time.Second) && start*int64(time.Second) != nanos {
				nanos = (start + up*at.step) * int64(time.Second)
				p.Rounded = true
			}
		}
		return nanos
	}
	if !f.Since.IsZero() {
		since = widen(f.Since.UnixNano(), 0)
		p.Since = new(time.Unix(0, since).In(f.In()))
	}
	if !f.Until.IsZero() {
		until = widen(f.Until.UnixNano(), 1)
		p.Until = new(time.Unix(0, until).In(f.In()))
	}
	if dropped := time.Unix(hours, 0); hours > 0 && f.In() != time.UTC && since < dropped.UnixNano() {
		p.UTCDaysBefore = new(dropped.In(f.In()))
	}
	return since, until, p, nil
}

// groupKey is a query for groups, as the cache knows it.
type groupKey struct {
	filter analytics.Filter
	by     string
	costs  bool
}

// Groups returns the totals of calls by what they have in common. By one dimension,
// those that cost most come first, and days and hours in their order; by several,
// all are in the order of their names.
//
// Sums are kept by one of agent, model, workflow, key and team at a time. By more than one of
// these, groups are made of rows: see [analytics.FromRows].
func (r *Reader) Groups(ctx context.Context, f analytics.Filter, by ...analytics.Dimension) ([]analytics.Group, error) {
	return r.group(ctx, f, by, false)
}

// Costs returns what Groups returns without latencies, which is quicker.
func (r *Reader) Costs(ctx context.Context, f analytics.Filter, by ...analytics.Dimension) ([]analytics.Group, error) {
	return r.group(ctx, f, by, true)
}

func (r *Reader) group(ctx context.Context, f analytics.Filter, by []analytics.Dimension, costs bool) ([]analytics.Group, error) {
	var key strings.Builder
	for _, d := range by {
		key.WriteString(string(d) + ",")
	}
	return cached(ctx, r, groupKey{f, key.String(), costs}, func(s *state) ([]analytics.Group, error) {
		since, until, _, err := s.bounds(f)
		if err != nil {
			return nil, err
		}
		return s.groups(since, until, f, by, costs)
	})
}

func (s *state) groups(since, until int64, f analytics.Filter, by []analytics.Dimension, costs bool) ([]analytics.Group, error) {
	project := f.Project
	g := newGrouping(by, f.In(), costs)
	parts := spans(since, until)
	if analytics.FromRows(by...) {
		parts = []span{{0, since, until}}
	} else if g.calendar && g.zone != time.UTC {
		var err error
		if parts, err = s.calendarSpans(since, until, g.zone); err != nil {
			return nil, err
		}
	}
	for _, sp := range parts {
		if sp.seconds == 0 {
			if err := s.rows(sp.from, sp.until, project, g.addCall); err != nil {
				return nil, err
			}
			if err := s.runsOf(sp, project, g.addRun); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.sums(sp, g.kind, project, g); err != nil {
			return nil, err
		}
		if g.runs() {
			if err := s.sums(sp, kindRun, project, g); err != nil {
				return nil, err
			}
		}
	}
	return g.sorted(), nil
}

// calendarSpans cuts a period so that no part crosses midnight in a zone whose days
// are not those of UTC: into hours, and rows where midnight is within an hour of
// UTC. Where hours were dropped, days of UTC stand for those of the zone.
func (s *state) calendarSpans(since, until int64, zone *time.Location) (list []span, err error) {
	var rowsSince, hoursSince, first, last int64
	err = s.query(`SELECT rows_since, hours_since, (SELECT min(start) FROM call_rollups WHERE seconds = 3600 AND kind = 'source'), (SELECT max(start) FROM call_rollups WHERE seconds = 3600 AND kind = 'source') FROM call_state`, func(row Row) error {
		rowsSince, hoursSince, first, last = row.ColumnInt64(0), row.ColumnInt64(1), row.ColumnInt64(2), row.ColumnInt64(3)
		return nil
	})
	if err != nil {
		return nil, err
	}
	const second = int64(time.Second)
	from := since
	if dropped := hoursSince * second; hoursSince > 0 && since < dropped {
		from = min(dropped, until)
		list = spans(since, from)
	}
	hours := func(from, until int64) {
		for _, sp := range spans(from, until) {
			if sp.seconds == day {
				sp.seconds = hour
			}
			list = append(list, sp)
		}
	}
	midnight := analytics.ByDay.StartOf(time.Unix(max(first, from/second), 0).In(zone))
	for end := min(last+hour, until/second); midnight.Unix() <= end; midnight = midnight.AddDate(0, 0, 1) {
		if at := midnight.Unix(); at%hour != 0 && at >= rowsSince && at*second > from && at*second < until {
			hours(from, at*second)
			from = at * second
		}
	}
	hours(from, until)
	return list, nil
}

// sums adds the sums of a kind to the groups.
func (s *state) sums(sp span, kind, project string, g *grouping) error {
	latency := `latency, service_latency`
	if g.costs {
		latency = `NULL, NULL`
	}
	sql := `SELECT start, project, value, source, ` + latency + `, longest, ` + sumColumns() + ` FROM call_rollups WHERE seconds = ? AND kind = ? AND start >= ? AND start < ?`
	args := []any{sp.seconds, kind, sp.from, sp.until}
	if project != "" {
		sql, args = sql+` AND project = ?`, append(args, project)
	}
	return s.query(sql, func(row Row) error {
		source := llm.Source(row.ColumnText(3))
		start := row.ColumnInt64(0)
		if sp.seconds == day && g.calendar { // the date of UTC, in the zone
			year, month, date := time.Unix(start, 0).UTC().Date()
			start = time.Date(year, month, date, 0, 0, 0, 0, g.zone).Unix()
		}
		value := row.ColumnText(2)
		to := g.group(start, row.ColumnText(1), source, func(analytics.Dimension) string { return value })
		t := readTotals(row, 7)
		t.Longest = time.Duration(row.ColumnInt64(6))
		to.Add(&t)
		if err := to.ServiceLatency.MergeBinary(row.ColumnRawBlob(5)); err != nil {
			return err
		}
		return to.Latency.MergeBinary(row.ColumnRawBlob(4))
	}, args...)
}

// runsOf calls do for the runs that began in a span of rows.
func (s *state) runsOf(sp span, project string, do func(project, workflow string, f RunFigures)) error {
	sql, args := `SELECT project, workflow, began, ended, calls, cost, alone FROM call_runs WHERE began >= ? AND began < ?`, []any{sp.from, sp.until}
	if project != "" {
		sql, args = sql+` AND project = ?`, append(args, project)
	}
	return s.query(sql, func(row Row) error {
		do(row.ColumnText(0), row.ColumnText(1), RunFigures{row.ColumnInt64(2), row.ColumnInt64(3), row.ColumnInt64(4), row.ColumnInt64(5), row.ColumnInt64(6)})
		return nil
	}, args...)
}

// Period returns the period for which a filter is answered from sums.
func (r *Reader) Period(ctx context.Context, f analytics.Filter) (p analytics.Period, err error) {
	err = r.read(ctx, func(s *state) error {
		_, _, p, err = s.bounds(f)
		return err
	})
	return p, err
}

// summaryDays is how many days a summary shows one by one at most.
const summaryDays = 90

// Summary returns the figures of a period.
func (r *Reader) Summary(ctx context.Context, f analytics.Filter) (*analytics.Summary, error) {
	return cached(ctx, r, f, func(s *state) (*analytics.Summary, error) {
		since, until, p, err := s.bounds(f)
		if err != nil {
			return nil, err
		}
		sources, err := s.groups(since, until, f, []analytics.Dimension{analytics.BySource}, false)
		if err != nil {
			return nil, err
		}
		days, err := s.groups(since, until, f, []analytics.Dimension{analytics.ByDay}, true)
		if err != nil {
			return nil, err
		}
		sum := analytics.Summarize(p, sources, days[max(len(days)-summaryDays, 0):])
		if sum.Tools, err = s.toolTotals(f); err != nil {
			return nil, err
		}
		return sum, nil
	})
}

const callColumns = `r.time, n.project, n.workflow, r.run, r.step, r.item, n.agent, n.asked, n.model, n.source,
	r.input, r.output, r.cache_read, r.cache_write_5m, r.cache_write_1h, r.searches, r.unpriced, r.cost,
	r.saved_cache, r.saved_coalesced, r.saved_prompt, r.saved_batch, r.saved_model, r.duration, r.first_token, r.alone, r.attempts, r.code, r.stop, r.service, r.waited, r.batch, r.refused, r.uncertain, n.key, n.team, r.id`

func readRow(row Row) analytics.Call {
	i := -1
	text := func() string { i++; return row.ColumnText(i) }
	number := func() int64 { i++; return row.ColumnInt64(i) }
	c := analytics.Call{
		Time: time.Unix(0, number()).UTC(), Project: text(), Workflow: text(), Run: text(), Step: text(), Item: text(),
		Agent: text(), Asked: text(), Model: text(), Source: llm.Source(text()),
	}
	for _, p := range [...]*int{&c.Usage.InputTokens, &c.Usage.OutputTokens, &c.Usage.CacheReadTokens, &c.Usage.CacheWrite5m, &c.Usage.CacheWrite1h, &c.Usage.WebSearches} {
		*p = int(number())
	}
	c.Unpriced, c.Cost = number() != 0, llm.Money(number())
	for _, p := range [...]*llm.Money{&c.Saved.Cache, &c.Saved.Coalesced, &c.Saved.Prompt, &c.Saved.Batch, &c.Saved.Model} {
		*p = llm.Money(number())
	}
	c.Duration, c.FirstToken, c.Alone = time.Duration(number()), time.Duration(number()), time.Duration(number())
	c.Attempts, c.Code = int(number()), llm.Code(number())
	c.StopReason = text()
	c.Service, c.Waited, c.Usage.Batch = time.Duration(number()), time.Duration(number()), number() != 0
	c.Refused, c.Uncertain = int(number()), llm.Money(number())
	c.Key, c.Team = text(), text()
	return c
}

// rows calls do for the calls that began in a time, in its order.
func (s *state) rows(since, until int64, project string, do func(*analytics.Call)) error {
	return s.selectRows(`r.time >= ? AND r.time < ?`, `ORDER BY r.time`, since, until, project, func(row Row) error {
		c := readRow(row)
		do(&c)
		return nil
	})
}

func (s *state) selectRows(where, order string, since, until int64, project string, do func(Row) error, more ...any) error {
	args := []any{since, until}
	if project != "" {
		where, args = where+` AND n.project = ?`, append(args, project)
	}
	return s.query(`SELECT `+callColumns+` FROM call_rows r `+s.dialect.Join+` call_names n ON n.id = r.name WHERE `+where+` `+order, do, append(args, more...)...)
}
