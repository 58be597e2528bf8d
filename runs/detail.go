package runs

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// Detail is all that is known of a run.
type Detail struct {
	Run      journal.Run
	Spec     *Spec
	Workflow *workflow.Workflow // as it was when the run was started, or changes were accepted
	State    *journal.State
	Result   *engine.Result             // as far as the run has come
	Within   map[string]*journal.Within // with [LoadSummary], by step; nil if Result has all items
	Loops    []*Loop                    // of the steps whose agents have tools, in the order in which they began

	loops loops // the same
}

// View is a run as it is shown to programs.
type View struct {
	journal.Run
	Params  map[string]string `json:"params"`
	Dir     string            `json:"dir"`
	Speedup float64           `json:"speedup,omitzero"` // of the service's answers one after the other
	Result  *engine.Result    `json:"result"`
	Turns   []LoopView        `json:"turns,omitempty"`
}

// View returns the row of the run with its parameters, its folder and its result as
// far as it has come.
func (d *Detail) View() *View {
	v := &View{Run: WithStatus(d.Run), Params: d.Spec.Params, Dir: d.Spec.Dir, Speedup: d.Speedup(), Result: d.Result}
	if v.Params == nil {
		v.Params = map[string]string{}
	}
	for _, l := range d.Loops {
		v.Turns = append(v.Turns, LoopView{l.Step, l.Item, l.Turns})
	}
	return v
}

// MarshalJSON writes the [View] of the run.
func (d *Detail) MarshalJSON() ([]byte, error) { return json.Marshal(d.View()) }

// Load reads a run from a store. The id is one that [Find] takes. The run may be
// running.
func Load(ctx context.Context, store journal.Store, id string) (*Detail, error) {
	run, err := Find(ctx, store, id)
	if err != nil {
		return nil, err
	}
	d := &Detail{Run: run}
	if err := d.read(store.Events(ctx, run.ID, 0)); err != nil {
		return nil, err
	}
	if err := d.rebuild(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// rebuild makes the result of the run from its state.
func (d *Detail) rebuild(ctx context.Context) error {
	run := d.Run
	params, err := d.Workflow.BindParams(d.Spec.Params)
	if err != nil {
		return fmt.Errorf("reading the parameters of run %s: %w", run.ID, err)
	}
	d.Result, err = engine.Run(ctx, d.Workflow, engine.Options{
		RunID: run.ID, Params: params, Env: Env(d.Workflow), Past: d.State, Rebuild: true,
		Choose: d.Spec.Part().Choose(d.Workflow),
	})
	if err != nil {
		return fmt.Errorf("reading run %s: %w", run.ID, err)
	}
	d.Result.TotalTimeSeconds = d.duration()
	if run.Status == journal.StatusCancelled {
		d.Result.Status = engine.StatusCancelled
	}
	if run.Owned() && !run.Status.Ended() {
		d.Result.Status = engine.Status(run.Status)
		d.setRunning(journal.Unit{}, d.Result.Steps)
	}
	return nil
}

// read takes in the events of the run, and what it was to do.
func (d *Detail) read(events iter.Seq2[journal.Event, error]) (err error) {
	d.loops = loops{byUnit: map[journal.Unit]*Loop{}}
	if d.State, err = journal.Fold(d.loops.collect(events)); err != nil {
		return fmt.Errorf("reading run %s: %w", d.Run.ID, err)
	}
	d.Loops = d.loops.list
	return d.parse()
}

// parse reads what the run was to do.
func (d *Detail) parse() (err error) {
	if d.Spec, err = SpecOf(d.Run, d.State); err != nil {
		return err
	}
	if d.Workflow, err = d.Spec.Recorded(nil); err != nil {
		return fmt.Errorf("reading the workflow of run %s: %w", d.Run.ID, err)
	}
	return nil
}

// Step returns the step with a path, such as OUTER/INNER, and its result. Of a loop it is
// that of the last iteration. The error is a [fault.InputError] if there is none.
func (d *Detail) Step(path string) (*workflow.Step, *engine.StepResult, error) {
	wf, steps := d.Workflow, d.Result.Steps
	var step *workflow.Step
	var found *engine.StepResult
	for part := range (journal.Unit{Step: path}).Parts() {
		id := part.ID
		if found != nil && len(steps) == 0 {
			return nil, nil, inputf("step %q: the step around %q has no steps of its own", path, id)
		}
		step = nil
		var ok bool
		if found, ok = steps[id]; !ok {
			return nil, nil, inputf("there is no step %q here; there are: %s", id, strings.Join(slices.Sorted(maps.Keys(steps)), ", "))
		}
		if wf != nil {
			step = wf.Step(id)
		}
		if step == nil {
			return nil, nil, inputf("the workflow has no step %q", path)
		}
		wf, steps = step.Body, found.Steps
	}
	return step, found, nil
}

func inputf(format string, args ...any) error { return fault.Input(fmt.Errorf(format, args...)) }

// Loop returns what the agent of a unit did; nil if it has no tools.
func (d *Detail) Loop(unit journal.Unit) *Loop { return d.loops.byUnit[unit] }

// setRunning gives the steps of a running run the status they have, where a
// rebuilt result says only that they have not ended.
func (d *Detail) setRunning(outer journal.Unit, steps map[string]*engine.StepResult) {
	for id, res := range steps {
		step := outer.Inner(id)
		d.setStatus(d.State.Units[step], res)
		d.setRunning(step, res.Steps)
		for _, item := range res.Items {
			unit := step.WithItem(item.Key)
			d.setStatus(d.State.Units[unit], item.StepResult)
			d.setRunning(unit, item.Steps)
		}
	}
}

func (d *Detail) setStatus(u *journal.UnitState, res *engine.StepResult) {
	switch {
	case res.Status != engine.StatusInterrupted:
	case u != nil && u.Type == journal.ApprovalAsked:
		res.Status = engine.StatusWaiting
	case res.StartedAt != nil:
		res.Status = engine.StatusRunning
	default:
		res.Status = engine.StatusPending
	}
}

// duration returns how long the run has taken so far, in seconds.
func (d *Detail) duration() float64 {
	if d.State.Ended != nil && d.State.Resumes == 0 {
		return d.State.Ended.TotalTimeSeconds
	}
	start := d.Run.StartedAt
	end := start
	for _, u := range d.State.Order {
		if u.EndedAt.After(end) {
			end = u.EndedAt
		}
	}
	return end.Sub(start).Seconds()
}

// Env returns what the expressions of a workflow may read of the environment.
func Env(wf *workflow.Workflow) map[string]string {
	env := map[string]string{}
	for _, name := range wf.EnvNames() {
		env[name] = os.Getenv(name)
	}
	return env
}

// OutputAlone reports whether the output of a run is that of the run itself, not those of its
// last steps: what its workflow says, or the message with which a step ended it.
func OutputAlone(wf *workflow.Workflow, res *engine.Result) bool {
	return (wf.Output != nil || res.Exited != nil) && res.Output != ""
}

// LastSteps returns the ids of the steps that have an output which no other step
// uses, in file order.
func LastSteps(wf *workflow.Workflow, res *engine.Result) []string {
	used := map[string]bool{}
	for _, s := range wf.Steps {
		for _, id := range s.Dependencies {
			used[id] = true
		}
		used[s.Fallback] = true
	}
	var ids []string
	for _, s := range wf.Steps {
		if step := res.Steps[s.ID]; step.Output != "" && !used[s.ID] && step.Usable(s) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// Speedup returns how much longer the service's answers would have taken one
// after the other than the run took. Answers that were free and time spent waiting
// count as nothing, so that it is at most the number of slots. It is 0 if that is
// not known: of a run that was resumed, and of journals of earlier versions.
func (d *Detail) Speedup() float64 {
	if d.State.Resumes > 0 || d.State.Ended == nil || d.Result.TotalTimeSeconds <= 0 {
		return 0
	}
	return d.Result.ServiceSeconds / d.Result.TotalTimeSeconds
}
