package plan_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/workflow"
)

const model = "claude-sonnet-5-5"

func parse(t interface{ Fatal(...any) }, steps string) *workflow.Workflow {
	wf, err := workflow.Parse("w.yaml", []byte("steps:\n"+steps), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return wf
}

// input returns that of a workflow of which nothing is known.
func input(wf *workflow.Workflow) plan.Input {
	return plan.Input{
		Workflow: wf, Prices: llm.Prices(), Slots: 256,
		Asks: func(*workflow.Step) plan.Asks { return plan.Asks{Model: model, MaxTokens: 16000, Characters: 400} },
	}
}

// call is a finished call of an earlier run.
type call struct {
	path, item string
	usd, secs  float64
	source     llm.Source
}

func run(calls ...call) plan.Run {
	s := &journal.State{Units: map[journal.Unit]*journal.UnitState{}}
	for _, c := range calls {
		if c.source == "" {
			c.source = llm.SourceLive
		}
		s.Order = append(s.Order, &journal.UnitState{
			Unit: journal.Unit{Step: c.path, Item: c.item}, Type: journal.StepFinished,
			Started:  journal.Started{Agent: "linter", Model: model},
			Finished: journal.Finished{Outcome: llm.Outcome{Source: c.source, CostUSD: &c.usd, Usage: llm.Usage{InputTokens: 100, OutputTokens: 50}}, DurationSeconds: c.secs},
		})
	}
	return plan.Run{State: s, Whole: true}
}

func live(paths ...string) []plan.Unit {
	var units []plan.Unit
	for _, p := range paths {
		units = append(units, plan.Unit{Unit: journal.Unit{Step: p}, Source: llm.SourceLive, Characters: 4000})
	}
	return units
}

func step(t *testing.T, p *plan.Plan, id string) plan.Step {
	t.Helper()
	for _, s := range p.Steps {
		if s.ID == id {
			return s
		}
	}
	t.Fatalf("the plan has no step %s", id)
	return plan.Step{}
}

func TestTheBestSourceOfFiguresIsTaken(t *testing.T) {
	t.Parallel()
	wf := parse(t, "- {id: a, agent: linter, task: t}\n- {id: b, agent: linter, task: u}\n")
	in := input(wf)
	in.Units = live("a", "b")

	p := plan.Make(in)
	// 4000 characters are 1300 tokens, at the price of the table.
	usd, _ := llm.Prices().Cost(model, llm.Usage{InputTokens: 1300, OutputTokens: 600})
	most, _ := llm.Prices().Cost(model, llm.Usage{InputTokens: 1625, OutputTokens: 16000})
	a := step(t, p, "a")
	if a.Basis != "token count" || a.CostUSD.Expected != usd || a.CostUSD.High != most || a.Source != plan.SourceLive {
		t.Errorf("without history: %+v, cost %+v; want %v, at most %v", a, a.CostUSD, usd, most)
	}

	in.Runs = []plan.Run{run(call{path: "a", usd: 1, secs: 4}), run(call{path: "a", usd: 2, secs: 5}), run(call{path: "a", usd: 6, secs: 60})}
	p = plan.Make(in)
	a, b := step(t, p, "a"), step(t, p, "b")
	if a.Basis != "3 earlier runs" || a.CostUSD.Expected != 3 || a.Seconds.Expected != 5 {
		t.Errorf("with history: %+v, cost %+v; want the mean 3 and the median 5", a, a.CostUSD)
	}
	if a.CostUSD.Low < 1 || a.CostUSD.Low > 2 || a.CostUSD.High < 5 || a.CostUSD.High > 6 {
		t.Errorf("bounds %+v", a.CostUSD)
	}
	if b.Basis != "token count and other calls of linter" || b.OutputTokens != 50 {
		t.Errorf("a new step of a known agent: %+v", b)
	}
	if got := a.CostUSD.Expected + b.CostUSD.Expected; p.CostUSD.Expected != got {
		t.Errorf("the sum is %v; want %v", p.CostUSD.Expected, got)
	}
	if want := []string{"a"}; !cmp.Equal(p.CriticalPath, want) {
		t.Errorf("critical path %v", p.CriticalPath)
	}
}

// What earlier calls waited says nothing of the next run: thirty calls that a limit
// held up for a minute are expected to take what the service took.
func TestWaitingIsNotExpectedAgain(t *testing.T) {
	t.Parallel()
	in := input(parse(t, "- {id: a, agent: linter, task: t}\n"))
	in.Units = live("a")
	var calls []call
	for range 30 {
		calls = append(calls, call{path: "a", usd: 1, secs: 60})
	}
	earlier := run(calls...)
	for i, u := range earlier.State.Order {
		u.Finished.ServiceSeconds = 0.3
		u.Finished.WaitedSeconds = float64(2 * i)
	}
	in.Runs = []plan.Run{earlier}
	if got := plan.Make(in).Seconds; got.Expected < 0.29 || got.Expected > 0.31 || got.High > 1 {
		t.Errorf("expected %+v; the service took 0.3 s", got)
	}
}

func TestCommandsTakeTheTimeThatTheyTook(t *testing.T) {
	t.Parallel()
	in := input(parse(t, "- {id: a, run: make}\n- {id: b, run: [echo, \"${{ steps.a.output }}\", \"${{ item }}\"], foreach: [x, y], max_parallel: 1}\n"))
	in.Jobs, in.Items = 1, map[string][]int{"b": {2}}
	if got := plan.Make(in).Seconds; got != (plan.Range{}) {
		t.Errorf("%+v are planned for commands that never ran", got)
	}
	for range 2 {
		r := run(call{path: "a", secs: 3, source: llm.SourceCommand}, call{path: "b", item: "x", secs: 2, source: llm.SourceCommand}, call{path: "b", item: "y", secs: 2, source: llm.SourceCommand})
		for _, u := range r.State.Order {
			u.Started = journal.Started{}
		}
		in.Runs = append(in.Runs, r)
	}
	p := plan.Make(in)
	if a := step(t, p, "a"); a.Seconds.Expected != 3 || a.Basis != "2 earlier runs" || *a.CostUSD != (plan.Range{}) || a.Calls != (plan.Range{}) {
		t.Errorf("%+v", a)
	}
	if p.Seconds.Expected < 6.99 || p.Seconds.Expected > 7.01 || !slices.Equal(p.CriticalPath, []string{"a", "b"}) {
		t.Errorf("%+v by %v are planned; a takes 3 s, and then two items of b 2 s each", p.Seconds, p.CriticalPath)
	}
}

func TestCachedCallsAreFree(t *testing.T) {
	t.Parallel()
	wf := parse(t, "- {id: a, agent: linter, task: t}\n- {id: b, agent: linter, task: u, dependencies: [a]}\n")
	in := input(wf)
	in.Units = live("a", "b")
	for i := range in.Units {
		in.Units[i].Source = llm.SourceCache
	}
	p := plan.Make(in)
	if p.CostUSD != (plan.Range{}) || p.Seconds != (plan.Range{}) || step(t, p, "b").Source != plan.SourceCached {
		t.Errorf("%+v", p)
	}
}

func TestRunsThatFoundThePromptCacheAlikeAreCompared(t *testing.T) {
	t.Parallel()
	in := input(parse(t, "- {id: a, agent: linter, task: t}\n"))
	in.Units = live("a")
	cold, warm := run(call{path: "a", usd: 9}), run(call{path: "a", usd: 1})
	warm.Warm = true
	in.Runs = []plan.Run{warm, cold}
	for _, c := range []struct {
		warm bool
		want float64
	}{{false, 9}, {true, 1}} {
		in.Warm = c.warm
		if got := plan.Make(in).CostUSD.Expected; got != c.want {
			t.Errorf("warm %v: %v; want %v", c.warm, got, c.want)
		}
	}
}

func TestAWarmRunReadsWhatTheLatestRead(t *testing.T) {
	t.Parallel()
	in := input(parse(t, "- {id: a, agent: linter, task: t}\n"))
	in.Units, in.Warm = live("a"), true
	runOf := func(u llm.Usage) plan.Run {
		usd, _ := llm.Prices().Cost(model, u)
		r := run(call{path: "a", usd: usd})
		r.Warm, r.State.Order[0].Finished.Usage = true, u
		return r
	}
	wrote := runOf(llm.Usage{InputTokens: 100, CacheWrite5m: 10000, OutputTokens: 50})
	read := runOf(llm.Usage{InputTokens: 100, CacheReadTokens: 10000, OutputTokens: 50})
	for _, c := range []struct {
		name string
		runs []plan.Run
		want *float64
	}{
		{"the latest read", []plan.Run{read, wrote, wrote}, read.State.Order[0].Finished.CostUSD},
		{"the latest wrote, the prompt is another one", []plan.Run{wrote, read}, wrote.State.Order[0].Finished.CostUSD},
	} {
		in.Runs = c.runs
		if got := plan.Make(in).CostUSD.Expected; math.Abs(got-*c.want) > 1e-12 {
			t.Errorf("%s: %v; want %v", c.name, got, *c.want)
		}
	}
}

func TestCountsThatDependOnAnswersComeFromHistory(t *testing.T) {
	t.Parallel()
	wf := parse(t, `- {id: find, agent: linter, task: t}
- {id: each, agent: linter, foreach: "${{ steps.find.json }}", task: "${{ item }}"}
- {id: rare, agent: linter, when: "${{ steps.find.output == 'x' }}", task: u}
- id: refine
  loop: {max: 9, until: "${{ steps.critic.output == 'good' }}"}
  steps:
    - {id: critic, agent: linter, task: v}
`)
	in := input(wf)
	in.Units = live("find", "refine@1/critic", "refine@2/critic")
	guess := plan.Make(in)
	for id, want := range map[string]plan.Range{"find": plan.Exactly(1), "each": {1, 3, 10}, "rare": {0, 1, 1}, "refine/critic": {1, 5, 9}} {
		if s := step(t, guess, id); s.Calls != want {
			t.Errorf("without history %s has %+v calls; want %+v", id, s.Calls, want)
		}
	}
	for _, items := range []int{4, 8} {
		var calls []call
		calls = append(calls, call{path: "find", usd: 1}, call{path: "refine@1/critic", usd: 1}, call{path: "refine@2/critic", usd: 1})
		for i := range items {
			calls = append(calls, call{path: "each", item: fmt.Sprint(i), usd: 1})
		}
		r := run(calls...)
		r.State.Order = append(r.State.Order,
			&journal.UnitState{Unit: journal.Unit{Step: "each"}, Type: journal.StepFinished, Expanded: &journal.Expanded{Items: items}},
			&journal.UnitState{Unit: journal.Unit{Step: "rare"}, Type: journal.StepSkipped})
		in.Runs = append(in.Runs, r)
	}
	p := plan.Make(in)
	for id, want := range map[string]float64{"find": 1, "each": 6, "rare": 0, "refine/critic": 2} {
		s := step(t, p, id)
		if s.Calls.Expected != want {
			t.Errorf("%s has %+v calls; want %v", id, s.Calls, want)
		}
		if known := id == "find"; known != (s.Source == plan.SourceLive) {
			t.Errorf("%s is %s", id, s.Source)
		}
	}
	if p.CostUSD.Expected != 9 {
		t.Errorf("the cost is %v; want 9 calls of a dollar", p.CostUSD.Expected)
	}
}

func TestTheScheduleIsSimulated(t *testing.T) {
	t.Parallel()
	items := func(n int) (units []plan.Unit) {
		for i := range n {
			units = append(units, plan.Unit{Unit: journal.Unit{Step: "each", Item: fmt.Sprint(i)}, Source: llm.SourceLive})
		}
		return units
	}
	each := "- {id: each, agent: linter, foreach: '${{ [1,2,3,4,5,6,7,8] }}', task: '${{ item }}'"
	for _, c := range []struct {
		name, steps string
		slots       int
		units       []plan.Unit
		want        float64
	}{
		{"all at once", each + "}\n", 8, items(8), 1},
		{"three slots", each + "}\n", 3, items(8), 3},
		{"its own limit", each + ", max_parallel: 2}\n", 8, items(8), 4},
		{"a loop", "- {id: each, agent: linter, loop: {max: 5}, task: t}\n", 8, live("each@1", "each@2", "each@3", "each@4", "each@5"), 5},
		{"any of two", "- {id: each, agent: linter, task: t}\n- {id: slow, agent: linter, task: t}\n- {id: end, agent: linter, join: any, task: t, dependencies: [each, slow]}\n", 8, live("each", "slow", "end"), 10},
	} {
		in := input(parse(t, c.steps))
		in.Slots, in.Units, in.Items = c.slots, c.units, map[string][]int{"each": {8}}
		in.Runs = []plan.Run{run(call{path: "each", secs: 1}, call{path: "slow", secs: 10}, call{path: "end", secs: 2})}
		in.Runs[0].Whole = false
		if got := plan.Make(in).Seconds.Expected; got != c.want {
			t.Errorf("%s takes %v s; want %v", c.name, got, c.want)
		}
	}
}

// TestSchedulesAreBetweenTheirBounds checks what holds for every schedule that
// leaves no slot idle: not below the longest path or the work by slots, and not
// above the sum of both.
func TestSchedulesAreBetweenTheirBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, slots := rapid.IntRange(1, 12).Draw(t, "steps"), rapid.IntRange(1, 5).Draw(t, "slots")
		text, work := "", 0.0
		var calls []call
		var paths []string
		longest := make([]float64, n)
		for i := range n {
			id := fmt.Sprintf("s%d", i)
			secs := float64(rapid.IntRange(1, 50).Draw(t, "seconds"))
			deps := ""
			for d := range i {
				if rapid.IntRange(0, 3).Draw(t, "depends") == 0 {
					deps += fmt.Sprintf("s%d, ", d)
					longest[i] = max(longest[i], longest[d])
				}
			}
			longest[i] += secs
			work += secs
			text += fmt.Sprintf("- {id: %s, agent: linter, task: t, dependencies: [%s]}\n", id, deps)
			calls, paths = append(calls, call{path: id, secs: secs}), append(paths, id)
		}
		in := input(parse(t, text))
		in.Slots, in.Units, in.Runs = slots, live(paths...), []plan.Run{run(calls...)}
		p := plan.Make(in)
		path := 0.0
		for _, l := range longest {
			path = max(path, l)
		}
		got, least := p.Seconds.Expected, max(path, work/float64(slots))
		if got < least-1e-6 || got > work/float64(slots)+path+1e-6 {
			t.Fatalf("%v s; the longest path is %v, the work %v, in %d slots", got, path, work, slots)
		}
		if diff := cmp.Diff(p, plan.Make(in)); diff != "" {
			t.Fatalf("the same input gives another plan:\n%s", diff)
		}
	})
}

func TestErrorsOfPlansAreSummed(t *testing.T) {
	t.Parallel()
	promise := &plan.Promise{CostUSD: plan.Exactly(2), Seconds: plan.Exactly(10)}
	above := promise.Against(plan.Actual{CostUSD: 3, Seconds: 10})
	below := promise.Against(plan.Actual{CostUSD: 1, Seconds: 5})
	free := (&plan.Promise{}).Against(plan.Actual{CostUSD: 1})
	if above.Cost != 0.5 || above.Seconds != 0 || below.Cost != -0.5 || !math.IsNaN(free.Cost) {
		t.Errorf("%+v %+v %+v", above, below, free)
	}
	got := plan.Sum([]plan.Error{above, below})
	if diff := cmp.Diff(plan.Accuracy{Plans: 2, Cost: 0.5, Seconds: 0.25}, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
}

func TestListsAreCounted(t *testing.T) {
	t.Parallel()
	wf, err := workflow.Parse("w.yaml", []byte(`
params:
  names: {default: [a, b, c]}
steps:
  - {id: first, agent: linter, task: t}
  - {id: literal, agent: linter, foreach: [x, y, "${{ steps.first.output }}"], task: "t ${{ item }}"}
  - {id: given, agent: linter, foreach: "${{ params.names }}", task: "t ${{ item }} ${{ steps.first.output }}"}
  - {id: answered, agent: linter, foreach: "${{ steps.first.json }}", task: "t ${{ item }}"}
  - id: outer
    foreach: {item: language, in: [de, fr]}
    dependencies: [first]
    steps:
      - {id: inner, agent: linter, foreach: "${{ map([1, 2, 3, 4], language) }}", task: "t ${{ item }}"}
      - {id: looped, agent: linter, loop: {max: 2}, task: "t ${{ language }}"}
  - id: gate
    foreach: [p, q]
    steps: [{id: ok, approval: "Go on with ${{ item }}?"}]
`), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := input(wf)
	in.Units = live("first")
	in.Items = map[string][]int{"literal": {3}, "given": {3}, "answered": {2}, "outer": {2}, "outer/inner": {4, 4}}
	p := plan.Make(in)
	for id, want := range map[string]struct {
		calls  plan.Range
		source plan.Source
		basis  string
	}{
		"first":        {plan.Exactly(1), plan.SourceLive, ""},
		"literal":      {plan.Exactly(3), plan.SourceLive, "3 items of literal: a literal list"},
		"given":        {plan.Exactly(3), plan.SourceLive, "3 items of given: params.names"},
		"answered":     {plan.Range{Low: 1, Expected: 2, High: 6}, plan.SourceUnknown, "1 to 6 items of answered: a guess from a simulated answer"},
		"outer/inner":  {plan.Exactly(8), plan.SourceLive, "2 items of outer: a literal list; 4 items of outer/inner: the item around it"},
		"outer/looped": {plan.Exactly(4), plan.SourceLive, "2 items of outer: a literal list; 2 iterations of outer/looped: its max"},
		"gate/ok":      {plan.Exactly(2), plan.SourcePerson, "2 items of gate: a literal list"},
	} {
		got := step(t, p, id)
		if got.Calls != want.calls || got.Source != want.source || got.CallsBasis != want.basis {
			t.Errorf("%s: calls %v, %s, %q; want %v, %s, %q", id, got.Calls, got.Source, got.CallsBasis, want.calls, want.source, want.basis)
		}
	}
}

// TestParametersFromAnswersAreNotCounted takes a list that a step gives to another file.
func TestParametersFromAnswersAreNotCounted(t *testing.T) {
	t.Parallel()
	wf, err := workflow.Parse("w.yaml", []byte(`
steps:
  - {id: first, agent: linter, task: t}
  - {id: known, workflow: part.yaml, with: {names: [a, b]}, dependencies: [first]}
  - {id: unknown, workflow: part.yaml, with: {names: "${{ steps.first.json }}"}}
`), workflow.Options{Load: func(string) ([]byte, error) {
		return []byte("params: {names: {type: array, default: []}}\nsteps:\n  - {id: each, agent: linter, foreach: \"${{ params.names }}\", task: t}\n"), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	in := input(wf)
	in.Units = live("first")
	in.Items = map[string][]int{"known/each": {2}, "unknown/each": {2}}
	p := plan.Make(in)
	if got := step(t, p, "known/each"); got.Calls != plan.Exactly(2) || got.CallsBasis != "2 items of known/each: params.names" {
		t.Errorf("known: %v, %q", got.Calls, got.CallsBasis)
	}
	if got := step(t, p, "unknown/each"); got.Calls == plan.Exactly(2) || got.Source != plan.SourceUnknown {
		t.Errorf("unknown: %v, %s, %q", got.Calls, got.Source, got.CallsBasis)
	}
}
