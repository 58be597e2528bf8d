package callsdb_test

import (
	"errors"
	"testing"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/analyticstest"
	"github.com/claude-force/claude-force/analytics/callsdb"
)

func TestResultsAreKeptUntilSomebodyWrites(t *testing.T) {
	t.Parallel()
	path := file(t)
	s, other := open(t, path), open(t, path)
	ask := func() int64 {
		t.Helper()
		sum, err := s.Summary(t.Context(), analytics.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		return sum.Calls
	}
	ask()
	ask()
	if got := s.CacheStats(); got.Hits != 1 || got.Misses != 1 || got.HitRate != 0.5 {
		t.Errorf("after asking twice: %+v", got)
	}
	for i, by := range []*callsdb.Store{other, s, other} {
		if err := by.Add(t.Context(), analyticstest.RandomCalls(uint64(i), 1)...); err != nil {
			t.Fatal(err)
		}
		if got, want := ask(), int64(i+1); got != want {
			t.Errorf("after write %d: %d calls; want %d", i, got, want)
		}
	}
	for i := range 1000 { // more than are kept
		if _, err := s.Slowest(t.Context(), analytics.Filter{}, i); err != nil {
			t.Fatal(err)
		}
	}
	before := s.CacheStats()
	ask()
	if got := s.CacheStats(); got.Misses != before.Misses+1 {
		t.Error("a result was kept longer than a thousand others")
	}
}

func TestQueriesReadViewsOnly(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := open(t, path)
	if err := s.Add(t.Context(), analyticstest.RandomCalls(1, 50)...); err != nil {
		t.Fatal(err)
	}
	query := func(sql string) (rows [][]any, err error) {
		err = s.Query(t.Context(), sql, analytics.QueryLimits{}, func(_ []string, values []any) error {
			if values != nil {
				rows = append(rows, values)
			}
			return nil
		})
		return rows, err
	}
	for _, sql := range []string{
		`SELECT agent, count(*), sum(cost_usd) FROM calls GROUP BY agent`, `SELECT * FROM hourly`, `SELECT * FROM daily`, `SELECT * FROM workflow_runs`,
		`WITH x AS (SELECT * FROM calls) SELECT count(*) FROM x;`, `SELECT count(*) FROM calls WHERE time >= '2026-11-05' AND outcome = 'ok'`,
	} {
		if rows, err := query(sql); err != nil || len(rows) == 0 {
			t.Errorf("%s: %d rows, %v", sql, len(rows), err)
		}
	}
	if rows, err := query(`SELECT count(*) FROM calls`); err != nil || rows[0][0] != int64(50) {
		t.Errorf("count: %v, %v", rows, err)
	}
	for _, sql := range []string{
		``, `SELECT`, `DELETE FROM call_rows`, `DROP VIEW calls`, `INSERT INTO call_imports VALUES (x'00')`, `PRAGMA query_only = OFF`, `PRAGMA user_version`,
		`ATTACH 'x.db' AS x`, `SELECT * FROM sqlite_schema`, `SELECT * FROM schema_versions`, `SELECT * FROM pragma_database_list`, `SELECT 1; DELETE FROM call_rows`,
		`SELECT load_extension('x')`, `VACUUM INTO 'x.db'`, `CREATE TEMP TABLE x (a)`, `BEGIN IMMEDIATE`, `SELECT * FROM nothing`, `SELECT * FROM call_rows`, `SELECT * FROM call_state, calls`,
	} {
		if _, err := query(sql); err == nil {
			t.Errorf("%q was run", sql)
		} else if _, ok := errors.AsType[*analytics.QueryError](err); !ok {
			t.Errorf("%q: %v is no QueryError", sql, err)
		}
	}
	if len(analyticstest.Stored(t, s)) != 50 {
		t.Error("a query changed the calls")
	}
}
