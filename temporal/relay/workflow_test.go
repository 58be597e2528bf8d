package relay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/temporal/relay"
)

// paper is an engine whose run is a list of layers: the units of one are ready when those of
// the layer before have ended.
type paper struct {
	layers [][]string
	wide   map[string]int // units that are a foreach of so many items
	inner  int            // items of the foreach that each item of these is; 0 for none

	mu        sync.Mutex
	done      map[journal.Unit]int // how often they were attempted
	cancelled bool
	gone      bool
	attempted func(journal.Unit) error
}

func newPaper(layers ...[]string) *paper {
	return &paper{layers: layers, wide: map[string]int{}, done: map[journal.Unit]int{}}
}

func item(step string, i int) journal.Unit { return journal.Unit{Step: step, Item: fmt.Sprint(i)} }

func (p *paper) ended(step string) bool {
	n := p.wide[step]
	if n == 0 {
		return p.done[journal.Unit{Step: step}] > 0
	}
	for i := range n {
		if !p.itemEnded(item(step, i)) {
			return false
		}
	}
	return true
}

func (p *paper) itemEnded(u journal.Unit) bool {
	if p.inner == 0 || p.wide[u.Step] == 0 {
		return p.done[u] > 0
	}
	for i := range p.inner {
		if p.done[u.Inner("in").WithItem(fmt.Sprint(i))] == 0 {
			return false
		}
	}
	return true
}

func (p *paper) Advance(_ context.Context, _ string, items *relay.Items, under []relay.Under) (*relay.Frontier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	isUnder := func(u journal.Unit) bool {
		return slices.ContainsFunc(under, func(o relay.Under) bool { return o.Unit == u })
	}
	if p.gone {
		return nil, fmt.Errorf("run_1: %w", relay.ErrGone)
	}
	f := &relay.Frontier{}
	if p.cancelled {
		if f.Stop = len(under) > 0; !f.Stop {
			f.Ended = "cancelled"
		}
		return f, nil
	}
	if items != nil {
		left := 0
		for i := items.From; i < items.To; i++ {
			u := journal.Unit{Step: items.Step, Item: items.Item}.WithItem(fmt.Sprint(i))
			if p.itemEnded(u) {
				continue
			}
			left++
			switch in := u.Inner("in"); {
			case len(f.Ready)+len(f.Wide)+len(under) >= items.Most:
			case p.inner > 0 && p.wide[u.Step] > 0:
				if !isUnder(in) {
					f.Wide = append(f.Wide, relay.Wide{Step: in.Step, Item: in.Item, Count: p.inner, Most: 2})
				}
			case !isUnder(u):
				f.Ready = append(f.Ready, relay.Ready{Step: u.Step, Item: u.Item})
			}
		}
		if left == 0 {
			f.Ended = "items"
		}
		return f, nil
	}
	for _, layer := range p.layers {
		whole := true
		for _, step := range layer {
			u := journal.Unit{Step: step}
			switch {
			case p.ended(step):
				continue
			case isUnder(u):
			case p.wide[step] > 0:
				f.Wide = append(f.Wide, relay.Wide{Step: step, Count: p.wide[step], Most: 10})
			default:
				f.Ready = append(f.Ready, relay.Ready{Step: step})
			}
			whole = false
		}
		if !whole {
			return f, nil
		}
	}
	f.Ended = "completed"
	return f, nil
}

func (p *paper) Attempt(_ context.Context, _ string, u journal.Unit) error {
	if p.attempted != nil {
		if err := p.attempted(u); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[u]++
	return nil
}

func (p *paper) Cancel(context.Context, string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancelled = true
	return nil
}

// stalls is longer than a machine may keep a workflow from running. Temporal's SDK takes one
// that does not run for a second, or tests that wait for 3 s, for stuck.
const stalls = 10 * time.Minute

func environment(p *paper) *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: stalls})
	env.SetTestTimeout(stalls)
	relay.Register(env, p)
	return env
}

func (p *paper) check(t *testing.T, env *testsuite.TestWorkflowEnvironment) {
	t.Helper()
	if err := env.GetWorkflowError(); !env.IsWorkflowCompleted() || err != nil {
		t.Fatalf("the workflow ended with %v", err)
	}
	for u, n := range p.done {
		if n != 1 {
			t.Errorf("%s was attempted %d times", u, n)
		}
	}
	for _, layer := range p.layers {
		for _, step := range layer {
			if !p.ended(step) {
				t.Errorf("step %s has not ended", step)
			}
		}
	}
}

func TestRunsLayers(t *testing.T) {
	t.Parallel()
	p := newPaper([]string{"a", "b"}, []string{"c"}, []string{"d", "e", "f"})
	env := environment(p)
	env.ExecuteWorkflow("run", relay.RunInput{Run: "run_1"})
	p.check(t, env)
}

func TestWideForeachRunsInChildren(t *testing.T) {
	t.Parallel()
	p := newPaper([]string{"a"}, []string{"each"}, []string{"z"})
	p.wide["each"] = 95
	env := environment(p)
	var children []relay.Items
	env.OnWorkflow("items", mock.Anything, mock.Anything).Return(func(ctx workflow.Context, in relay.RunInput) error {
		children = append(children, *in.Items)
		return relay.Run(ctx, in)
	})
	env.ExecuteWorkflow("run", relay.RunInput{Run: "run_1", Part: 20})
	p.check(t, env)
	covered := 0
	for _, c := range children {
		covered += c.To - c.From
		if c.To-c.From > 20 || c.Most != 2 {
			t.Errorf("a child has the items %d to %d, %d at once", c.From, c.To, c.Most)
		}
	}
	if len(children) != 5 || covered != 95 {
		t.Errorf("%d children cover %d items", len(children), covered)
	}
}

// TestWideForeachInAnother has children that start children, several at once.
func TestWideForeachInAnother(t *testing.T) {
	t.Parallel()
	p := newPaper([]string{"each", "other"})
	p.wide["each"], p.wide["other"], p.inner = 6, 6, 5
	env := environment(p)
	// A server refuses a child with the id of one that is under way.
	ids := map[string]bool{}
	env.OnWorkflow("items", mock.Anything, mock.Anything).Return(func(ctx workflow.Context, in relay.RunInput) error {
		id := workflow.GetInfo(ctx).WorkflowExecution.ID
		if ids[id] {
			t.Errorf("two children have the id %s", id)
		}
		ids[id] = true
		return relay.Run(ctx, in)
	})
	env.ExecuteWorkflow("run", relay.RunInput{Run: "run_1", Part: 2})
	p.check(t, env)
	if len(p.done) != 2*6*5 {
		t.Errorf("%d items of 60 were attempted", len(p.done))
	}
}

func TestContinuesInAnotherHistory(t *testing.T) {
	t.Parallel()
	var layers [][]string
	for i := range 40 {
		layers = append(layers, []string{fmt.Sprint("s", i)})
	}
	p := newPaper(layers...)
	in := relay.RunInput{Run: "run_1", Events: 30}
	for histories := 1; ; histories++ {
		env := environment(p)
		env.SetContinueAsNewSuggested(false)
		env.SetCurrentHistoryLength(31 * (len(p.done) % 2)) // it is long after each second step
		env.ExecuteWorkflow("run", in)
		if again, ok := errors.AsType[*workflow.ContinueAsNewError](env.GetWorkflowError()); ok && again.WorkflowType.Name == "run" {
			if histories > 100 {
				t.Fatal("it is continued for ever")
			}
			p.mu.Lock()
			p.done[journal.Unit{Step: fmt.Sprint("s", len(p.done))}]++ // what another history did
			p.mu.Unlock()
			continue
		}
		p.check(t, env)
		return
	}
}

func TestFailedAttemptIsMadeAgain(t *testing.T) {
	t.Parallel()
	p := newPaper([]string{"a"}, []string{"b"})
	var tries int
	p.attempted = func(u journal.Unit) error {
		if tries++; tries < 4 {
			return errors.New("the database is away")
		}
		return nil
	}
	env := environment(p)
	env.ExecuteWorkflow("run", relay.RunInput{Run: "run_1"})
	p.check(t, env)
}

func TestGoneRunEndsTheWorkflow(t *testing.T) {
	t.Parallel()
	p := newPaper([]string{"a"}, []string{"b"})
	p.attempted = func(journal.Unit) error {
		p.gone = true
		return nil
	}
	env := environment(p)
	env.ExecuteWorkflow("run", relay.RunInput{Run: "run_1"})
	if err := env.GetWorkflowError(); !env.IsWorkflowCompleted() || err != nil {
		t.Fatalf("the workflow ended with %v", err)
	}
	if len(p.done) != 1 {
		t.Errorf("attempted: %v", p.done)
	}
}

func TestCancelledWorkflowCancelsTheRun(t *testing.T) {
	t.Parallel()
	p := newPaper([]string{"a", "b"}, []string{"c"})
	env := environment(p)
	env.OnActivity("attempt", mock.Anything, mock.Anything).After(time.Hour).Return(nil)
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow("run", relay.RunInput{Run: "run_1"})
	if err := env.GetWorkflowError(); !env.IsWorkflowCompleted() || err != nil {
		t.Fatalf("the workflow ended with %v", err)
	}
	if !p.cancelled || len(p.done) > 0 {
		t.Errorf("cancelled: %v; done: %v", p.cancelled, p.done)
	}
}

func TestSignalHasTheRunLook(t *testing.T) {
	t.Parallel()
	p := newPaper([]string{"a"}, []string{"question"}, []string{"z"})
	asked := make(chan struct{})
	env := environment(p)
	looks := 0
	env.OnActivity("advance", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, run string, items *relay.Items, under []relay.Under) (*relay.Frontier, error) {
			looks++
			f, err := p.Advance(ctx, run, items, under)
			for i, u := range f.Ready {
				if u.Step == "question" { // a person answers it
					f.Ready = slices.Delete(f.Ready, i, i+1)
					break
				}
			}
			return f, err
		})
	env.RegisterDelayedCallback(func() {
		_ = p.Attempt(t.Context(), "", journal.Unit{Step: "question"})
		env.SignalWorkflow("look", nil)
		close(asked)
	}, time.Hour)
	env.ExecuteWorkflow("run", relay.RunInput{Run: "run_1"})
	<-asked
	p.check(t, env)
	if looks != 4 { // at first, after a, after the answer, after z
		t.Errorf("it looked %d times", looks)
	}
}
