package plan

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// TestALoopSendsWhatItHasAgain compares the sum with turns played one after the other.
func TestALoopSendsWhatItHasAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		prompt, turns := rapid.IntRange(1, 50_000).Draw(t, "prompt"), rapid.IntRange(1, 40).Draw(t, "turns")
		call, gives, last := rapid.IntRange(1, 500).Draw(t, "call"), rapid.IntRange(1, 5000).Draw(t, "gives"), rapid.IntRange(1, 2000).Draw(t, "last")
		want := llm.Usage{OutputTokens: last}
		sent, kept := prompt, 0 // in a turn, and of it in the prompt cache
		for turn := 1; turn <= turns; turn++ {
			want.CacheReadTokens += kept
			want.CacheWrite5m += sent - kept
			kept = sent
			if turn < turns {
				want.OutputTokens += call
				sent += call + gives
			}
		}
		if got := loop(float64(prompt), float64(turns), float64(call), float64(gives), float64(last)); got != want {
			t.Fatalf("%+v; want %+v", got, want)
		}
	})
}

// TestTurnsOfAStep: they come from the step, else from its agent, else they are
// assumed, and a step without tools has none.
func TestTurnsOfAStep(t *testing.T) {
	t.Parallel()
	const model = "claude-sonnet-5-5"
	wf, err := workflow.Parse("w.yaml", []byte("steps:\n- {id: a, agent: x, task: t}\n"), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	past := func(step string, turns ...int) []Run {
		var runs []Run
		for _, n := range turns {
			s := &journal.State{Units: map[journal.Unit]*journal.UnitState{}}
			s.Order = append(s.Order, &journal.UnitState{
				Unit: journal.Unit{Step: step}, Type: journal.StepFinished, Started: journal.Started{Agent: "x", Model: model},
				Finished: journal.Finished{DurationSeconds: 10 * float64(n), Outcome: llm.Outcome{
					Source: llm.SourceLive, CostUSD: new(float64(n)), Turns: n, Usage: llm.Usage{InputTokens: 2000 * n, OutputTokens: 10},
					Timing: llm.Timing{ServiceSeconds: float64(n), WaitedSeconds: float64(n)},
				}},
			})
			runs = append(runs, Run{State: s, Whole: true})
		}
		return runs
	}
	for _, tt := range []struct {
		name     string
		runs     []Run
		most     int
		halfway  bool
		turns    *Range
		basis    string
		usd, low float64 // 0 for any
		secs     float64
	}{
		{name: "no tools"},
		{name: "no tools any more", runs: past("a", 4, 4)},
		{name: "nothing known", most: 100, turns: &Range{1, 6, 20}, basis: "assumed"},
		{name: "nothing known, few allowed", most: 3, turns: &Range{1, 3, 3}, basis: "assumed"},
		{name: "the step", most: 100, runs: past("a", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), turns: &Range{2, 6, 10}, basis: "11 earlier runs", usd: 6, secs: 54},
		{name: "its first turn in the cache", most: 100, halfway: true, runs: past("a", 4, 4), turns: &Range{4, 4, 4}, basis: "2 earlier runs", usd: 4, low: -1, secs: 36},
		{name: "the agent", most: 100, runs: past("b", 4, 4, 4), turns: &Range{4, 4, 4}, basis: "other calls of x", usd: 4, secs: 36},
	} {
		in := Input{
			Workflow: wf, Prices: llm.Prices(), Slots: 4, Runs: tt.runs,
			Asks: func(*workflow.Step) Asks {
				return Asks{Model: model, MaxTokens: 4000, Characters: 400, MaxTurns: tt.most}
			},
			Units: []Unit{{Unit: journal.Unit{Step: "a"}, Source: llm.SourceLive, Characters: 4000, Halfway: tt.halfway}},
		}
		s := Make(in).Steps[0]
		if (s.Turns == nil) != (tt.turns == nil) || s.Turns != nil && *s.Turns != *tt.turns || s.TurnsBasis != tt.basis {
			t.Errorf("%s: turns %v (%s); want %v (%s)", tt.name, s.Turns, s.TurnsBasis, tt.turns, tt.basis)
		}
		c := s.CostUSD
		if c == nil || c.Low > c.Expected || c.Expected > c.High || c.Expected <= 0 {
			t.Errorf("%s: cost %v", tt.name, c)
			continue
		}
		if tt.usd > 0 && c.Expected != tt.usd || tt.low < 0 != (c.Low == 0) {
			t.Errorf("%s: cost %v; want %v", tt.name, *c, tt.usd)
		}
		if tt.secs > 0 && s.Seconds.Expected != tt.secs { // with that of tools
			t.Errorf("%s: %v seconds; want %v", tt.name, s.Seconds.Expected, tt.secs)
		}
	}
}
