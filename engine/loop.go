package engine

import (
	"fmt"
	"maps"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// startLoop starts the first iteration of a loop.
func (r *run) startLoop(u *unit) {
	r.markStarted(u)
	first, err := u.step.Loop.StartState(u.env())
	if err != nil {
		r.fail(u, invalid("starting the loop of step "+u.path, err))
		return
	}
	r.iterate(u, first)
}

// iterate starts an iteration of a loop, which sees what env says.
func (r *run) iterate(u *unit, env *workflow.LoopEnv) {
	u.res.Iterations = env.Index
	c := r.child(u, u.id().Iteration(env.Index))
	c.index, c.loop = env.Index, env
	r.start(c)
}

// iterationEnded ends a loop or starts its next iteration.
func (r *run) iterationEnded(c *unit, o outcome) {
	u, s := c.parent, c.step
	if o.status == StatusInterrupted {
		return // the run is stopping
	}
	u.add(c.res)
	u.res.Steps = c.res.Steps
	u.res.Source, u.res.Model, u.res.Degraded, u.res.Inputs = c.res.Source, c.res.Model, c.res.Degraded, c.res.Inputs
	end := outcome{unit: u, status: o.status, output: o.output, json: o.json, err: o.err}
	if o.status != StatusCompleted {
		if o.err != nil {
			end.err = fmt.Errorf("iteration %d: %w", c.index, o.err)
		}
		r.outcomes = append(r.outcomes, end)
		return
	}
	own := workflow.StepResult{Output: o.output, Status: string(o.status), JSON: o.json}
	results := map[string]workflow.StepResult{s.ID: own}
	if c.body != nil && s.Workflow == "" { // a file keeps its steps to itself
		for id := range c.body.nodes {
			results[id] = c.body.env.Steps[id]
		}
	}
	next, done, err := r.afterIteration(c, results)
	switch {
	case err != nil:
		end.status, end.err = StatusFailed, err
	case !done && c.index < s.Loop.Max:
		if !r.leavesOut(u.id().Iteration(next.Index)) {
			r.iterate(u, next)
		}
		return
	case !done && s.Loop.Until != nil:
		u.res.Degraded = fmt.Sprintf("stopped at iteration %d, its last, without its condition coming true", c.index)
	}
	r.outcomes = append(r.outcomes, end)
}

// afterIteration returns what the iteration after one sees, and reports whether the loop is
// done. Its condition sees the new state.
func (r *run) afterIteration(c *unit, results map[string]workflow.StepResult) (next *workflow.LoopEnv, done bool, err error) {
	env := c.env()
	env.Steps = maps.Clone(env.Steps)
	maps.Copy(env.Steps, results)
	if next, err = c.step.Loop.NextState(env); err != nil {
		return nil, false, invalid("continuing the loop of step "+c.parent.path, err)
	}
	next.Previous = results
	if c.step.Loop.Until == nil {
		return next, false, nil
	}
	env.Loop = next.At(c.index, c.loop.Previous)
	v, err := c.step.Loop.Until.Eval(env)
	if err != nil {
		return nil, false, invalid("asking whether step "+c.parent.path+" is done", err)
	}
	done, ok := v.(bool)
	if !ok {
		return nil, false, llm.NewError(llm.CodeInvalid, "the condition that ends step "+c.parent.path+" is neither true nor false", nil)
	}
	return next, done, nil
}
