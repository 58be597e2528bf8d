package runs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// StepDiff is how one step differs between two runs. Arrays have the value of the
// first run, then that of the second.
type StepDiff struct {
	Step   string      `json:"step"`
	Item   string      `json:"item,omitempty"`
	Only   string      `json:"only,omitempty"`   // the id of the run that has the step, if only one has it
	Inputs []string    `json:"inputs,omitempty"` // the parts of the request that differ
	Model  [2]string   `json:"model"`
	Same   bool        `json:"same_output"`
	Task   string      `json:"task_diff,omitempty"`
	Output string      `json:"output_diff,omitempty"`
	Cost   [2]*float64 `json:"cost_usd"`
	Time   [2]float64  `json:"duration_seconds"` // from start to end
	// Service is what the service took, and Waited how long nothing was in flight;
	// 0 if they were not measured.
	Service [2]float64 `json:"service_seconds"`
	Waited  [2]float64 `json:"waited_seconds"`
	Status  [2]string  `json:"status"`

	// Of agents with tools: how many turns and calls of tools there were, and, line by
	// line, how the calls differ.
	Turns     [2]int `json:"turns,omitzero"`
	ToolCalls [2]int `json:"tool_calls,omitzero"`
	Tools     string `json:"tools_diff,omitempty"`
}

// Diff compares two runs step by step. It leaves out the steps that called no
// model and asked no one. If step is not empty, it compares only that step and
// those within it.
func Diff(one, two *Detail, step string) []StepDiff {
	diffs := []StepDiff{}
	add := func(x, y *journal.UnitState) {
		u := x
		if u == nil {
			u = y
		}
		if step != "" && !u.In(step) {
			return
		}
		d := StepDiff{Step: u.Step, Item: ItemLabel(u)}
		switch {
		case y == nil:
			d.Only = one.Run.ID
			d.fill(0, x)
			d.fillTools(u.Unit, one, nil)
		case x == nil:
			d.Only = two.Run.ID
			d.fill(1, y)
			d.fillTools(u.Unit, nil, two)
		default:
			d.fill(0, x)
			d.fill(1, y)
			d.Inputs = askedOtherwise(x, y)
			d.Same = x.Output == y.Output
			d.Task = udiff.Unified(one.Run.ID, two.Run.ID, x.Started.Task+"\n", y.Started.Task+"\n")
			d.fillTools(u.Unit, one, two)
			d.Output = udiff.Unified(one.Run.ID, two.Run.ID, x.Output+"\n", y.Output+"\n")
		}
		diffs = append(diffs, d)
	}
	for _, x := range one.State.Order {
		if asked(x) {
			add(x, two.State.Unit(x.Step, x.Item))
		}
	}
	for _, y := range two.State.Order {
		if asked(y) && one.State.Unit(y.Step, y.Item) == nil {
			add(nil, y)
		}
	}
	return diffs
}

// askedOtherwise returns the parts in which what two units were asked differs, in
// words. A template that was edited makes no difference where it comes to the same
// text: an answer may be from the cache then.
func askedOtherwise(x, y *journal.UnitState) []string {
	var none llm.Key
	if x.Key == y.Key && x.Key != none {
		return nil
	}
	was, now := x.Started.Inputs, y.Started.Inputs
	if x.Started.Task == y.Started.Task && x.Started.Task != "" {
		was, now = maps.Clone(was), maps.Clone(now)
		delete(was, "task")
		delete(now, "task")
	}
	return DiffInputs(was, now)
}

// asked reports whether a unit asked a model or a person, or came to nothing.
func asked(u *journal.UnitState) bool {
	return u.Started.Task != "" || u.Type == journal.StepFailed || u.Type == journal.StepSkipped
}

// ItemLabel returns the text by which people know the item of a unit. It returns
// an empty string outside of a foreach.
func ItemLabel(u *journal.UnitState) string {
	if u.Item == "" {
		return ""
	}
	if u.Started.Label != "" {
		return u.Started.Label
	}
	return u.Item
}

// fillTools compares what agents did with tools.
func (d *StepDiff) fillTools(unit journal.Unit, runs ...*Detail) {
	var lists [2]string
	for i, run := range runs {
		if run == nil {
			continue
		}
		loop := run.Loop(unit)
		if loop == nil {
			continue
		}
		calls := loop.Calls()
		d.Turns[i], d.ToolCalls[i] = len(loop.Turns), len(calls)
		for _, c := range calls {
			lists[i] += c.Tool + " " + c.Argument
			if c.Outcome != ToolOK {
				lists[i] += " (" + c.Outcome + ")"
			}
			lists[i] += "\n"
		}
	}
	if runs[0] != nil && runs[1] != nil {
		d.Tools = udiff.Unified(runs[0].Run.ID, runs[1].Run.ID, lists[0], lists[1])
	}
}

func (d *StepDiff) fill(i int, u *journal.UnitState) {
	d.Status[i] = strings.TrimPrefix(string(u.Type), "step_")
	d.Model[i] = u.Started.Model
	d.Cost[i], d.Time[i] = u.Finished.CostUSD, u.Finished.DurationSeconds
	d.Service[i], d.Waited[i] = u.Finished.ServiceSeconds, u.Finished.WaitedSeconds
	if u.Finished.Model != "" {
		d.Model[i] = u.Finished.Model
	}
}

// DiffInputs returns the parts in which two fingerprints differ, in words.
func DiffInputs(was, now journal.Fingerprint) []string {
	var list []string
	names := slices.Collect(maps.Keys(now))
	for name := range was {
		if _, ok := now[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		before, had := was[name]
		after, has := now[name]
		switch {
		case had && has && before == after:
		case !had:
			list = append(list, describePart(name)+" is new")
		case !has:
			list = append(list, describePart(name)+" is gone")
		case name == "model" || name == "max_tokens" || name == "effort" || name == "agent":
			list = append(list, fmt.Sprintf("%s is %s, was %s", name, after, before))
		default:
			list = append(list, describePart(name)+" changed")
		}
	}
	return list
}

// describePart returns the name of a part of a fingerprint in words.
func describePart(name string) string {
	if id, ok := strings.CutPrefix(name, "step "); ok {
		return "the output of step " + id
	}
	if id, ok := strings.CutPrefix(name, "conversation "); ok {
		return "the conversation of step " + id
	}
	if name == "agent body" {
		return "the agent's body"
	}
	return name
}
