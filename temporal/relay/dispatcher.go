package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	common "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/claude-force/claude-force/journal"
)

// Dispatcher brings the runs of a journal that an engine owns to Temporal, and has them look
// when people decide something. Every worker has one: all that it does, it may do again.
type Dispatcher struct {
	Client    client.Client
	Namespace string
	TaskQueue string
	Store     Store
	Engine    string        // of the runs
	Input     RunInput      // of their workflows, but for Run
	Every     time.Duration // between two looks; 0 for a second
	Again     time.Duration // after which a run's workflow is looked for again; 0 for half a minute
	Log       *slog.Logger

	// Fairness returns the key by which the runs of several share the workers; nil for none.
	Fairness func(ctx context.Context, run string) (string, error)
}

// Store is a journal whose runs engines can own.
type Store interface {
	journal.Store
	journal.Joiner
}

// known is a run that the dispatcher has started.
type known struct {
	after   int64     // the last decision that its workflow was signaled
	started time.Time // when its workflow was last there
}

// Run dispatches until ctx ends.
func (d *Dispatcher) Run(ctx context.Context) {
	runs := map[string]*known{}
	every := time.NewTicker(cmp.Or(d.Every, time.Second))
	defer every.Stop()
	for {
		if err := d.look(ctx, runs); err != nil && ctx.Err() == nil {
			d.Log.Error("runs not dispatched", "err", err)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

// look starts what is new and passes on what was decided.
func (d *Dispatcher) look(ctx context.Context, runs map[string]*known) error {
	open := map[string]bool{}
	var failed error
	for run, err := range d.Store.Runs(ctx, journal.Filter{Statuses: []journal.Status{journal.StatusRunning, journal.StatusWaiting}}) {
		if err != nil {
			return fmt.Errorf("listing runs: %w", err)
		}
		if run.Engine != d.Engine {
			continue
		}
		open[run.ID] = true
		if err := d.keep(ctx, run.ID, runs); err != nil {
			failed = errors.Join(failed, err) // the others are not to wait for it
		}
	}
	for id := range runs {
		if !open[id] {
			delete(runs, id)
		}
	}
	return errors.Join(failed, d.passOn(ctx, runs))
}

// keep starts the workflow of a run that is new, or that was not looked for in a while.
func (d *Dispatcher) keep(ctx context.Context, id string, runs map[string]*known) error {
	k := runs[id]
	if k != nil && time.Since(k.started) <= cmp.Or(d.Again, 30*time.Second) {
		return nil
	}
	if err := d.start(ctx, id); err != nil {
		return err
	}
	if k == nil {
		k = &known{}
		runs[id] = k
	}
	k.started = time.Now()
	return nil
}

// passOn has the runs look about which something was decided.
func (d *Dispatcher) passOn(ctx context.Context, runs map[string]*known) error {
	after := make(map[string]int64, len(runs))
	for id, k := range runs {
		after[id] = k.after
	}
	decided, err := d.Store.Signaled(ctx, after)
	if err != nil {
		return fmt.Errorf("reading what was decided about runs: %w", err)
	}
	for id, last := range decided {
		if failed := d.signal(ctx, id, last); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		runs[id].after = last
	}
	return err
}

// start starts the workflow of a run unless there is one.
func (d *Dispatcher) start(ctx context.Context, id string) error {
	in := d.Input
	in.Run = id
	options := client.StartWorkflowOptions{
		ID: id, TaskQueue: d.TaskQueue,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, // the journal says that it has not ended
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            id,
	}
	if d.Fairness != nil {
		key, err := d.Fairness(ctx, id)
		if err != nil {
			return err
		}
		options.Priority = temporal.Priority{FairnessKey: key}
	}
	if _, err := d.Client.ExecuteWorkflow(ctx, options, runWorkflow, in); err != nil {
		return fmt.Errorf("starting the workflow of run %s: %w", id, err)
	}
	return nil
}

// signal has a run look at its journal. Temporal takes a signal of a number once, however
// many workers send it.
func (d *Dispatcher) signal(ctx context.Context, id string, number int64) error {
	_, err := d.Client.WorkflowService().SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: d.Namespace, WorkflowExecution: &common.WorkflowExecution{WorkflowId: id}, SignalName: lookSignal,
		RequestId: fmt.Sprintf("%s/%d", id, number),
	})
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return nil // it has ended, or is started with the next look, and looks then
	}
	if err != nil {
		return fmt.Errorf("signaling the workflow of run %s: %w", id, err)
	}
	return nil
}
