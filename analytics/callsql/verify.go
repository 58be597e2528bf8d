package callsql

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// Verify adds up the rows and compares them with everything that is kept beside
// them. It reads all rows, on one state of the file.
func (r *Reader) Verify(ctx context.Context) (v analytics.Verified, err error) {
	if err := r.db.Take(ctx); err != nil {
		return v, err
	}
	v.RunCosts, v.RunUncertain = map[string]llm.Money{}, map[string]llm.Money{}
	err = r.read(ctx, func(s *state) error {
		var since int64 // seconds; rows before it were dropped
		if err := s.query(`SELECT rows_since FROM call_state`, func(row Row) error {
			since = row.ColumnInt64(0)
			return nil
		}); err != nil {
			return err
		}
		for _, part := range []func(int64, *analytics.Verified) error{s.verifyCalls, s.verifyDays, s.verifyRuns, s.verifyTools} {
			if err := part(since, &v); err != nil {
				return err
			}
		}
		return nil
	})
	return v, err
}

// RunCost returns what the calls of a run cost so far, those of processes that were
// killed included. It is 0 for a run of which no call is kept.
func (r *Reader) RunCost(ctx context.Context, run string) (cost llm.Money, err error) {
	if err := r.db.Take(ctx); err != nil {
		return 0, err
	}
	err = r.read(ctx, func(s *state) error {
		return s.query(`SELECT cost FROM call_runs WHERE id = ?`, func(row Row) error {
			cost = llm.Money(row.ColumnInt64(0))
			return nil
		}, run)
	})
	return cost, err
}

// verifyCalls compares calls with their attempts.
func (s *state) verifyCalls(_ int64, v *analytics.Verified) error {
	err := s.query(`SELECT count(*), CAST(coalesce(sum(x.n), 0) AS BIGINT) FROM (SELECT count(*) AS n FROM call_attempts a JOIN call_rows r ON `+s.dialect.Attempts+` GROUP BY a.call) x`, func(row Row) error {
		v.Calls, v.Attempts = row.ColumnInt(0), row.ColumnInt(1)
		return nil
	})
	if err != nil {
		return err
	}
	return s.query(`SELECT r.id, r.cost, CAST(sum(a.cost) AS BIGINT) FROM call_attempts a JOIN call_rows r ON `+s.dialect.Attempts+` GROUP BY r.id, r.cost HAVING sum(a.cost) != r.cost ORDER BY r.id`, func(row Row) error {
		v.CallsDiffer = append(v.CallsDiffer, analytics.Difference{What: "call " + row.ColumnText(0), A: llm.Money(row.ColumnInt64(1)), B: llm.Money(row.ColumnInt64(2))})
		return nil
	})
}

// dayOf is the beginning of the day of a time in nanoseconds, in seconds, as [Floor] works
// it out.
const dayOf = `(time - ((time % 86400000000000) + 86400000000000) % 86400000000000) / 1000000000`

// verifyDays compares the sums of days with their rows.
func (s *state) verifyDays(since int64, v *analytics.Verified) error {
	rows := map[int64]llm.Money{}
	err := s.query(`SELECT `+dayOf+`, CAST(sum(cost) AS BIGINT), CAST(sum(uncertain) AS BIGINT) FROM call_rows GROUP BY 1`, func(row Row) error {
		cost := llm.Money(row.ColumnInt64(1))
		v.Cost, v.Uncertain = v.Cost.Add(cost), v.Uncertain.Add(llm.Money(row.ColumnInt64(2)))
		rows[row.ColumnInt64(0)] = cost
		return nil
	})
	if err != nil {
		return err
	}
	sums := map[int64]llm.Money{}
	err = s.query(`SELECT start, CAST(sum(cost) AS BIGINT) FROM call_rollups WHERE seconds = ? AND kind = ? AND start >= ? GROUP BY start`, func(row Row) error {
		sums[row.ColumnInt64(0)] = llm.Money(row.ColumnInt64(1))
		return nil
	}, day, kindSource, since)
	if err != nil {
		return err
	}
	for at := range rows {
		if _, ok := sums[at]; !ok && at >= since {
			sums[at] = 0
		}
	}
	for at, sum := range sums {
		v.Days++
		if sum != rows[at] {
			v.DaysDiffer = append(v.DaysDiffer, analytics.Difference{What: "day " + time.Unix(at, 0).UTC().Format(time.DateOnly), A: sum, B: rows[at]})
		}
	}
	return nil
}

// verifyRuns compares the sums of runs with their rows.
func (s *state) verifyRuns(since int64, v *analytics.Verified) error {
	return s.query(`SELECT r.id, r.cost, coalesce(c.cost, 0), coalesce(c.uncertain, 0) FROM call_runs r LEFT JOIN
		(SELECT run, CAST(sum(cost) AS BIGINT) AS cost, CAST(sum(uncertain) AS BIGINT) AS uncertain FROM call_rows WHERE run != '' GROUP BY run) c ON c.run = r.id WHERE r.began >= ?`, func(row Row) error {
		id, a, b := row.ColumnText(0), llm.Money(row.ColumnInt64(1)), llm.Money(row.ColumnInt64(2))
		v.Runs++
		v.RunCosts[id], v.RunUncertain[id] = b, llm.Money(row.ColumnInt64(3))
		if a != b {
			v.RunsDiffer = append(v.RunsDiffer, analytics.Difference{What: "run " + id, A: a, B: b})
		}
		return nil
	}, since*int64(time.Second))
}

// hourOf is the beginning of the hour of a time in nanoseconds, in seconds, as [Floor] works
// it out.
const hourOf = `(r.time - ((r.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000`

// verifyTools compares the sums of what agents did with tools with their rows.
func (s *state) verifyTools(since int64, v *analytics.Verified) error {
	type key struct {
		start   int64
		project string
	}
	read := func(totals map[key]analytics.ToolTotals, sql string, args ...any) error {
		return s.query(sql, func(row Row) error {
			k := key{row.ColumnInt64(0), row.ColumnText(1)}
			t := totals[k]
			t.ToolCalls, t.Failed, t.Denied = t.ToolCalls+row.ColumnInt64(2), t.Failed+row.ColumnInt64(3), t.Denied+row.ColumnInt64(4)
			t.Unknown, t.Tasks, t.Turns = t.Unknown+row.ColumnInt64(5), t.Tasks+row.ColumnInt64(6), t.Turns+row.ColumnInt64(7)
			totals[k] = t
			return nil
		}, args...)
	}
	rows, sums := map[key]analytics.ToolTotals{}, map[key]analytics.ToolTotals{}
	from := since * int64(time.Second)
	if since == 0 { // none were dropped
		since, from = math.MinInt64, math.MinInt64
	}
	err := errors.Join(
		read(sums, `SELECT start, project, tool_calls, failed, denied, unknown, tasks, turns FROM call_tool_sums WHERE start >= ?`, since),
		read(rows, `SELECT `+hourOf+`, n.project, count(*), count(*) FILTER (WHERE r.outcome = 1), count(*) FILTER (WHERE r.outcome = 2), count(*) FILTER (WHERE r.outcome = 3), 0, 0
			FROM call_tools r `+s.dialect.Join+` call_tool_names n ON n.id = r.name WHERE r.time >= ? GROUP BY 1, 2`, from),
		read(rows, `SELECT `+hourOf+`, n.project, 0, 0, 0, 0, count(*), CAST(coalesce(sum(r.turns), 0) AS BIGINT)
			FROM call_tool_tasks r `+s.dialect.Join+` call_tool_names n ON n.id = r.name WHERE r.time >= ? GROUP BY 1, 2`, from))
	if err != nil {
		return err
	}
	for k := range rows {
		if _, ok := sums[k]; !ok {
			sums[k] = analytics.ToolTotals{}
		}
	}
	for k, sum := range sums {
		v.Tools++
		if sum != rows[k] {
			v.ToolsDiffer = append(v.ToolsDiffer, analytics.ToolDifference{Hour: time.Unix(k.start, 0).UTC(), Project: k.project, Sum: sum, Rows: rows[k]})
		}
	}
	return nil
}
