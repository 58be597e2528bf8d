package callspg_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/analyticstest"
	"github.com/claude-force/claude-force/analytics/callspg"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/llm"
)

func connect(tb testing.TB, url string) *postgres.DB {
	tb.Helper()
	db, err := postgres.Open(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

func open(tb testing.TB, url, path string) *callspg.Store {
	tb.Helper()
	s := callspg.Open(connect(tb, url), path)
	tb.Cleanup(func() { s.Close() })
	return s
}

func spoolPath(tb testing.TB) string { return filepath.Join(tb.TempDir(), "sub", "postgres") }

func TestSuite(t *testing.T) {
	t.Parallel()
	analyticstest.Suite(t, func(t *testing.T) analytics.Store { return open(t, postgrestest.URL(t), spoolPath(t)) })
}

// record records calls in a way that many processes do.
func record(path, url string, calls []analytics.Call, waiting func(error)) error {
	r := callspg.NewRecorder(path, func(ctx context.Context) (*postgres.DB, error) { return postgres.Open(ctx, url) }, analytics.Retention{}, waiting, nil)
	for _, c := range calls {
		r.Record(c)
	}
	return r.Close()
}

// TestMachines has several machines with several processes record calls at once: each call
// is there once, and the sums are those of the rows.
func TestMachines(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	const machines, processes, each = 3, 4, 150
	var all sync.WaitGroup
	for m := range machines {
		path := spoolPath(t)
		for p := range processes {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(m), uint64(p)))
				for part := range 3 {
					calls := make([]analytics.Call, each/3)
					for i := range calls {
						calls[i] = analyticstest.RandomCall(rng)
						calls[i].Step = fmt.Sprint(m, p, part, i)
					}
					if err := record(path, url, calls, func(err error) { t.Error(err) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	s := open(t, url, spoolPath(t))
	seen := map[string]bool{}
	for _, c := range analyticstest.Stored(t, s) {
		if seen[c.Step] {
			t.Fatalf("call %s is there twice", c.Step)
		}
		seen[c.Step] = true
	}
	if len(seen) != machines*processes*each {
		t.Errorf("%d calls; want %d", len(seen), machines*processes*each)
	}
	analyticstest.Check(t, s, analytics.Filter{})
}

// TestServerGone records while the server is killed again and again: what is recorded waits
// on the machine, which is said once, and is added once when the server is back.
func TestServerGone(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	url := server.URL(t)
	path := spoolPath(t)
	rng := rand.New(rand.NewPCG(1, 2))
	n, waited := 0, 0
	next := func(count int) (calls []analytics.Call) {
		for range count {
			c := analyticstest.RandomCall(rng)
			c.Step = strconv.Itoa(n)
			n++
			calls = append(calls, c)
		}
		return calls
	}
	for range 3 {
		if err := record(path, url, next(40), nil); err != nil {
			t.Fatal(err)
		}
		r := callspg.NewRecorder(path, func(ctx context.Context) (*postgres.DB, error) { return postgres.Open(ctx, url) }, analytics.Retention{}, func(error) { waited++ }, nil)
		for i, c := range next(60) {
			if i == 30 {
				server.Kill(t)
			}
			r.Record(c)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		server.Restart(t)
	}
	if waited != 3 {
		t.Errorf("it was said %d times that calls wait; want once by each of 3 recorders", waited)
	}
	s := open(t, url, path)
	for range 2 { // taken once
		if err := s.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for _, c := range analyticstest.Stored(t, s) {
		seen[c.Step]++
	}
	for i := range n {
		if seen[strconv.Itoa(i)] != 1 {
			t.Errorf("call %d is there %d times", i, seen[strconv.Itoa(i)])
		}
	}
	analyticstest.Check(t, s, analytics.Filter{})
}

// TestPartitions: days have partitions of their own, which are dropped whole; what is too
// old for one is kept all the same.
func TestPartitions(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	s := open(t, url, spoolPath(t))
	db := connect(t, url)
	defer db.Close()
	now := time.Now().UTC()
	call := func(days int) analytics.Call {
		at := now.AddDate(0, 0, -days)
		return analytics.Call{Time: at, Agent: "a", Asked: "m", Source: llm.SourceLive, Cost: 1, Tries: []analytics.Attempt{{ID: int64(days + 1), Start: at, Model: "m", Cost: 1, Basis: llm.BasisAnswer}}}
	}
	if err := s.Add(t.Context(), call(0), call(3), call(5000)); err != nil {
		t.Fatal(err)
	}
	count := func(sql string) (n int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const parts = `SELECT count(*) FROM pg_inherits WHERE inhparent = 'call_attempts'::regclass`
	want := 5 // 3 days ago, today, two ahead and the default
	if time.Now().UTC().Day() != now.Day() {
		want++ // or it was midnight meanwhile
	}
	if got := count(parts); got != want && got != 5 {
		t.Errorf("%d partitions; want %d", got, want)
	}
	if got := count(`SELECT count(*) FROM call_rows_other`); got != 1 {
		t.Errorf("%d rows in the default partition; want the one of 5000 days ago", got)
	}
	before := count(parts)
	done, err := s.Prune(t.Context(), analytics.Retention{Rows: 48 * time.Hour}, now)
	if err != nil || done.Rows != 2 || count(parts) != before-1 || count(`SELECT count(*) FROM call_attempts`) != 1 || count(`SELECT count(*) FROM call_attempt_ids`) != 1 {
		t.Errorf("%+v, %v: %d partitions, %d attempts, %d ids", done, err, count(parts), count(`SELECT count(*) FROM call_attempts`), count(`SELECT count(*) FROM call_attempt_ids`))
	}
	sum, err := s.Summary(t.Context(), analytics.Filter{})
	if err != nil || sum.Calls != 3 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestQueriesCannotLeaveTheViews tries what a statement could reach beside the views.
func TestQueriesCannotLeaveTheViews(t *testing.T) {
	t.Parallel()
	s := open(t, postgrestest.URL(t), spoolPath(t))
	if err := s.Add(t.Context(), analyticstest.RandomCalls(1, 20)...); err != nil {
		t.Fatal(err)
	}
	run := func(sql string) error {
		return s.Query(t.Context(), sql, analytics.QueryLimits{}, func([]string, []any) error { return nil })
	}
	for _, sql := range []string{
		`SELECT * FROM call_rows`, `SELECT * FROM schema_generation`, `SELECT * FROM pg_shadow`, `SELECT * FROM pg_stat_activity`, `SELECT * FROM information_schema.tables`,
		`SELECT (SELECT count(*) FROM call_rows)`, `WITH x AS (SELECT * FROM call_names) SELECT * FROM x`, `SELECT 1 FROM calls WHERE EXISTS (SELECT FROM call_state)`,
		`WITH x AS (DELETE FROM call_rows RETURNING 1) SELECT * FROM x`, `SELECT * INTO t FROM calls`, `TABLE call_rows`, `SELECT 1; SELECT 2`,
		`SELECT query_to_xml('select * from call_rows', true, false, '')`, `SELECT table_to_xml('call_rows', true, false, '')`, `SELECT set_config('a.b', 'c', true)`,
		`SELECT pg_read_file('/etc/passwd')`, `SELECT pg_ls_dir('.')`, `SELECT current_setting('data_directory')`, `SELECT lo_get(1)`, `SELECT pg_sleep(1)`, `SELECT nextval('call_ids')`,
		`SELECT pg_advisory_lock(1)`, `SELECT * FROM ts_stat('select 1')`, `SELECT agent FROM calls ORDER BY pg_sleep(1)`, `SELECT count(*) FILTER (WHERE pg_sleep(1) IS NULL) FROM calls`,
		`SELECT * FROM pg_ls_dir('.')`, `SELECT agent FROM calls LIMIT length(pg_read_file('x'))`, `VALUES (pg_sleep(1))`, `COPY calls TO '/tmp/x'`, `EXPLAIN ANALYZE SELECT 1`, `SHOW data_directory`,
		`SELECT $1::int`, `CALL x()`, `DO 'x'`, `SET ROLE x`, `LOCK TABLE call_rows`, `LISTEN x`, `SELECT call_time(1)`, `SELECT agent FROM calls FOR UPDATE`,
	} {
		if _, ok := errors.AsType[*analytics.QueryError](run(sql)); !ok {
			t.Errorf("%s: %v", sql, run(sql))
		}
	}
	for _, sql := range []string{
		`SELECT lower(agent), count(*), avg(seconds), percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FROM calls GROUP BY 1`, `SELECT row_number() OVER (ORDER BY time), time::timestamptz, now() FROM calls`,
		`SELECT coalesce(nullif(agent, ''), 'x') || '-' || left(model, 3), agent ~ 'l', cost_usd > 0 FROM calls -- a comment`, `SELECT n FROM generate_series(1, 3) n`, `VALUES (1, 'a')`,
	} {
		if err := run(sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	endless := `SELECT count(*) FROM generate_series(1, 1000000000000)`
	err := s.Query(t.Context(), endless, analytics.QueryLimits{Time: 50 * time.Millisecond}, func([]string, []any) error { return nil })
	if _, ok := errors.AsType[*analytics.QueryError](err); !ok {
		t.Errorf("one that takes too long: %v", err)
	}
}
