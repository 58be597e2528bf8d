// Package plan estimates the cost and duration of a workflow run before it
// starts, and computes the error of the estimate afterwards.
//
// The input is a dry run, which renders every prompt that does not depend on an
// answer and looks it up in the response cache, and the journals of earlier runs.
// [Make] computes a [Plan] from them: how often each step calls its agent, at what
// cost and in what time, and the duration of the run by simulating the schedule.
//
//	p := plan.Make(plan.Input{Workflow: wf, Units: units, Runs: runs, …})
//	fmt.Println(p.Seconds.Expected)
//
// A figure comes from the best source available, and the plan says which: earlier
// runs of the same step, else other calls of the same agent and model, else the
// number of tokens. Bounds are the 10th and 90th percentile of earlier figures,
// and wide if there are none.
//
// The package is pure: no clock, no I/O; the same input gives the same plan.
package plan

import (
	"strings"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// Range is an estimate with its bounds.
type Range struct {
	Low      float64 `json:"low"`
	Expected float64 `json:"expected"`
	High     float64 `json:"high"`
}

// Exactly returns a range whose bounds are v.
func Exactly(v float64) Range { return Range{v, v, v} }

func (r Range) plus(s Range) Range {
	return Range{r.Low + s.Low, r.Expected + s.Expected, r.High + s.High}
}

func (r Range) times(s Range) Range {
	return Range{r.Low * s.Low, r.Expected * s.Expected, r.High * s.High}
}

// less returns the range minus v, but at least 0.
func (r Range) less(v float64) Range {
	return Range{max(0, r.Low-v), max(0, r.Expected-v), max(0, r.High-v)}
}

// Source says where the answers of a step will come from.
type Source string

// Sources of a step's answers.
const (
	SourceCached  Source = "cached"  // all are in the cache
	SourceLive    Source = "live"    // some calls must be paid
	SourceUnknown Source = "unknown" // whether or how often it is called depends on unknown answers
	SourceSkipped Source = "skipped" // it will not run
	SourcePerson  Source = "person"  // it waits for a person
	SourceCommand Source = "command" // it runs a command, which costs nothing
	SourceValue   Source = "value"   // it computes a value, which costs nothing
)

// Step is the estimate for one step that gives an agent a task or asks a person.
type Step struct {
	ID     string `json:"id"` // path, such as "refine/critic"
	Agent  string `json:"agent"`
	Model  string `json:"model"`
	Source Source `json:"source"`
	Calls  Range  `json:"calls"`  // items and iterations counted singly
	Cached int    `json:"cached"` // number of calls whose answers are cached

	// CallsBasis is the source of each bound of Calls, from the outermost: "3 items of
	// each: a literal list; 1 to 5 iterations of refine: its max". It is empty for a step
	// that is called once.
	CallsBasis string `json:"calls_basis,omitempty"`

	// Turns is how many calls of the model one live call makes, with a loop of tools:
	// the 10th, 50th and 90th percentile of what was seen. It is nil if the agent has no
	// tools. What else is of one live call is of all its turns.
	Turns      *Range `json:"turns,omitempty"`
	TurnsBasis string `json:"turns_basis,omitempty"` // source of Turns, such as "3 earlier runs" or "assumed"

	InputTokens  float64 `json:"input_tokens"` // of one live call
	OutputTokens float64 `json:"output_tokens"`
	CostUSD      *Range  `json:"cost_usd"` // of all calls; nil if the model has no price
	Seconds      Range   `json:"seconds"`  // of one live call
	Basis        string  `json:"basis"`    // source of the figures; empty if nothing is paid
}

// Plan is the estimate for a run.
type Plan struct {
	Workflow     string   `json:"workflow"`
	Steps        []Step   `json:"steps"` // in file order, nested steps in the place of their step
	CostUSD      Range    `json:"cost_usd"`
	Unpriced     []string `json:"unpriced"` // steps whose cost is unknown
	Seconds      Range    `json:"seconds"`  // from start to end
	CriticalPath []string `json:"critical_path"`
	BudgetUSD    *float64 `json:"budget_usd,omitempty"` // nil means none
	Before       Accuracy `json:"before"`               // of earlier plans

	Problems []Problem `json:"problems"` // what will stop the run, known before anything is spent
}

// OverBudget reports whether the expected cost exceeds the budget.
func (p *Plan) OverBudget() bool { return p.BudgetUSD != nil && p.CostUSD.Expected > *p.BudgetUSD }

// Promise returns the part of the plan to store with the run.
func (p *Plan) Promise() *Promise {
	return &Promise{CostUSD: p.CostUSD, Seconds: p.Seconds, Unpriced: len(p.Unpriced) > 0}
}

// Unit is one call of the dry run.
type Unit struct {
	journal.Unit
	Source     llm.Source     // live, coalesced with a live call, or the source of an existing answer
	Characters int            // of the known part of the prompt
	Again      bool           // the task is the same as in the latest run
	Variant    *workflow.Step // the step with its agent and model
	Halfway    bool           // the first turn is in the cache: what follows may be too, if the tools give the same again
}

// Asks describes the calls of a step.
type Asks struct {
	Model      string // id
	MaxTokens  int
	Characters int  // of the agent's own prompt and its tools
	MaxTurns   int  // of a task of an agent with tools; 0 without
	Batch      bool // through a message batch
	External   bool // another program has the conversation, with prompts of its own
}

// Run is an earlier run.
type Run struct {
	State *journal.State
	Whole bool // it ran the whole workflow, so it shows how often each step is called
	Warm  bool // the service's prompt cache still held the prompts of the previous run
}

// Input is what a plan is made from.
type Input struct {
	Workflow *workflow.Workflow
	Asks     func(*workflow.Step) Asks // of a step whose agent and model are known

	// The dry run.
	Units   []Unit           // the calls, in any order
	Items   map[string][]int // number of items of each foreach by plain path, one entry per start
	Skipped map[string]bool  // plain paths of steps that did not start
	Left    map[string]bool  // plain paths of steps that the user left out

	Warm   bool  // like Run.Warm, for a run that starts now
	Runs   []Run // earlier runs of the workflow
	Others []Run // runs of other workflows, for the history of agents

	Prices *llm.PriceTable
	Slots  int // most steps at once
	Jobs   int // most calls in flight; the durations in Runs include waiting for one
}

// Make returns the plan for a run.
func Make(in Input) *Plan {
	w := newWalk(&in)
	nodes := w.frame(in.Workflow, journal.Unit{}, outer{times: Exactly(1), sure: true, given: true, listed: true})
	e := newEstimator(&in)
	p := &Plan{Workflow: in.Workflow.Name, Steps: []Step{}, Unpriced: []string{}, Problems: []Problem{}}
	slots := in.Slots
	for n := range leaves(nodes) {
		e.estimate(n)
		n.plan.CallsBasis = strings.Join(n.bounds, "; ")
		p.Steps = append(p.Steps, n.plan)
		switch {
		case n.plan.CostUSD == nil:
			p.Unpriced = append(p.Unpriced, n.path)
		default:
			p.CostUSD = p.CostUSD.plus(*n.plan.CostUSD)
		}
		if !n.own && in.Jobs > 0 && n.live.High > 0 {
			slots = min(slots, in.Jobs)
		}
	}
	p.Seconds = Range{
		Low:      makespan(nodes, slots, false, func(r Range) float64 { return r.Low }),
		Expected: makespan(nodes, slots, true, func(r Range) float64 { return r.Expected }),
		High:     makespan(nodes, slots, false, func(r Range) float64 { return r.High }),
	}
	// A schedule with more calls can be shorter, since their order differs.
	p.Seconds.Low, p.Seconds.High = min(p.Seconds.Low, p.Seconds.Expected), max(p.Seconds.High, p.Seconds.Expected)
	p.CriticalPath, _ = in.Workflow.CriticalPath(durations(nodes))
	return p
}
