package engine

import (
	"fmt"
	"maps"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// iterate starts the next iteration of a loop. previous is the results of the
// last one; nil before the first.
func (r *run) iterate(u *unit, previous map[string]workflow.StepResult) {
	if u.res.StartedAt == nil {
		r.markStarted(u)
	}
	u.res.Iterations++
	c := r.child(u, u.id().Iteration(u.res.Iterations))
	c.index = u.res.Iterations
	c.loop = &workflow.LoopEnv{Index: c.index, Previous: previous}
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
	done, err := r.until(c, results)
	switch {
	case err != nil:
		end.status, end.err = StatusFailed, err
	case !done && c.index < s.Loop.Max:
		if !r.stopping {
			r.iterate(u, results)
		}
		return
	case !done && s.Loop.Until != nil:
		u.res.Degraded = fmt.Sprintf("stopped at iteration %d, its last, without its condition coming true", c.index)
	}
	r.outcomes = append(r.outcomes, end)
}

// until reports whether a loop is done after an iteration.
func (r *run) until(c *unit, results map[string]workflow.StepResult) (bool, error) {
	if c.step.Loop.Until == nil {
		return false, nil
	}
	env := c.env()
	env.Steps = maps.Clone(env.Steps)
	maps.Copy(env.Steps, results)
	v, err := c.step.Loop.Until.Eval(env)
	if err != nil {
		return false, invalid("asking whether step "+c.parent.path+" is done", err)
	}
	done, ok := v.(bool)
	if !ok {
		return false, llm.NewError(llm.CodeInvalid, "the condition that ends step "+c.parent.path+" is neither true nor false", nil)
	}
	return done, nil
}
