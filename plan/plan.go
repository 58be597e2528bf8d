// Package plan says what a run of a workflow will cost and how long it will
// take, before anything is spent, and how far off that was afterwards.
//
// What goes in is what can be known beforehand: a rehearsal of the run, which
// renders every prompt that does not wait for an answer and looks it up in the
// response cache, and the journals of earlier runs. [Make] turns them into a
// [Plan]: how often each step will be called, at what cost, in what time, and
// when the whole ends, by a simulation of the schedule.
//
//	p := plan.Make(plan.Input{Workflow: wf, Units: units, Runs: runs, …})
//	fmt.Println(p.Seconds.Expected)
//
// A figure comes from the best source there is, and the plan says which: earlier
// runs of the same step, else other calls of the same agent and model, else the
// number of tokens. Bounds are the 10th and 90th percentile of what was seen, and
// wide where nothing was.
//
// The package is pure: no clock, no I/O; the same input gives the same plan.
package plan

import (
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

// Exactly is a range without doubt.
func Exactly(v float64) Range { return Range{v, v, v} }

func (r Range) plus(s Range) Range {
	return Range{r.Low + s.Low, r.Expected + s.Expected, r.High + s.High}
}

func (r Range) times(s Range) Range {
	return Range{r.Low * s.Low, r.Expected * s.Expected, r.High * s.High}
}

// less takes away what is known not to count.
func (r Range) less(v float64) Range {
	return Range{max(0, r.Low-v), max(0, r.Expected-v), max(0, r.High-v)}
}

// Source says where the answers of a step will come from.
type Source string

// Sources of a step's answers.
const (
	SourceCached  Source = "cached"  // all are there already
	SourceLive    Source = "live"    // some are to be paid for
	SourceUnknown Source = "unknown" // whether, or how often, it is asked depends on answers that are not there
	SourceSkipped Source = "skipped" // it will not run
	SourcePerson  Source = "person"  // it waits for somebody
)

// Step is what a plan says of one step that gives an agent a task, or that asks
// a person.
type Step struct {
	ID     string `json:"id"` // path, such as "refine/critic"
	Agent  string `json:"agent"`
	Model  string `json:"model"`
	Source Source `json:"source"`
	Calls  Range  `json:"calls"`  // items and iterations counted singly
	Cached int    `json:"cached"` // of the calls, those that are answered already

	InputTokens  float64 `json:"input_tokens"` // of one live call
	OutputTokens float64 `json:"output_tokens"`
	CostUSD      *Range  `json:"cost_usd"` // of all calls; nil if the model has no price
	Seconds      Range   `json:"seconds"`  // of one live call
	Basis        string  `json:"basis"`    // what the figures come from; empty if nothing is paid
}

// Plan is what a run is expected to take.
type Plan struct {
	Workflow     string   `json:"workflow"`
	Steps        []Step   `json:"steps"` // in file order, those within a step in its place
	CostUSD      Range    `json:"cost_usd"`
	Unpriced     []string `json:"unpriced"` // steps whose cost nobody knows
	Seconds      Range    `json:"seconds"`  // from begin to end
	CriticalPath []string `json:"critical_path"`
	BudgetUSD    *float64 `json:"budget_usd,omitempty"` // nil means none
	Before       Accuracy `json:"before"`               // of earlier plans
}

// OverBudget reports whether the run is expected to cost more than it may.
func (p *Plan) OverBudget() bool { return p.BudgetUSD != nil && p.CostUSD.Expected > *p.BudgetUSD }

// Promise is what is kept of the plan with the run that is made by it.
func (p *Plan) Promise() *Promise {
	return &Promise{CostUSD: p.CostUSD, Seconds: p.Seconds, Unpriced: len(p.Unpriced) > 0}
}

// Unit is one call as a rehearsal found it.
type Unit struct {
	journal.Unit
	Source     llm.Source // live, coalesced with a live one, or where the answer is already
	Characters int        // of the whole prompt, as far as it is known
	Again      bool       // the latest run was given the same task there
}

// Asks says whom a step asks.
type Asks struct {
	Model      string // id
	MaxTokens  int
	Characters int  // of the agent's own prompt
	Batch      bool // by way of a message batch
}

// Run is an earlier run.
type Run struct {
	State *journal.State
	Whole bool // it did all of its workflow, so that it tells how often each step is called
	Warm  bool // the service's prompt cache still had what the run before had sent
}

// Input is what a plan is made from.
type Input struct {
	Workflow *workflow.Workflow
	Asks     func(*workflow.Step) Asks

	// The rehearsal.
	Units   []Unit           // the calls, in any order
	Items   map[string][]int // items of each foreach by its plain path, once for each time it began
	Skipped map[string]bool  // plain paths of steps that did not begin
	Left    map[string]bool  // plain paths of steps that were asked to be left out

	Warm   bool  // the run will find the prompt cache so, if it begins now
	Runs   []Run // earlier runs of the workflow
	Others []Run // runs of other workflows, for what is known of agents

	Prices *llm.PriceTable
	Slots  int // most steps at once
	Jobs   int // most calls in flight; waiting for one is part of what steps took before
}

// Make makes a plan.
func Make(in Input) *Plan {
	w := newWalk(&in)
	nodes := w.frame(in.Workflow, journal.Unit{}, outer{times: Exactly(1), sure: true})
	e := newEstimator(&in)
	p := &Plan{Workflow: in.Workflow.Name, Steps: []Step{}, Unpriced: []string{}}
	slots := in.Slots
	for n := range leaves(nodes) {
		e.estimate(n)
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
	// Of more calls a schedule can be shorter by chance of its order.
	p.Seconds.Low, p.Seconds.High = min(p.Seconds.Low, p.Seconds.Expected), max(p.Seconds.High, p.Seconds.Expected)
	p.CriticalPath, _ = in.Workflow.CriticalPath(durations(nodes))
	return p
}
