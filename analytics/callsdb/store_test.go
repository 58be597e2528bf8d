package callsdb_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/llm"
)

func file(tb testing.TB) string { return filepath.Join(tb.TempDir(), "sub", "history.db") }

func open(tb testing.TB, path string) *callsdb.Store {
	tb.Helper()
	s, err := callsdb.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// epoch is not on an hour, so that nothing is by chance.
var epoch = time.Date(2026, 11, 3, 22, 41, 7, 123456789, time.UTC)

// randomCall is a call within ten days of epoch.
func randomCall(rng *rand.Rand) analytics.Call {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	c := analytics.Call{
		Time: epoch.Add(time.Duration(rng.Int64N(int64(10 * 24 * time.Hour)))), Project: pick("one", "two"), Agent: pick("linter", "reviewer", "writer"),
		Asked: "haiku", Model: pick("haiku", "sonnet"), Usage: llm.Usage{InputTokens: rng.IntN(5000), OutputTokens: rng.IntN(1000), CacheReadTokens: rng.IntN(3) * 1000},
		Duration: time.Duration(rng.ExpFloat64() * 2e9), Attempts: 1 + rng.IntN(2), StopReason: "end_turn", Key: pick("", "ci", "desk"), Team: pick("", "web"),
	}
	if rng.IntN(2) == 0 {
		c.Workflow = pick("check", "release")
		c.Run, c.Step = fmt.Sprintf("run_%s_%d", c.Project+c.Workflow, rng.IntN(40)), pick("a", "b")
	}
	money := llm.Money(rng.Int64N(50_000_000))
	switch rng.IntN(6) {
	case 0, 1:
		c.Source, c.Saved.Cache = llm.SourceCache, money
	case 2:
		c.Source, c.Saved.Coalesced = llm.SourceCoalesced, money
	case 3:
		c.Code = llm.CodeRateLimit
	default:
		c.Source, c.Cost, c.Saved.Prompt = llm.SourceLive, money, llm.Money(rng.Int64N(1000)-300)
		c.FirstToken = c.Duration / 3
		c.Unpriced = rng.IntN(10) == 0
	}
	return c
}

func randomCalls(seed uint64, n int) []analytics.Call {
	rng := rand.New(rand.NewPCG(seed, 0))
	calls := make([]analytics.Call, n)
	for i := range calls {
		calls[i] = randomCall(rng)
	}
	return calls
}

// stored are all calls of a store.
func stored(t *testing.T, s *callsdb.Store) []analytics.Call {
	t.Helper()
	var calls []analytics.Call
	for c, err := range s.Calls(t.Context(), analytics.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, c)
	}
	return calls
}

// byHand groups calls without any sums.
func byHand(calls []analytics.Call, f analytics.Filter, by analytics.Dimension) map[string]*analytics.Totals {
	groups := map[string]*analytics.Totals{}
	fits := func(at time.Time, project string) bool {
		return (f.Since.IsZero() || !at.Before(f.Since)) && (f.Until.IsZero() || at.Before(f.Until)) && (f.Project == "" || f.Project == project)
	}
	group := func(c *analytics.Call, at time.Time, source llm.Source) *analytics.Totals {
		name := map[analytics.Dimension]string{
			analytics.ByAgent: c.Agent, analytics.ByModel: c.Model, analytics.ByWorkflow: c.Workflow, analytics.BySource: string(source), analytics.ByProject: c.Project,
			analytics.ByKey: c.Key, analytics.ByTeam: c.Team,
			analytics.ByDay: at.UTC().Truncate(24 * time.Hour).String(), analytics.ByHour: at.UTC().Truncate(time.Hour).String(),
		}[by]
		if groups[name] == nil {
			groups[name] = &analytics.Totals{}
		}
		return groups[name]
	}
	type run struct {
		first        *analytics.Call
		began, ended time.Time
		alone        time.Duration
	}
	runs := map[string]*run{}
	for i := range calls {
		c := &calls[i]
		if fits(c.Time, c.Project) {
			group(c, c.Time, c.Source).AddCall(c)
		}
		if c.Run == "" {
			continue
		}
		r := runs[c.Run]
		if r == nil {
			r = &run{first: c, began: c.Time}
			runs[c.Run] = r
		}
		if end := c.Time.Add(c.Duration); end.After(r.ended) {
			r.ended = end
		}
		if c.Time.Before(r.began) {
			r.began = c.Time
		}
		r.alone += c.Worked()
	}
	if by == analytics.ByAgent || by == analytics.ByModel || by == analytics.ByKey || by == analytics.ByTeam {
		return groups
	}
	for _, r := range runs {
		if fits(r.began, r.first.Project) {
			t := group(r.first, r.began, "")
			t.Runs++
			t.RunWall += r.ended.Sub(r.began)
			t.RunAlone += r.alone
		}
	}
	return groups
}

func check(t *testing.T, s *callsdb.Store, f analytics.Filter) {
	t.Helper()
	calls := stored(t, s)
	for _, by := range []analytics.Dimension{analytics.ByAgent, analytics.ByModel, analytics.ByWorkflow, analytics.BySource, analytics.ByProject, analytics.ByKey, analytics.ByTeam, analytics.ByDay, analytics.ByHour} {
		if by == analytics.ByHour && (f.Until.IsZero() || f.Until.Sub(f.Since) > 24*time.Hour) {
			continue // days are not taken apart
		}
		groups, err := s.Groups(t.Context(), f, by)
		if err != nil {
			t.Fatal(err)
		}
		checkCosts(t, s, f, by, groups)
		got := map[string]*analytics.Totals{}
		for _, g := range groups {
			name := g.Name
			if !g.Start.IsZero() {
				name = g.Start.String()
			}
			if g.Calls+g.Runs > 0 || g.Duration != 0 {
				got[name] = &g.Totals
			}
		}
		if diff := gocmp.Diff(byHand(calls, f, by), got, gocmp.Comparer(sameSketch), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("by %s, %+v: sums differ from the rows (-rows +sums):\n%s", by, f, diff)
		}
	}
}

// checkCosts compares what is added up by the database with what is here.
func checkCosts(t *testing.T, s *callsdb.Store, f analytics.Filter, by analytics.Dimension, groups []analytics.Group) {
	t.Helper()
	costs, err := s.Costs(t.Context(), f, by)
	if err != nil {
		t.Fatal(err)
	}
	never := gocmp.Comparer(func(a, b analytics.Sketch) bool { return true })
	if diff := gocmp.Diff(groups, costs, never); diff != "" {
		t.Fatalf("by %s, %+v: costs differ from groups:\n%s", by, f, diff)
	}
}

func sameSketch(a, b analytics.Sketch) bool {
	x, _ := a.AppendBinary(nil)
	y, _ := b.AppendBinary(nil)
	return string(x) == string(y)
}

func TestSumsEqualRows(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	rng := rand.New(rand.NewPCG(3, 4))
	calls, filters := 3000, 30
	if testing.Short() {
		calls, filters = 1000, 8
	}
	for rest := randomCalls(1, calls); len(rest) > 0; {
		n := min(len(rest), 1+rng.IntN(400))
		if err := s.Add(t.Context(), rest[:n]...); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	check(t, s, analytics.Filter{})
	for range filters {
		f := analytics.Filter{Since: epoch.Add(time.Duration(rng.Int64N(int64(9 * 24 * time.Hour))))}
		f.Until = f.Since.Add(time.Duration(rng.Int64N(int64(4 * 24 * time.Hour))))
		switch rng.IntN(4) {
		case 0:
			f.Until = f.Since.Add(time.Duration(rng.Int64N(int64(3 * time.Hour))))
		case 1:
			f.Since = f.Since.Truncate(time.Hour)
		}
		if rng.IntN(2) == 0 {
			f.Project = "one"
		}
		check(t, s, f)
	}
}

func TestCallsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	want := randomCalls(5, 2500)
	for i := range want {
		want[i].Alone = time.Duration(i + 1) // else it is estimated
	}
	if err := s.Add(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(want, func(a, b analytics.Call) int { return a.Time.Compare(b.Time) })
	if diff := gocmp.Diff(want, stored(t, s)); diff != "" {
		t.Error(diff)
	}
	var one []analytics.Call
	for c, err := range s.Calls(t.Context(), analytics.Filter{Project: "one", Since: want[10].Time, Until: want[2000].Time}) {
		if err != nil {
			t.Fatal(err)
		}
		one = append(one, c)
	}
	some := slices.DeleteFunc(slices.Clone(want[10:2000]), func(c analytics.Call) bool { return c.Project != "one" })
	if diff := gocmp.Diff(some, one); diff != "" {
		t.Error(diff)
	}
}

func TestRunsOfAPeriod(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	call := func(run string, at, took time.Duration) analytics.Call {
		return analytics.Call{Time: epoch.Add(at), Project: run[:3], Workflow: "check", Run: run, Source: llm.SourceLive, Duration: took, Cost: 5}
	}
	err := s.Add(t.Context(), call("two", 3*time.Hour, time.Hour), call("one", time.Hour, time.Minute), call("one", 2*time.Hour, 2*time.Minute),
		call("before", 0, time.Minute), call("after", 5*time.Hour, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	one := analytics.Run{
		ID: "one", Project: "one", Workflow: "check", Began: epoch.Add(time.Hour), Ended: epoch.Add(2*time.Hour + 2*time.Minute),
		Calls: 2, Cost: 10, Alone: 3 * time.Minute,
	}
	two := analytics.Run{ID: "two", Project: "two", Workflow: "check", Began: epoch.Add(3 * time.Hour), Ended: epoch.Add(4 * time.Hour), Calls: 1, Cost: 5, Alone: time.Hour}
	f := analytics.Filter{Since: epoch.Add(90 * time.Minute), Until: epoch.Add(5 * time.Hour)} // one had begun before
	got, err := s.Runs(t.Context(), f)
	if diff := gocmp.Diff([]analytics.Run{one, two}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	f.Project = "two"
	got, err = s.Runs(t.Context(), f)
	if diff := gocmp.Diff([]analytics.Run{two}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if got, err = s.Runs(t.Context(), analytics.Filter{}); err != nil || len(got) != 4 {
		t.Errorf("%d runs in all, %v; want 4", len(got), err)
	}
}

// TestAnEstimateForWhatWasFree: a hit would have taken as long as the service
// takes that agent.
func TestAnEstimateForWhatWasFree(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	live := analytics.Call{Time: epoch, Agent: "a", Model: "m", Source: llm.SourceLive, Duration: 4 * time.Second}
	slow := live
	slow.Duration = 6 * time.Second
	hit := analytics.Call{Time: epoch.Add(time.Minute), Agent: "a", Model: "m", Source: llm.SourceCache, Duration: time.Millisecond}
	if err := s.Add(t.Context(), live, slow, hit); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, s)[2].Alone; got != 5*time.Second {
		t.Errorf("a hit is taken to save a call of %v; want 5s", got)
	}
}

func TestSlowestAndFailures(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	calls := randomCalls(9, 500)
	if err := s.Add(t.Context(), calls...); err != nil {
		t.Fatal(err)
	}
	slowest, err := s.Slowest(t.Context(), analytics.Filter{}, 3)
	if err != nil {
		t.Fatal(err)
	}
	answered := slices.DeleteFunc(slices.Clone(calls), func(c analytics.Call) bool { return c.Code != 0 })
	slices.SortFunc(answered, func(a, b analytics.Call) int { return cmp.Compare(b.Duration, a.Duration) })
	for i, c := range slowest {
		if c.Duration != answered[i].Duration {
			t.Errorf("slowest %d took %v; want %v", i, c.Duration, answered[i].Duration)
		}
	}
	failures, err := s.Failures(t.Context(), analytics.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, f := range failures {
		sum += int(f.Count)
	}
	if want := len(calls) - len(answered); sum != want || len(slowest) != 3 {
		t.Errorf("%d failures; want %d", sum, want)
	}
}

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
		if err := by.Add(t.Context(), randomCalls(uint64(i), 1)...); err != nil {
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
	if err := s.Add(t.Context(), randomCalls(1, 50)...); err != nil {
		t.Fatal(err)
	}
	query := func(sql string) (rows [][]any, err error) {
		err = s.Query(t.Context(), sql, callsdb.QueryLimits{}, func(_ []string, values []any) error {
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
		} else if _, ok := errors.AsType[*callsdb.QueryError](err); !ok {
			t.Errorf("%q: %v is no QueryError", sql, err)
		}
	}
	if len(stored(t, s)) != 50 {
		t.Error("a query changed the calls")
	}
}

func TestImportedOnce(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	data, err := os.ReadFile("../testdata/executions.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	read := func(text string) (added, known, bad int) {
		t.Helper()
		added, known, err := s.Import(t.Context(), analytics.ReadUpstream("f", strings.NewReader(text), analytics.UpstreamOptions{}), func(error) error {
			bad++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return added, known, bad
	}
	line, _, _ := strings.Cut(string(data), "\n")
	for _, step := range []struct {
		text              string
		added, known, bad int
	}{
		{line, 1, 0, 0},
		{string(data), 2, 1, 3},
		{string(data), 0, 3, 3},
		{string(data) + "\n" + line, 1, 3, 3}, // the same again, within one file, is another
	} {
		if added, known, bad := read(step.text); added != step.added || known != step.known || bad != step.bad {
			t.Errorf("import gave %d new, %d known, %d bad; want %+v", added, known, bad, step)
		}
	}
	check(t, s, analytics.Filter{})
}

func TestPruneKeepsDays(t *testing.T) {
	t.Parallel()
	s := open(t, file(t))
	if err := s.Add(t.Context(), randomCalls(2, 5000)...); err != nil {
		t.Fatal(err)
	}
	days := func() []analytics.Group {
		t.Helper()
		list, err := s.Groups(t.Context(), analytics.Filter{}, analytics.ByDay)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	before := days()
	now := epoch.AddDate(0, 0, 10)
	done, err := s.Prune(t.Context(), callsdb.Retention{Rows: 2 * 24 * time.Hour, Hours: 5 * 24 * time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	if done.Rows < 2000 || done.Hours == 0 {
		t.Errorf("dropped %+v", done)
	}
	if diff := gocmp.Diff(before, days(), gocmp.Comparer(sameSketch)); diff != "" {
		t.Errorf("days differ after pruning:\n%s", diff)
	}
	for _, c := range stored(t, s) {
		if c.Time.Before(now.AddDate(0, 0, -3)) {
			t.Fatalf("a call of %v is still there", c.Time)
		}
	}
	at := now.Add(-6*24*time.Hour - 17*time.Minute)
	sum, err := s.Summary(t.Context(), analytics.Filter{Since: at})
	if err != nil {
		t.Fatal(err)
	}
	if want := at.Truncate(24 * time.Hour); !sum.Period.Rounded || !sum.Period.Since.Equal(want) {
		t.Errorf("since %v is %+v; want %v, and to be told", at, sum.Period, want)
	}
	if _, err := s.Prune(t.Context(), callsdb.Retention{Rows: 5 * time.Hour, Hours: time.Hour}, now); err == nil {
		t.Error("hours may be dropped before rows")
	}
}
