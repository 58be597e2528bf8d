package analyticstest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// Epoch is not on an hour, so that nothing is by chance.
var Epoch = time.Date(2026, 11, 3, 22, 41, 7, 123456789, time.UTC)

// RandomCall returns a call within ten days of Epoch.
func RandomCall(rng *rand.Rand) analytics.Call {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	c := analytics.Call{
		Time: Epoch.Add(time.Duration(rng.Int64N(int64(10 * 24 * time.Hour)))), Project: pick("one", "two"), Agent: pick("linter", "reviewer", "writer"),
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

func RandomCalls(seed uint64, n int) []analytics.Call {
	rng := rand.New(rand.NewPCG(seed, 0))
	calls := make([]analytics.Call, n)
	for i := range calls {
		calls[i] = RandomCall(rng)
	}
	return calls
}

// Stored returns all calls of a store.
func Stored(t *testing.T, s analytics.Store) []analytics.Call {
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

// Check compares the sums of a period with the rows that the store gives one by one.
func Check(t *testing.T, s analytics.Store, f analytics.Filter) {
	t.Helper()
	checkTools(t, s, f)
	calls := Stored(t, s)
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
func checkCosts(t *testing.T, s analytics.Store, f analytics.Filter, by analytics.Dimension, groups []analytics.Group) {
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

func sumsEqualRows(t *testing.T, s analytics.Store) {
	rng := rand.New(rand.NewPCG(3, 4))
	calls, filters := 3000, 30
	if testing.Short() {
		calls, filters = 1000, 8
	}
	for rest := RandomCalls(1, calls); len(rest) > 0; {
		n := min(len(rest), 1+rng.IntN(400))
		if err := s.Add(t.Context(), rest[:n]...); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
		addTools(t, s, rng, 1+rng.IntN(100))
	}
	Check(t, s, analytics.Filter{})
	for range filters {
		f := analytics.Filter{Since: Epoch.Add(time.Duration(rng.Int64N(int64(9 * 24 * time.Hour))))}
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
		Check(t, s, f)
	}
}

func callsComeBackAsTheyWere(t *testing.T, s analytics.Store) {
	want := RandomCalls(5, 2500)
	for i := range want {
		want[i].Alone = time.Duration(i + 1) // else it is estimated
	}
	if err := s.Add(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(want, func(a, b analytics.Call) int { return a.Time.Compare(b.Time) })
	if diff := gocmp.Diff(want, Stored(t, s)); diff != "" {
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

func runsOfAPeriod(t *testing.T, s analytics.Store) {
	call := func(run string, at, took time.Duration) analytics.Call {
		return analytics.Call{Time: Epoch.Add(at), Project: run[:3], Workflow: "check", Run: run, Source: llm.SourceLive, Duration: took, Cost: 5}
	}
	err := s.Add(t.Context(), call("two", 3*time.Hour, time.Hour), call("one", time.Hour, time.Minute), call("one", 2*time.Hour, 2*time.Minute),
		call("before", 0, time.Minute), call("after", 5*time.Hour, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	one := analytics.Run{
		ID: "one", Project: "one", Workflow: "check", Began: Epoch.Add(time.Hour), Ended: Epoch.Add(2*time.Hour + 2*time.Minute),
		Calls: 2, Cost: 10, Alone: 3 * time.Minute,
	}
	two := analytics.Run{ID: "two", Project: "two", Workflow: "check", Began: Epoch.Add(3 * time.Hour), Ended: Epoch.Add(4 * time.Hour), Calls: 1, Cost: 5, Alone: time.Hour}
	f := analytics.Filter{Since: Epoch.Add(90 * time.Minute), Until: Epoch.Add(5 * time.Hour)} // one started before
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

// anEstimateForWhatWasFree: a hit would have taken as long as the service
// takes that agent.
func anEstimateForWhatWasFree(t *testing.T, s analytics.Store) {
	live := analytics.Call{Time: Epoch, Agent: "a", Model: "m", Source: llm.SourceLive, Duration: 4 * time.Second}
	slow := live
	slow.Duration = 6 * time.Second
	hit := analytics.Call{Time: Epoch.Add(time.Minute), Agent: "a", Model: "m", Source: llm.SourceCache, Duration: time.Millisecond}
	if err := s.Add(t.Context(), live, slow, hit); err != nil {
		t.Fatal(err)
	}
	if got := Stored(t, s)[2].Alone; got != 5*time.Second {
		t.Errorf("a hit is taken to save a call of %v; want 5s", got)
	}
}

func slowestAndFailures(t *testing.T, s analytics.Store) {
	calls := RandomCalls(9, 500)
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

func pruneKeepsDays(t *testing.T, s analytics.Store) {
	if err := s.Add(t.Context(), RandomCalls(2, 5000)...); err != nil {
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
	now := Epoch.AddDate(0, 0, 10)
	done, err := s.Prune(t.Context(), analytics.Retention{Rows: 2 * 24 * time.Hour, Hours: 5 * 24 * time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	if done.Rows < 2000 || done.Hours == 0 {
		t.Errorf("dropped %+v", done)
	}
	if diff := gocmp.Diff(before, days(), gocmp.Comparer(sameSketch)); diff != "" {
		t.Errorf("days differ after pruning:\n%s", diff)
	}
	for _, c := range Stored(t, s) {
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
		t.Errorf("since %v is %+v; want %v, and Rounded", at, sum.Period, want)
	}
	if _, err := s.Prune(t.Context(), analytics.Retention{Rows: 5 * time.Hour, Hours: time.Hour}, now); err == nil {
		t.Error("hours may be dropped before rows")
	}
}
