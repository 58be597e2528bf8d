package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// frame is a graph of steps that is under way: the workflow itself, or what a
// step has within it.
type frame struct {
	owner  *unit // whose body it is; nil for the workflow itself
	wf     *workflow.Workflow
	around journal.Unit // what it is the body of; zero for the workflow itself
	env    workflow.Env
	outer  map[string]workflow.StepResult // results from around it that its steps see
	nodes  map[string]*node
	list   []*node // in file order
	left   int     // nodes that have not ended
	failed *node   // the first that failed for good
	limits []*limit
}

// node is a step in a frame, with what is still open before it.
type node struct {
	*unit
	needs      int // dependencies
	open       int // those that have not ended
	met        int // those that have completed
	dependents []*node
	position   int     // in the file
	begun      bool    // started, or settled without
	spare      bool    // it only runs in place of another
	wanted     bool    // it is spare, and another has failed
	counts     Status  // how it ended for others; empty before that
	standsFor  []*node // failed steps that wait for it
}

// newFrame makes the graph of wf, within owner if that is not nil. env is what
// its expressions see; its Steps become the frame's own.
func (r *run) newFrame(owner *unit, wf *workflow.Workflow, env workflow.Env) *frame {
	f := &frame{owner: owner, wf: wf, env: env, nodes: make(map[string]*node, len(wf.Steps)), list: make([]*node, len(wf.Steps))}
	var tail time.Duration
	reuse := false
	if owner != nil {
		f.around, reuse = owner.id(), owner.reuse
		f.limits = owner.frame.limits
		tail = max(0, owner.remaining-r.opts.Duration(owner.step))
		if wf.MaxParallel > 0 {
			f.limits = append([]*limit{{most: wf.MaxParallel}}, f.limits...)
		}
	}
	remaining := r.paths[wf]
	if remaining == nil {
		remaining = wf.RemainingPath(r.opts.Duration)
		r.paths[wf] = remaining
	}
	for i, s := range wf.Steps {
		n := &node{unit: r.newUnit(f, s, f.around.Inner(s.ID)), position: i}
		n.node, n.reuse, n.remaining = n, reuse, tail+remaining[s.ID]
		f.nodes[s.ID], f.list[i] = n, n
	}
	for _, n := range f.list {
		for _, id := range n.step.Dependencies {
			if d := f.nodes[id]; d != nil {
				d.dependents = append(d.dependents, n)
				n.needs++
			}
		}
		n.open = n.needs
		if spare := f.nodes[n.step.Fallback]; spare != nil && n.step.OnFailure == workflow.OnFailureFallback {
			spare.spare = true
		}
		if r.opts.Choose != nil && owner == nil {
			r.choose(n)
		}
	}
	for _, n := range f.list {
		if !n.spare {
			f.left++
		}
	}
	return f
}

// open starts what nothing stands before.
func (r *run) open(f *frame) {
	for _, n := range f.list {
		r.check(n)
	}
	if f.left == 0 {
		r.close(f)
	}
}

// choose heeds what the caller wants of a step of the top level.
func (r *run) choose(n *node) {
	switch r.opts.Choose(n.step) {
	case ChooseReuse:
		n.reuse = true
	case ChooseLeave:
		n.begun = true
		r.settled = append(r.settled, outcome{unit: n.unit, status: StatusSkipped, reason: "not asked for"})
	}
}

// check starts or skips a node if it is decided which.
func (r *run) check(n *node) {
	if n.begun || n.spare && !n.wanted {
		return
	}
	need := n.needs
	if n.step.Join > 0 {
		need = min(n.step.Join, need)
	}
	switch {
	case n.met+n.open < need:
		n.begun = true
		r.settled = append(r.settled, outcome{unit: n.unit, status: StatusSkipped, reason: n.unmet()})
	case n.met >= need && (n.step.Join > 0 || n.open == 0):
		n.begun = true
		r.consider(n)
	}
}

// unmet says why the node's dependencies are not enough.
func (n *node) unmet() string {
	for _, id := range n.step.Dependencies {
		switch d := n.frame.nodes[id]; d.res.Status {
		case StatusFailed, StatusSkipped, StatusInterrupted:
			if n.step.Join == 0 {
				return "step " + id + " did not complete"
			}
		}
	}
	return fmt.Sprintf("fewer than %d of its dependencies completed", n.step.Join)
}

// consider asks the node's condition.
func (r *run) consider(n *node) {
	if n.step.When != nil {
		v, err := n.step.When.Eval(n.env())
		yes, isBool := v.(bool)
		switch {
		case err != nil:
			r.settled = append(r.settled, outcome{unit: n.unit, status: StatusFailed, err: invalid("asking whether step "+n.path+" runs", err)})
			return
		case !isBool:
			r.settled = append(r.settled, outcome{unit: n.unit, status: StatusFailed, err: llm.NewError(llm.CodeInvalid, "the condition of step "+n.path+" is neither true nor false", nil)})
			return
		case !yes:
			r.settled = append(r.settled, outcome{unit: n.unit, status: StatusSkipped, reason: "its condition is false"})
			return
		}
	}
	if r.stopping {
		return // stays pending
	}
	r.start(n.unit)
}

// settle records the end of a unit and lets what waited for it go on.
func (r *run) settle(o outcome) {
	u := o.unit
	u.finish(o)
	r.writeEnd(o)
	r.observe(u, Event{Attempt: u.res.Attempts, Err: o.err, Restored: u.restored})
	if u.parent != nil && o.status != StatusInterrupted {
		delete(u.parent.live, u)
	}
	switch {
	case u.parent != nil && u.parent.fan != nil:
		r.itemEnded(u, o)
	case u.parent != nil:
		r.iterationEnded(u, o)
	default:
		r.nodeEnded(u.node, o)
	}
}

// finish sets the unit's result.
func (u *unit) finish(o outcome) {
	u.res.Status, u.res.Output = o.status, o.output
	switch {
	case o.err != nil:
		u.res.Error, u.res.code = new(o.err.Error()), llm.CodeOf(o.err)
	case o.reason != "":
		u.res.Error = new(o.reason)
	}
	if u.res.StartedAt != nil && u.res.DurationSeconds == 0 {
		u.res.DurationSeconds = time.Since(*u.res.StartedAt).Seconds()
	}
}

// nodeEnded lets the frame go on after one of its steps.
func (r *run) nodeEnded(n *node, o outcome) {
	f, id := n.frame, n.step.ID
	switch {
	case o.status == StatusCompleted:
		f.env.Steps[id] = workflow.StepResult{Output: o.output, Status: string(o.status), JSON: o.json}
	case o.status == StatusFailed && n.step.OnFailure == workflow.OnFailureFallback:
		if r.fallBack(n) {
			return
		}
	}
	r.pass(n, o.status)
}

// fallBack lets another step take the place of n, which failed. It reports
// false if that one has failed or was skipped already.
func (r *run) fallBack(n *node) bool {
	spare := n.frame.nodes[n.step.Fallback]
	switch {
	case spare == nil:
		return false
	case spare.counts == StatusCompleted:
		r.replace(n, spare)
		return true
	case spare.counts != "":
		return false
	}
	spare.standsFor = append(spare.standsFor, n)
	if !spare.wanted {
		spare.wanted = true
		n.frame.left++
		r.check(spare)
	}
	return true
}

// replace gives n the result of the step that ran in its place.
func (r *run) replace(n, spare *node) {
	n.res.Fallback, n.res.Output = spare.step.ID, spare.res.Output
	result := n.frame.env.Steps[spare.step.ID]
	n.frame.env.Steps[n.step.ID] = result
	r.pass(n, StatusCompleted)
}

// pass tells everybody that n has ended, with what counts as its status.
func (r *run) pass(n *node, status Status) {
	f := n.frame
	lets := status == StatusCompleted
	switch status {
	case StatusFailed:
		switch n.step.OnFailure {
		case workflow.OnFailureContinue:
			lets = true
		case workflow.OnFailureSkip:
		default:
			if f.failed == nil {
				f.failed = n
			}
		}
		f.env.Steps[n.step.ID] = workflow.StepResult{Status: string(StatusFailed)}
	case StatusSkipped:
		f.env.Steps[n.step.ID] = workflow.StepResult{Status: string(StatusSkipped)}
	case StatusInterrupted:
		return // the run is stopping; what follows stays pending
	}
	n.counts = status
	for _, stood := range n.standsFor {
		if status == StatusCompleted {
			r.replace(stood, n)
		} else {
			r.pass(stood, StatusFailed)
		}
	}
	n.standsFor = nil
	for _, d := range n.dependents {
		if d.open--; lets {
			d.met++
		}
		r.check(d)
	}
	if f.left--; f.left == 0 {
		r.close(f)
	}
}

// close ends the unit whose body f is.
func (r *run) close(f *frame) {
	u := f.owner
	if u == nil {
		return
	}
	u.res.Steps = f.results()
	for _, n := range f.list { // in order: sums of fractions depend on it
		u.add(n.res)
	}
	o := outcome{unit: u, status: StatusCompleted}
	var err error
	switch {
	case f.failed != nil:
		o.status = StatusFailed
		o.err = llm.NewError(f.failed.res.code, "step "+f.failed.path+" failed: "+*f.failed.res.Error, nil)
	default:
		if o.output, err = f.output(); err != nil {
			o.status, o.err = StatusFailed, invalid("filling in the output of step "+u.path, err)
		}
	}
	o.json = parseJSON(o.output)
	r.settled = append(r.settled, o)
}

// results returns those of the frame's steps by id.
func (f *frame) results() map[string]*StepResult {
	results := make(map[string]*StepResult, len(f.list))
	for _, n := range f.list {
		if n.spare && !n.wanted && n.res.Status == StatusPending {
			n.res.Status, n.res.Error = StatusSkipped, new("the step it stands in for did not fail")
		}
		results[n.step.ID] = n.res
	}
	return results
}

// output returns what the frame amounts to: what its step or its file says, else the
// outputs of the steps that no other waits for.
func (f *frame) output() (string, error) {
	t := f.wf.Output
	if f.owner != nil {
		t = cmp.Or(f.owner.step.Output, t)
	}
	if t != nil {
		env := f.env
		env.Steps = f.all()
		return t.Render(env)
	}
	var last []*node
	for _, n := range f.list {
		if len(n.dependents) == 0 && n.res.Output != "" && !n.spare {
			last = append(last, n)
		}
	}
	if len(last) == 1 {
		return last[0].res.Output, nil
	}
	parts := make([]string, len(last))
	for i, n := range last {
		parts[i] = llm.Fence("step", "id", n.step.ID, n.res.Output)
	}
	return strings.Join(parts, "\n\n"), nil
}

// all returns the results of every step, also of those that have none.
func (f *frame) all() map[string]workflow.StepResult {
	steps := maps.Clone(f.env.Steps)
	for _, n := range f.list {
		if _, ok := steps[n.step.ID]; !ok {
			steps[n.step.ID] = workflow.StepResult{Status: string(n.res.Status)}
		}
	}
	return steps
}

// joined returns the results that a step sees which need not wait for all of its
// dependencies: those that have not ended have an empty output.
func (f *frame) joined(s *workflow.Step) map[string]workflow.StepResult {
	steps := f.env.Steps
	for _, id := range s.Dependencies {
		if _, ok := steps[id]; !ok {
			if len(steps) == len(f.env.Steps) {
				steps = maps.Clone(steps)
			}
			steps[id] = workflow.StepResult{Status: string(StatusPending)}
		}
	}
	return steps
}

// around returns the results from outside of the unit that it may use.
func (u *unit) around(env workflow.Env) map[string]workflow.StepResult {
	steps := make(map[string]workflow.StepResult, len(u.frame.outer)+len(u.step.Dependencies)+len(u.step.Body.Steps))
	maps.Copy(steps, u.frame.outer)
	for _, id := range u.step.Dependencies {
		if res, ok := env.Steps[id]; ok {
			steps[id] = res
		}
	}
	return steps
}

// enter begins a step's body.
func (r *run) enter(u *unit) {
	r.mark(u)
	around := u.env()
	env := workflow.Env{Run: around.Run, Env: around.Env}
	var outer map[string]workflow.StepResult
	if u.step.Workflow == "" { // steps of its own see what is around them
		env.Params, env.Item, env.Loop = around.Params, around.Item, around.Loop
		env.Steps = u.around(around)
		outer = maps.Clone(env.Steps)
	} else {
		given := make(map[string]any, len(u.step.With))
		for _, name := range slices.Sorted(maps.Keys(u.step.With)) {
			v, err := u.step.With[name].Eval(around)
			if err != nil {
				r.settled = append(r.settled, outcome{unit: u, status: StatusFailed, err: invalid("filling in "+name+" of step "+u.path, err)})
				return
			}
			given[name] = v
		}
		var err error
		if env.Params, err = u.step.Body.BindValues(given); err != nil {
			r.settled = append(r.settled, outcome{unit: u, status: StatusFailed, err: invalid("starting "+u.step.Workflow+" for step "+u.path, err)})
			return
		}
		env.Steps = make(map[string]workflow.StepResult, len(u.step.Body.Steps))
	}
	u.body = r.newFrame(u, u.step.Body, env)
	u.body.outer = outer
	r.open(u.body)
}

// writeEnd writes the end of a unit down, if it was not when its answer came.
func (r *run) writeEnd(o outcome) {
	u := o.unit
	switch o.status {
	case StatusCompleted:
		if u.leaf() || u.step.Approval != nil {
			return
		}
		r.write(u, journal.StepFinished, 0, journal.Finished{Outcome: llm.Outcome{CostUSD: new(float64), Degraded: u.res.Degraded}, DurationSeconds: u.res.DurationSeconds})
	case StatusFailed:
		r.write(u, journal.StepFailed, u.res.Attempts, u.failure(o.err))
	case StatusSkipped:
		r.write(u, journal.StepSkipped, 0, journal.Skipped{Reason: o.reason})
	}
}

func (u *unit) failure(err error) journal.Failed {
	f := journal.Failed{Code: llm.CodeOf(err).String(), Message: err.Error(), DurationSeconds: u.res.DurationSeconds}
	if u.leaf() {
		f.Usage, f.CostUSD = u.res.Usage, u.res.CostUSD
	}
	return f
}

// leaf reports whether the unit asks a model itself.
func (u *unit) leaf() bool {
	return u.step.Body == nil && u.step.Approval == nil && u.fan == nil && (u.parent != nil || u.step.Foreach == nil && u.step.Loop == nil)
}
