package runs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// Latest returns the latest run of a workflow's file, or of its name if it has no
// file, except the run with the id except. It returns nil if there is none.
func Latest(ctx context.Context, store journal.Store, file, name, except string) (*journal.Run, error) {
	if file == "" && name == "" {
		return nil, nil
	}
	filter := journal.Filter{File: file, Limit: 2}
	if file == "" {
		filter.Workflow = name
	}
	for run, err := range store.Runs(ctx, filter) {
		if err != nil {
			return nil, fmt.Errorf("finding earlier runs: %w", err)
		}
		if run.ID != except {
			return &run, nil
		}
	}
	return nil, nil
}

// Previous is what is known of a workflow's run before this one.
type Previous struct {
	Run    *journal.Run // nil if there was none
	State  *journal.State
	takes  map[string]time.Duration    // by path of a step of the top level
	agents map[[2]string]time.Duration // by agent and model
}

// LoadPrevious reads the run before the run with the given id: the one that it
// takes results from, else the latest of the same workflow.
func LoadPrevious(ctx context.Context, store journal.Store, id string, spec *Spec, wf *workflow.Workflow) (*Previous, error) {
	b := &Previous{State: &journal.State{}, takes: map[string]time.Duration{}, agents: map[[2]string]time.Duration{}}
	if spec.Earlier != "" {
		run, err := store.Find(ctx, spec.Earlier)
		if err != nil {
			return nil, fmt.Errorf("finding run %s, whose results were to be taken: %w", spec.Earlier, err)
		}
		b.Run = &run
	} else if run, err := Latest(ctx, store, spec.Path(), wf.Name, id); err == nil {
		b.Run = run
	}
	if b.Run == nil {
		return b, nil
	}
	state, err := known(ctx, store, b.Run.ID)
	if err != nil {
		if spec.Earlier != "" {
			return nil, fmt.Errorf("reading run %s, whose results were to be taken: %w", b.Run.ID, err)
		}
		return b, nil // only estimates and explanations are lost
	}
	b.State = state
	counts := map[[2]string]int{}
	for _, u := range state.Order {
		if u.Type != journal.StepFinished {
			continue
		}
		took := time.Duration(u.Finished.LatencySeconds(u.Finished.DurationSeconds) * float64(time.Second))
		if u.Item == "" {
			b.takes[u.Step] = took
		}
		if who := [2]string{u.Started.Agent, u.Started.Model}; u.Started.Model != "" {
			b.agents[who] += took
			counts[who]++
		}
	}
	for who, n := range counts {
		b.agents[who] /= time.Duration(n)
	}
	return b, nil
}

// known returns the state of a run's steps. A run that was limited to a single
// step has the others from the run that it took results from.
func known(ctx context.Context, store journal.Store, id string) (*journal.State, error) {
	state, err := journal.Fold(store.Events(ctx, id, 0))
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	for n := id; ; {
		run, err := store.Find(ctx, n)
		if err != nil {
			break // removed since
		}
		spec, err := ReadSpec(run)
		if err != nil || spec.Only == "" || spec.Earlier == "" {
			break
		}
		for _, u := range state.Order {
			if u.Type != journal.StepSkipped { // as what an --only run leaves is
				has[u.Top()] = true
			}
		}
		n = spec.Earlier
		older, err := journal.Fold(store.Events(ctx, n, 0))
		if err != nil {
			break
		}
		for _, u := range older.Order {
			if !has[u.Top()] {
				state.Units[u.Unit] = u
				state.Order = append(state.Order, u)
			}
		}
	}
	return state, nil
}

// Duration returns an estimate of how long steps take, from the previous run. It
// returns nil if there was none.
func (b *Previous) Duration() func(*workflow.Step) time.Duration {
	if len(b.takes) == 0 {
		return nil
	}
	byAgent := map[string]time.Duration{}
	for _, who := range slices.SortedFunc(maps.Keys(b.agents), func(x, y [2]string) int { return strings.Compare(x[0]+x[1], y[0]+y[1]) }) {
		byAgent[who[0]] = max(byAgent[who[0]], b.agents[who])
	}
	return func(s *workflow.Step) time.Duration {
		if took, ok := b.takes[s.ID]; ok {
			return max(took, time.Millisecond)
		}
		if took, ok := byAgent[s.Agent]; ok {
			return max(took, time.Millisecond)
		}
		return time.Second
	}
}
