package callspg_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/analyticstest"
	"github.com/claude-force/claude-force/analytics/callspg"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/llm"
)

// TestSummaryReadsSumsOnly empties the tables with rows: what a period of whole hours says
// stays as it is.
func TestSummaryReadsSumsOnly(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	s := open(t, url, spoolPath(t))
	if err := s.Add(t.Context(), analyticstest.RandomCalls(3, 800)...); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		at := analyticstest.Epoch.Add(time.Duration(i) * 100 * time.Minute)
		if err := s.AddTools(t.Context(), analytics.ToolCall{Time: at, Project: "one", Agent: "a", Tool: "Read", Outcome: analytics.ToolOutcome(i % 4)}); err != nil {
			t.Fatal(err)
		}
		if err := s.AddTasks(t.Context(), analytics.ToolTask{Time: at, Project: "one", Agent: "a", Model: "m", Turns: i}); err != nil {
			t.Fatal(err)
		}
	}
	filters := []analytics.Filter{{}, {Since: analyticstest.Epoch.Truncate(time.Hour).AddDate(0, 0, 2)}, {Project: "one", Since: analyticstest.Epoch.Truncate(time.Hour).Add(30 * time.Hour)}}
	ask := func() (list []*analytics.Summary) {
		for _, f := range filters {
			sum, err := s.Summary(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, sum)
		}
		return list
	}
	before := ask()
	db := connect(t, url)
	defer db.Close()
	if _, err := db.Exec(t.Context(), `TRUNCATE call_rows, call_attempts, call_names, call_tools, call_tool_tasks, call_tool_names`); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(before, ask()); diff != "" || before[0].Calls != 800 || before[0].Tools.ToolCalls != 50 {
		t.Errorf("%d calls; without rows:\n%s", before[0].Calls, diff)
	}
}

var benchRows = flag.Int("rows", 1_000_000, "calls in the larger store of BenchmarkSummary")

// filled returns a store with so many calls of the last eight days, of the same hours,
// agents, models and sources whatever their number.
func filled(b *testing.B, rows int) *callspg.Store {
	b.Helper()
	url := postgrestest.URL(b)
	s := open(b, url, spoolPath(b))
	start := time.Now().UTC().Truncate(time.Hour).AddDate(0, 0, -8)
	var calls []analytics.Call
	for h := range 192 {
		for k := range 24 {
			calls = append(calls, analytics.Call{
				Time: start.Add(time.Duration(h)*time.Hour + time.Duration(k)*time.Minute), Project: fmt.Sprintf("/p%d", k%2), Agent: fmt.Sprint(k % 6), Asked: "m", Model: fmt.Sprint(k % 3),
				Source: [...]llm.Source{llm.SourceLive, llm.SourceCache}[k/12], Duration: time.Duration(k+1) * 100 * time.Millisecond, Cost: 1000, Attempts: 1, Usage: llm.Usage{InputTokens: 100},
			})
		}
	}
	if err := s.Add(b.Context(), calls...); err != nil {
		b.Fatal(err)
	}
	db := connect(b, url)
	defer db.Close()
	more := rows/len(calls) - 1
	for _, sql := range []string{
		`INSERT INTO call_rows SELECT nextval('call_ids'), time + g, name, run, step, item, input, output, cache_read, cache_write_5m, cache_write_1h, searches, unpriced, cost, saved_cache, saved_coalesced,
			saved_prompt, saved_batch, saved_model, duration, first_token, alone, attempts, code, stop, service, waited, batch, refused, uncertain FROM call_rows, generate_series(1, $1::int) g`,
		`UPDATE call_rollups SET calls = calls * ($1::int + 1), cost = cost * ($1::int + 1)`,
	} {
		if _, err := db.Exec(b.Context(), sql, more); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := db.Exec(b.Context(), `ANALYZE`); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkSummary asks for seven days of a store with 10,000 calls and of one with many, in
// turn.
func BenchmarkSummary(b *testing.B) {
	few, many := filled(b, 10_000), filled(b, *benchRows)
	f := analytics.Filter{Since: time.Now().UTC().Truncate(time.Hour).AddDate(0, 0, -7)}
	ask := func(s *callspg.Store) (took time.Duration, calls int64) {
		start := time.Now()
		sum, err := s.Summary(b.Context(), f)
		if err != nil {
			b.Fatal(err)
		}
		return time.Since(start), sum.Calls
	}
	var short, long time.Duration
	var calls int64
	ask(few)
	ask(many)
	for b.Loop() {
		took, _ := ask(few)
		short += took
		took, calls = ask(many)
		long += took
	}
	b.ReportMetric(float64(short.Microseconds())/1000/float64(b.N), "ms/10k")
	b.ReportMetric(float64(long.Microseconds())/1000/float64(b.N), "ms/many")
	b.ReportMetric(float64(calls), "calls")
	b.ReportMetric(float64(long)/float64(short), "x-10k")
	start := time.Now()
	v, err := many.Verify(b.Context())
	if err != nil || len(v.DaysDiffer) > 0 {
		b.Fatal(err, v.DaysDiffer)
	}
	b.ReportMetric(time.Since(start).Seconds(), "s/verify")
}
