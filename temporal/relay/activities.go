package relay

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/claude-force/claude-force/journal"
)

// Names of what workers register. They are in histories: a changed one is another one.
const (
	runWorkflow     = "run"
	itemsWorkflow   = "items"
	advanceActivity = "advance"
	attemptActivity = "attempt"
	cancelActivity  = "cancel"
)

// Register registers the workflows and the activities with a worker.
func Register(w worker.Registry, e Engine) {
	RegisterWorkflows(w)
	a := activities{e}
	for name, f := range map[string]any{advanceActivity: a.advance, attemptActivity: a.attempt, cancelActivity: a.cancel} {
		w.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
}

// RegisterWorkflows registers the workflows with what runs or replays them.
func RegisterWorkflows(r worker.WorkflowRegistry) {
	for _, name := range []string{runWorkflow, itemsWorkflow} {
		r.RegisterWorkflowWithOptions(Run, workflow.RegisterOptions{Name: name, VersioningBehavior: workflow.VersioningBehaviorPinned})
	}
}

type activities struct{ engine Engine }

// attemptInput is what an attempt is at. It is in all histories, once for each attempt.
type attemptInput struct {
	Run  string `json:"r,omitempty"` // empty if the id of the workflow begins with it
	Step string `json:"s"`
	Item string `json:"i,omitempty"`
}

// runOf returns the run that the id of a workflow begins with. See [relay.startChild].
func runOf(workflowID string) string {
	run, _, _ := strings.Cut(workflowID, "/")
	return run
}

func (a activities) advance(ctx context.Context, run string, items *Items, under []Under) (*Frontier, error) {
	f, err := a.engine.Advance(ctx, run, items, under)
	return f, final(err)
}

func (a activities) attempt(ctx context.Context, in attemptInput) error {
	run := cmp.Or(in.Run, runOf(activity.GetInfo(ctx).WorkflowExecution.ID))
	return beating(ctx, func(ctx context.Context) error {
		return a.engine.Attempt(ctx, run, journal.Unit{Step: in.Step, Item: in.Item})
	})
}

func (a activities) cancel(ctx context.Context, run string) error {
	return final(a.engine.Cancel(ctx, run))
}

// beating calls do, and sends heartbeats until it returns.
func beating(ctx context.Context, do func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	every := time.NewTicker(max(activity.GetInfo(ctx).HeartbeatTimeout/4, 100*time.Millisecond))
	defer every.Stop()
	for {
		select {
		case err := <-done:
			if err == nil && ctx.Err() != nil {
				return nil // it had ended by then
			}
			return final(err)
		case <-every.C:
			activity.RecordHeartbeat(ctx)
		}
	}
}

// goneError is the type of the error of a run that is gone, as Temporal knows it.
const goneError = "gone"

// final returns err as one that Temporal does not repeat the activity for, if the run is
// gone.
func final(err error) error {
	if errors.Is(err, ErrGone) {
		return temporal.NewNonRetryableApplicationError(ErrGone.Error(), goneError, nil)
	}
	return err
}

// isGone reports whether the error of an activity says that the run is gone.
func isGone(err error) bool {
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && app.Type() == goneError
}
