package claudeforce

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// RunDetail is all that is known of a run.
type RunDetail struct {
	Run      journal.Run
	Spec     *RunSpec
	Workflow *workflow.Workflow // as it was when the run was begun, or changes were accepted
	State    *journal.State
	Result   *engine.Result // as far as the run has come
}

// ReadRun reads a run from a store. The id may be abbreviated, or be "latest".
// It needs no orchestrator, and may be used while the run goes on.
func ReadRun(ctx context.Context, store journal.Store, id string) (*RunDetail, error) {
	run, err := FindRun(ctx, store, id)
	if err != nil {
		return nil, err
	}
	d := &RunDetail{Run: run}
	if d.State, err = journal.Fold(store.Events(ctx, run.ID, 0)); err != nil {
		return nil, fmt.Errorf("reading run %s: %w", run.ID, err)
	}
	if d.Spec, err = specOf(run, d.State); err != nil {
		return nil, err
	}
	if d.Workflow, err = d.Spec.recorded(nil); err != nil {
		return nil, fmt.Errorf("reading the workflow of run %s: %w", run.ID, err)
	}
	params, err := d.Workflow.BindParams(d.Spec.Params)
	if err != nil {
		return nil, fmt.Errorf("reading the parameters of run %s: %w", run.ID, err)
	}
	env := map[string]string{}
	for _, name := range d.Workflow.EnvNames() {
		env[name] = os.Getenv(name)
	}
	d.Result, err = engine.Run(ctx, d.Workflow, engine.Options{
		RunID: run.ID, Params: params, Env: env, Past: d.State, Rebuild: true,
		Choose: choices(d.Workflow, RunOptions{From: d.Spec.From, Only: d.Spec.Only}),
	})
	if err != nil {
		return nil, fmt.Errorf("reading run %s: %w", run.ID, err)
	}
	d.Result.TotalTimeSeconds = d.took()
	if run.Status == journal.StatusCancelled {
		d.Result.Status = engine.StatusCancelled
	}
	if run.Owner != nil && run.Owner.Alive && !run.Status.Ended() {
		d.Result.Status = engine.Status(run.Status)
		d.underWay(journal.Unit{}, d.Result.Steps)
	}
	return d, nil
}

// underWay gives steps of a run that is worked on the status they have, where a
// rebuilt result says only that they have not ended.
func (d *RunDetail) underWay(outer journal.Unit, steps map[string]*engine.StepResult) {
	for id, res := range steps {
		step := outer.Inner(id)
		d.going(d.State.Units[step], res)
		d.underWay(step, res.Steps)
		for _, item := range res.Items {
			d.going(d.State.Units[step.WithItem(item.Key)], item.StepResult)
		}
	}
}

func (d *RunDetail) going(u *journal.UnitState, res *engine.StepResult) {
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

// took is how long the run has worked, in seconds, as far as its journal tells.
func (d *RunDetail) took() float64 {
	if d.State.Ended != nil && d.State.Resumes == 0 {
		return d.State.Ended.TotalTimeSeconds
	}
	var begin, end = d.Run.StartedAt, d.Run.StartedAt
	for _, u := range d.State.Order {
		if u.EndedAt.After(end) {
			end = u.EndedAt
		}
	}
	return end.Sub(begin).Seconds()
}

// FindRun is the run with an id, which may be abbreviated, or be "latest". That
// there is none, or several, is an [InputError].
func FindRun(ctx context.Context, store journal.Store, id string) (journal.Run, error) {
	run, err := store.Find(ctx, id)
	if err != nil {
		return journal.Run{}, invalid(fmt.Errorf("finding run %s: %w; `claude-force runs list` shows them", id, err))
	}
	return run, nil
}

// recorded is the workflow as it was when the run was begun.
func (s *RunSpec) recorded(checkAgent func(string) error) (*workflow.Workflow, error) {
	name := s.File
	if name == "" {
		name = "workflow"
	}
	return workflow.Parse(name, []byte(s.Source), workflow.Options{
		AllowEnv: s.AllowEnv, CheckAgent: checkAgent,
		Load: func(path string) ([]byte, error) {
			if text, ok := s.Files[path]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		},
	})
}

// DecideApproval answers the question of a step of a run that waits for a
// person. Without a step, the run must have exactly one question open. It
// returns the step that was answered.
func DecideApproval(ctx context.Context, store journal.Store, id, step string, d journal.Decision) (string, error) {
	run, err := FindRun(ctx, store, id)
	if err != nil {
		return "", err
	}
	state, err := journal.Fold(store.Events(ctx, run.ID, 0))
	if err != nil {
		return "", fmt.Errorf("reading run %s: %w", run.ID, err)
	}
	var open []*journal.UnitState
	for _, u := range state.Order {
		if u.Type == journal.ApprovalAsked && u.Decision == nil && (step == "" || u.Step == step || u.String() == step) {
			open = append(open, u)
		}
	}
	switch {
	case len(open) == 0 && step != "":
		return "", invalid(fmt.Errorf("step %s of run %s asks nothing now", step, run.ID))
	case len(open) == 0:
		return "", invalid(fmt.Errorf("run %s asks nothing now", run.ID))
	case len(open) > 1:
		names := make([]string, len(open))
		for i, u := range open {
			names[i] = u.String()
		}
		return "", invalid(fmt.Errorf("run %s asks several things; name one of the steps: %s", run.ID, strings.Join(names, ", ")))
	}
	err = store.Send(ctx, journal.Event{Run: run.ID, Type: journal.ApprovalGiven, Step: open[0].Step, Item: open[0].Item, Detail: journal.Detail(d)})
	if err != nil {
		return "", fmt.Errorf("answering run %s: %w", run.ID, err)
	}
	return open[0].Step, nil
}

// Decide answers the question of a unit of a run that goes on in this process.
func (o *Orchestrator) Decide(ctx context.Context, run, path, item string, d journal.Decision) error {
	store, err := o.history(ctx)
	if err != nil {
		return err
	}
	err = store.Send(ctx, journal.Event{Run: run, Type: journal.ApprovalGiven, Step: path, Item: item, Detail: journal.Detail(d)})
	if err != nil {
		return fmt.Errorf("answering run %s: %w", run, err)
	}
	return nil
}

// CancelRun stops a run for good: a process that works on it stops soon, and a
// run that nobody works on ends now. It reports whether a process was told.
func CancelRun(ctx context.Context, store journal.Store, id string) (told bool, err error) {
	run, err := FindRun(ctx, store, id)
	if err != nil {
		return false, err
	}
	if run.Status == journal.StatusCompleted || run.Status == journal.StatusCancelled {
		return false, invalid(fmt.Errorf("run %s is %s", run.ID, run.Status))
	}
	if run.Owner != nil && run.Owner.Alive {
		return true, store.Send(ctx, journal.Event{Run: run.ID, Type: journal.CancelAsked})
	}
	log, err := store.Acquire(ctx, run.ID)
	if err != nil {
		return false, fmt.Errorf("cancelling run %s: %w", run.ID, err)
	}
	wait := log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.Ended{Status: journal.StatusCancelled})})
	if err := wait(); err != nil {
		return false, fmt.Errorf("cancelling run %s: %w", run.ID, err)
	}
	return false, log.Release()
}
