package workflow

import (
	"fmt"
	"slices"

	yaml "go.yaml.in/yaml/v4"
)

// place reads where a step works, and what runs it.
func (p *reader) place(d *draft, v view) {
	if n := d.fields.given("runner"); n != nil {
		d.Runner = Runner(p.oneOf(n, "runner", []string{string(RunnerBuiltin), string(RunnerClaudeCode)}))
		p.external(d, n)
	}
	if n := d.fields.given("isolation"); n != nil {
		d.Isolation = Isolation(p.oneOf(n, "isolation", []string{string(IsolationNone), string(IsolationWorktree)}))
	}
	if n := d.fields.given("base"); n != nil {
		if d.Base = p.template(d, v, n, "base"); d.Isolation != IsolationWorktree && d.fields.given("isolation") == nil {
			p.fail(n, nil, "add isolation: worktree", "%s has a base and no worktree that starts from it", d.of())
		}
	}
}

// external reports settings of a step that its runner does not take.
func (p *reader) external(d *draft, n *yaml.Node) {
	if d.Runner != RunnerClaudeCode {
		return
	}
	for _, key := range []string{"temperature", "thinking"} {
		if own := d.fields.given(key); own != nil {
			p.fail(own, nil, "say with effort how much work the model does, or remove runner", "%s cannot have both runner: claude-code and %s", d.of(), key)
		}
	}
	if own := d.fields.given("latency"); own != nil && d.Latency == LatencyBatch {
		p.fail(n, nil, "remove one of them", "%s cannot have both runner: claude-code and latency: batch", d.of())
	}
}

// editor is a step that may edit files.
type editor struct {
	*Step
	file string
}

// SharedEdits returns a problem for each step that may edit the project's files while
// another one does, without a worktree of its own. mayEdit reports whether a step
// with an agent may edit files, and isolated whether it does so in a worktree.
func (w *Workflow) SharedEdits(mayEdit, isolated func(*Step) bool) Errors {
	c := &editCheck{mayEdit: mayEdit, isolated: isolated, said: map[*Step]bool{}}
	c.file(w, w.file)
	c.errs.sort()
	return c.errs
}

type editCheck struct {
	mayEdit, isolated func(*Step) bool
	said              map[*Step]bool
	errs              Errors
}

// file checks the steps of a level and returns those that may edit files, with those
// within them.
func (c *editCheck) file(w *Workflow, file string) []editor {
	within := make([][]editor, len(w.Steps))
	var all []editor
	for i, s := range w.Steps {
		switch {
		case s.Body != nil && s.Workflow != "":
			within[i] = c.file(s.Body, s.Body.file)
		case s.Body != nil:
			within[i] = c.file(s.Body, file)
		case s.Agent != "" && c.mayEdit(s):
			within[i] = []editor{{s, file}}
		}
		if s.Foreach != nil && s.Foreach.MaxParallel != 1 {
			for _, e := range within[i] {
				c.add(e, "several items of foreach may edit files at the same time", "write isolation: worktree for the step, or max_parallel: 1")
			}
		}
		all = append(all, within[i]...)
	}
	if len(all) < 2 {
		return all
	}
	parallel := w.parallel(func(i int) bool { return len(within[i]) > 0 })
	for i := range w.Steps {
		for j := range i {
			if len(within[i]) == 0 || len(within[j]) == 0 || len(c.errs) >= maxErrors || !parallel(i, j) {
				continue
			}
			for _, one := range within[j] {
				for _, two := range within[i] {
					if one.Step != two.Step {
						c.meet(one, two)
						c.meet(two, one)
					}
				}
			}
		}
	}
	return all
}

// meet reports that e may edit at the same time as other.
func (c *editCheck) meet(e, other editor) {
	if c.said[e.Step] {
		return
	}
	at := fmt.Sprintf("line %d", other.Line)
	if other.file != e.file {
		at = fmt.Sprintf("%s:%d", other.file, other.Line)
	}
	c.add(e, fmt.Sprintf("step %s may edit files at the same time as step %s (%s)", quote(e.ID), quote(other.ID), at),
		"write isolation: worktree for each of them, or let one depend on the other")
}

func (c *editCheck) add(e editor, message, hint string) {
	if c.said[e.Step] || c.isolated(e.Step) || len(c.errs) >= maxErrors {
		return
	}
	c.said[e.Step] = true
	c.errs = append(c.errs, &Error{File: e.file, Line: e.Line, Column: e.Column, Message: message, Hint: hint})
}

// maxCompared bounds how many steps are compared with each other by what they
// depend on. Of more, only those are known to run at the same time that are equally
// far from the beginning.
const maxCompared = 4096

// parallel returns a function that reports whether two of the steps that count may run
// at the same time: neither has ended when the other starts, for sure.
func (w *Workflow) parallel(counts func(i int) bool) func(i, j int) bool {
	g := newGraph(w.Steps)
	for i, s := range w.Steps {
		if s.Hurries() {
			listed, _, _ := s.Waits()
			g.needs[i] = g.needs[i][min(len(listed), len(g.needs[i])):] // it does not wait for all of them
		}
	}
	for i, f := range fallbacksOf(w.Steps) {
		if f >= 0 { // it starts when the other has failed
			g.needs[f] = append(slices.Clip(g.needs[f]), i)
		}
	}
	number, n := make([]int, len(w.Steps)), 0 // of those that count
	for i := range w.Steps {
		if number[i] = -1; counts(i) {
			number[i] = n
			n++
		}
	}
	if n > maxCompared {
		return func(i, j int) bool { return g.level[i] == g.level[j] }
	}
	after := make([][]bool, n) // of each, which others have ended when it starts
	seen, stack := make([]int, len(w.Steps)), []int{}
	for i := range w.Steps {
		if number[i] < 0 {
			continue
		}
		row := make([]bool, n)
		for stack = append(stack[:0], i); len(stack) > 0; {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			for _, d := range g.needs[at] {
				if seen[d] == i+1 {
					continue
				}
				seen[d] = i + 1
				stack = append(stack, d)
				if number[d] >= 0 {
					row[number[d]] = true
				}
			}
		}
		after[number[i]] = row
	}
	return func(i, j int) bool { return !after[number[i]][number[j]] && !after[number[j]][number[i]] }
}
