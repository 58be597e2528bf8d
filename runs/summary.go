package runs

import (
	"context"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// summaryFrom is how many units of work a run has finished that is summed up. A smaller one
// is read in no time.
var summaryFrom = 1000

// LoadSummary reads a run from a store, as [Load] does, without the items of its steps if
// there are very many: Within of the result says what they came to. Then Result has the
// steps of the workflow alone, without their outputs, findings and notes.
//
// It reads the whole run if it is small or has neither completed nor failed, if its journal is of an earlier
// version, if a step ended it while others were under way, and if what is shown of it is with its items: their files, or
// findings.
func LoadSummary(ctx context.Context, store journal.Store, id string) (*Detail, error) {
	run, err := Find(ctx, store, id)
	if err != nil {
		return nil, err
	}
	if run.Steps < summaryFrom || run.Status != journal.StatusCompleted && run.Status != journal.StatusFailed {
		return Load(ctx, store, run.ID)
	}
	d := &Detail{Run: run}
	if err := d.read(store.Outline(ctx, run.ID)); err != nil {
		return nil, err
	}
	if d.State.Spec != nil || d.State.Ended == nil || !d.summable() {
		return Load(ctx, store, run.ID)
	}
	d.Result = d.sumUp()
	return d, nil
}

// summable reports whether the outline of the run says all that is to be shown of it.
func (d *Detail) summable() bool {
	if d.Workflow.Findings != nil || d.Workflow.FailWhen != nil {
		return false
	}
	exited := d.State.Ended.Exited != nil
	for _, s := range d.Workflow.Steps {
		if s.Save != nil && s.Foreach != nil || s.Body != nil && saves(s.Body) {
			return false
		}
		if u := d.State.Unit(s.ID, ""); exited && (s.OnFailure == workflow.OnFailureFallback || u != nil && u.Open()) {
			return false
		}
		if s.Foreach == nil && s.Loop == nil && s.Body == nil {
			continue
		}
		u := d.State.Unit(s.ID, "")
		if u != nil && u.Type != journal.StepSkipped && withinOf(u) == nil {
			return false
		}
	}
	return true
}

// saves reports whether a step of a workflow, or one within it, saves its output.
func saves(wf *workflow.Workflow) bool {
	for _, s := range wf.Steps {
		if s.Save != nil || s.Body != nil && saves(s.Body) {
			return true
		}
	}
	return false
}

// withinOf returns what a step that has ended has within it; nil if that is not known.
func withinOf(u *journal.UnitState) *journal.Within {
	switch u.Type {
	case journal.StepFinished:
		return u.Finished.Within
	case journal.StepFailed:
		return u.Failed.Within
	}
	return nil
}

// sumUp returns the result of the run by its outline.
func (d *Detail) sumUp() *engine.Result {
	res := &engine.Result{
		RunID: d.Run.ID, Workflow: d.Workflow.Name, Status: engine.Status(d.Run.Status), TotalTimeSeconds: d.duration(),
		Steps: make(map[string]*engine.StepResult, len(d.Workflow.Steps)), CostUSD: new(float64),
	}
	if d.State.Ended.Error != "" {
		res.Error = new(d.State.Ended.Error)
	}
	res.Exited, res.Files = d.State.Ended.Exited, d.files()
	for _, u := range d.State.Order {
		if u.Item == "" && u.StartSeq > 0 && d.Workflow.Step(u.Step) != nil {
			res.ExecutionOrder = append(res.ExecutionOrder, u.Step)
		}
	}
	substitutes := map[string]bool{}
	for _, s := range d.Workflow.Steps {
		if s.OnFailure == workflow.OnFailureFallback {
			substitutes[s.Fallback] = true
		}
	}
	d.Within = map[string]*journal.Within{}
	for _, s := range d.Workflow.Steps {
		u := d.State.Unit(s.ID, "")
		step := stepSummary(s, u)
		switch {
		case u != nil:
			d.Within[s.ID] = withinOf(u)
			if step.Status != engine.StatusCompleted {
				res.NotDone = append(res.NotDone, notDone(u, step))
			}
		case res.Exited != nil:
			step.Status, step.Error = engine.StatusSkipped, new("the run exited at "+res.Exited.Step)
			res.NotDone = append(res.NotDone, engine.NotDone{Step: s.ID, Status: step.Status, Reason: *step.Error})
		case substitutes[s.ID]:
			step.Status, step.Error = engine.StatusSkipped, new("the step it stands in for did not fail")
		}
		if s.Loop != nil && s.Body == nil {
			d.lastIteration(s.ID, &step.Outcome)
		}
		res.Steps[s.ID] = step
		res.Usage = res.Usage.Add(step.Usage)
		res.Timing = res.AddApart(step.Timing)
		switch {
		case step.CostUSD != nil && res.CostUSD != nil:
			res.CostUSD = new(*res.CostUSD + *step.CostUSD)
		case step.CostUSD == nil && step.Status == engine.StatusCompleted:
			res.CostUSD = nil
		}
	}
	return res
}

// files returns the files that hold outputs of the workflow and of its steps, by path.
func (d *Detail) files() (list []engine.SavedFile) {
	if d.State.Saved != nil && d.Run.Status == journal.StatusCompleted && d.State.Ended.Exited == nil {
		list = append(list, engine.SavedFile{Saved: *d.State.Saved})
	}
	for _, s := range d.Workflow.Steps {
		if u := d.State.Unit(s.ID, ""); u != nil && u.Saved != nil && u.Type == journal.StepFinished {
			list = append(list, engine.SavedFile{Step: s.ID, Saved: *u.Saved})
		}
	}
	slices.SortFunc(list, func(a, b engine.SavedFile) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// notDone returns what is said of a step that did not complete.
func notDone(u *journal.UnitState, step *engine.StepResult) engine.NotDone {
	missing := engine.NotDone{Step: u.Step, Status: step.Status}
	if step.Error != nil {
		missing.Reason = *step.Error
	}
	if step.Status == engine.StatusFailed {
		missing.Code, missing.Ceiling = u.Failed.Code, u.Failed.Ceiling
	}
	return missing
}

// lastIteration gives the outcome of a loop the origin of its answer.
func (d *Detail) lastIteration(id string, out *llm.Outcome) {
	for n := 1; ; n++ {
		loop := journal.Unit{Step: id}.Iteration(n)
		u := d.State.Units[loop]
		if u == nil {
			return
		}
		if u.Answered() {
			out.Model, out.Source = u.Finished.Model, u.Finished.Source
		}
	}
}

// stepSummary returns the result of a step without what is within it; u is nil for one that
// nothing is known of.
func stepSummary(s *workflow.Step, u *journal.UnitState) *engine.StepResult {
	res := &engine.StepResult{Status: engine.StatusInterrupted, Agent: s.Agent, Outcome: llm.Outcome{CostUSD: new(float64)}}
	if u == nil {
		return res
	}
	if u.Started.Agent != "" {
		res.Agent = u.Started.Agent
	}
	res.Attempts = u.Attempts
	if !u.StartedAt.IsZero() {
		res.StartedAt = new(u.StartedAt.UTC())
	}
	if u.Answered() {
		res.Outcome, res.DurationSeconds = u.Finished.Outcome, u.Finished.DurationSeconds
	}
	switch u.Type {
	case journal.StepFinished:
		res.Status = engine.StatusCompleted
	case journal.StepFailed:
		res.Status, res.Error = engine.StatusFailed, new(u.Failed.Message)
		if !u.Answered() {
			res.Usage, res.CostUSD, res.Timing, res.DurationSeconds = u.Failed.Usage, u.Failed.CostUSD, u.Failed.Timing, u.Failed.DurationSeconds
			res.Calls = u.Failed.Calls
		}
	case journal.StepSkipped:
		res.Status, res.Error = engine.StatusSkipped, new(u.Skipped.Reason)
	}
	if w := withinOf(u); w != nil {
		res.Usage, res.CostUSD, res.Timing = w.Usage, w.CostUSD, w.Timing
		res.Calls, res.Turns, res.ToolCalls = w.Calls, w.Turns, w.ToolCalls
	}
	return res
}
