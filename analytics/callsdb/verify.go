package callsdb

import (
	"context"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// Verify adds up the rows and compares them with everything that is kept beside
// them. It reads all rows, on one state of the file.
func (s *Store) Verify(ctx context.Context) (v analytics.Verified, err error) {
	if err := s.Take(ctx); err != nil {
		return v, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v.RunCosts, v.RunUncertain = map[string]llm.Money{}, map[string]llm.Money{}
	err = s.reading(ctx, func() error {
		var since int64 // seconds; rows before it were dropped
		if err := s.read.Query(`SELECT rows_since FROM call_state`, func(row *stmt) error {
			since = row.ColumnInt64(0)
			return nil
		}); err != nil {
			return err
		}
		for _, part := range []func(int64, *analytics.Verified) error{s.verifyCalls, s.verifyDays, s.verifyRuns} {
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
func (s *Store) RunCost(ctx context.Context, run string) (cost llm.Money, err error) {
	if err := s.Take(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.reading(ctx, func() error {
		return s.read.Query(`SELECT cost FROM call_runs WHERE id = ?`, func(row *stmt) error {
			cost = llm.Money(row.ColumnInt64(0))
			return nil
		}, run)
	})
	return cost, err
}

// verifyCalls compares calls with their attempts.
func (s *Store) verifyCalls(_ int64, v *analytics.Verified) error {
	return s.read.Query(`SELECT r.id, r.cost, sum(a.cost), count(*) FROM call_attempts a JOIN call_rows r ON r.id = a.call GROUP BY r.id`, func(row *stmt) error {
		v.Calls++
		v.Attempts += row.ColumnInt(3)
		if a, b := llm.Money(row.ColumnInt64(1)), llm.Money(row.ColumnInt64(2)); a != b {
			v.CallsDiffer = append(v.CallsDiffer, analytics.Difference{What: "call " + row.ColumnText(0), A: a, B: b})
		}
		return nil
	})
}

// verifyDays compares the sums of days with their rows.
func (s *Store) verifyDays(since int64, v *analytics.Verified) error {
	rows := map[int64]llm.Money{}
	err := s.read.Query(`SELECT time, cost, uncertain FROM call_rows`, func(row *stmt) error {
		v.Cost, v.Uncertain = v.Cost.Add(llm.Money(row.ColumnInt64(1))), v.Uncertain.Add(llm.Money(row.ColumnInt64(2)))
		at := floor(row.ColumnInt64(0), day)
		rows[at] = rows[at].Add(llm.Money(row.ColumnInt64(1)))
		return nil
	})
	if err != nil {
		return err
	}
	sums := map[int64]llm.Money{}
	err = s.read.Query(`SELECT start, cost FROM call_rollups WHERE seconds = ? AND kind = ? AND start >= ?`, func(row *stmt) error {
		at := row.ColumnInt64(0)
		sums[at] = sums[at].Add(llm.Money(row.ColumnInt64(1)))
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
func (s *Store) verifyRuns(since int64, v *analytics.Verified) error {
	return s.read.Query(`SELECT r.id, r.cost, (SELECT coalesce(sum(c.cost), 0) FROM call_rows c WHERE c.run = r.id), (SELECT coalesce(sum(c.uncertain), 0) FROM call_rows c WHERE c.run = r.id) FROM call_runs r WHERE r.began >= ?`, func(row *stmt) error {
		id, a, b := row.ColumnText(0), llm.Money(row.ColumnInt64(1)), llm.Money(row.ColumnInt64(2))
		v.Runs++
		v.RunCosts[id], v.RunUncertain[id] = b, llm.Money(row.ColumnInt64(3))
		if a != b {
			v.RunsDiffer = append(v.RunsDiffer, analytics.Difference{What: "run " + id, A: a, B: b})
		}
		return nil
	}, since*int64(time.Second))
}
