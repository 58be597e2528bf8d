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
	owner    *unit // whose body it is; nil for the workflow itself
	wf       *workflow.Workflow
	around   journal.Unit // what it is the body of; zero for the workflow itself
	env      workflow.Env
	outer    map[string]workflow.StepResult // results from around it that its steps see
	nodes    map[string]*node
	list     []*node             // in file order
	left     int                 // nodes that have not ended
	replaces map[string][]string // by fallback, the steps it stands in for
	failed   *node               // the first that failed for good
	limits   []*limit
}

// node is a step in a frame, with the state of its dependencies.
type node struct {
	*unit
	listed       tally // dependencies that its join counts
	read         tally // those that must have completed whatever its join says
	optional     tally // those that must have ended
	dependents   []edge
	position     int                  // in the file
	started      bool                 // or completed without a start
	fallbackOnly bool                 // it only runs in place of another
	wanted       bool                 // it is fallbackOnly, and another has failed
	counts       Status               // how it ended for others; empty before that
	failure      *workflow.StepResult // what its fallback sees of it
	cause        *node                // the step whose false condition is why it was skipped; nil if there is none
	ended, lets  bool                 // it has ended for others; what needs it may start
	fallbackFor  []*node              // failed steps that wait for it
	saw          []string             // the dependencies that had ended when it started; nil for those that have
}

// tally counts dependencies of one kind.
type tally struct {
	all  int
	open int // those that have not ended
	met  int // those that have completed
}

// edge leads to a step that waits for another.
type edge struct {
	*node
	count  *tally // of the waiting step, in which the other counts
	before bool   // the step may start before the other has ended
}

// newFrame makes the graph of wf, within owner if that is not nil. env is what
// its expressions see; its Steps become the frame's own.
func (r *run) newFrame(owner *unit, wf *workflow.Workflow, env workflow.Env) *frame {
	f := &frame{owner: owner, wf: wf, env: env}
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
	steps, remaining := r.needed(f.around, wf), r.remaining(wf)
	f.nodes, f.list = make(map[string]*node, len(steps)), make([]*node, len(steps))
	for i, s := range steps {
		n := &node{unit: r.newUnit(f, s, f.around.Inner(s.ID)), position: i}
		n.node, n.reuse, n.remaining = n, reuse, tail+remaining[s.ID]
		if owner != nil {
			n.label = owner.label
		}
		f.nodes[s.ID], f.list[i] = n, n
	}
	for _, n := range f.exitsFirst() {
		listed, read, optional := n.step.Waits()
		f.connect(n, listed, &n.listed, n.step.Join > 0)
		f.connect(n, read, &n.read, false)
		f.connect(n, optional, &n.optional, false)
		if substitute := f.nodes[n.step.Fallback]; substitute != nil && n.step.OnFailure == workflow.OnFailureFallback {
			substitute.fallbackOnly = true
			if f.replaces == nil {
				f.replaces = map[string][]string{}
			}
			f.replaces[n.step.Fallback] = append(f.replaces[n.step.Fallback], n.step.ID)
		}
		if r.opts.Choose != nil && owner == nil {
			r.choose(n)
		}
	}
	for _, n := range f.list {
		if !n.fallbackOnly {
			f.left++
		}
	}
	return f
}

// exitsFirst returns the steps of f in file order, those that end the run before all
// others: of steps that become ready at the same time they come first.
func (f *frame) exitsFirst() []*node {
	if !slices.ContainsFunc(f.list, func(n *node) bool { return n.step.Exit != nil }) {
		return f.list
	}
	list := slices.Clone(f.list)
	slices.SortStableFunc(list, func(a, b *node) int {
		switch {
		case (a.step.Exit != nil) == (b.step.Exit != nil):
			return 0
		case a.step.Exit != nil:
			return -1
		}
		return 1
	})
	return list
}

// connect makes n wait for the steps with the ids.
func (f *frame) connect(n *node, ids []string, count *tally, before bool) {
	for _, id := range ids {
		if d := f.nodes[id]; d != nil {
			d.dependents = append(d.dependents, edge{n, count, before})
			count.all++
			count.open++
		}
	}
}

// startFrame starts the steps of f that have no dependencies.
func (r *run) startFrame(f *frame) {
	for _, n := range f.exitsFirst() {
		r.startIfReady(n)
	}
	if f.left == 0 {
		r.finishFrame(f)
	}
}

// choose applies the caller's choice for a step of the top level.
func (r *run) choose(n *node) {
	switch r.opts.Choose(n.step) {
	case ChooseReuse:
		n.reuse = true
	case ChooseLeave:
		n.started = true
		r.outcomes = append(r.outcomes, outcome{unit: n.unit, status: StatusSkipped, reason: "not asked for"})
	}
}

// startIfReady starts or skips a node once its dependencies decide which.
func (r *run) startIfReady(n *node) {
	if n.started || n.fallbackOnly && !n.wanted {
		return
	}
	need := min(n.step.Needed(), n.listed.all)
	switch {
	case n.listed.met+n.listed.open < need || n.read.met+n.read.open < n.read.all:
		n.started = true
		r.noteSkip(n)
		reason := n.unmet()
		if _, known, was := r.decided(n); known && was != "" {
			reason = was // of the first that was missing in time
		}
		r.outcomes = append(r.outcomes, outcome{unit: n.unit, status: StatusSkipped, reason: reason})
	case n.listed.met >= need && (n.step.Join > 0 || n.listed.open == 0) && n.read.open == 0 && n.optional.open == 0:
		n.started = true
		r.evalWhen(n)
	}
}

// unmet returns the reason why the node's dependencies do not suffice.
func (n *node) unmet() string {
	if d := n.missed(); d != nil {
		return "step " + d.step.ID + " did not complete"
	}
	return fmt.Sprintf("fewer than %d of its dependencies completed", n.step.Join)
}

// required returns the steps of the frame without each of which n does not start.
func (n *node) required() []*node {
	listed, read, _ := n.step.Waits()
	if n.step.Join != 0 {
		listed = nil
	}
	var all []*node
	for _, id := range slices.Concat(listed, read) {
		if d := n.frame.nodes[id]; d != nil {
			all = append(all, d)
		}
	}
	return all
}

// missed returns the first of the required steps that ended so that n cannot start, or
// nil.
func (n *node) missed() *node {
	for _, d := range n.required() {
		if d.ended && !d.lets {
			return d
		}
	}
	return nil
}

// evalWhen evaluates the node's condition, then starts, skips or fails it.
func (r *run) evalWhen(n *node) {
	if of := n.silent(); of != nil && !r.leavesOut(n.id()) {
		r.outcomes = append(r.outcomes, outcome{unit: n.unit, status: StatusSkipped, reason: "step " + of.step.ID + ", which it continues, did not complete"})
		return
	}
	starts, known, reason := r.decided(n)
	switch {
	case known && !starts:
		r.outcomes = append(r.outcomes, outcome{unit: n.unit, status: StatusSkipped, reason: reason})
		return
	case n.step.When != nil && !known:
		v, err := n.step.When.Eval(n.env())
		yes, isBool := v.(bool)
		switch {
		case err != nil:
			r.outcomes = append(r.outcomes, outcome{unit: n.unit, status: StatusFailed, err: invalid("asking whether step "+n.path+" runs", err)})
			return
		case !isBool:
			r.outcomes = append(r.outcomes, outcome{unit: n.unit, status: StatusFailed, err: llm.NewError(llm.CodeInvalid, "the condition of step "+n.path+" is neither true nor false", nil)})
			return
		case !yes:
			r.outcomes = append(r.outcomes, outcome{unit: n.unit, status: StatusSkipped, reason: conditionFalse})
			return
		}
	}
	if r.leavesOut(n.id()) {
		return // stays pending
	}
	r.start(n.unit)
}

// results returns those of the frame's steps by id.
func (f *frame) results() map[string]*StepResult {
	results := make(map[string]*StepResult, len(f.list))
	for _, n := range f.list {
		if n.fallbackOnly && !n.wanted && n.res.Status == StatusPending {
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
		if len(n.dependents) == 0 && n.res.Output != "" && !n.fallbackOnly && n.res.Usable(n.step) {
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

// seen returns the results that a step sees which need not wait for all that it reads:
// steps that have not ended have an empty output, and a fallback sees the failures of
// the steps that it runs for.
func (f *frame) seen(s *workflow.Step) map[string]workflow.StepResult {
	steps := f.env.Steps
	own := false
	change := func() map[string]workflow.StepResult {
		if !own {
			steps, own = maps.Clone(steps), true
		}
		return steps
	}
	set := func(id string, res workflow.StepResult) {
		if _, ok := steps[id]; !ok {
			change()[id] = res
		}
	}
	hide := func(id string) {
		if _, ok := steps[id]; ok {
			delete(change(), id)
		}
	}
	for _, id := range f.replaces[s.ID] {
		if n := f.nodes[id]; n.failure != nil {
			set(id, *n.failure)
		}
		set(id, workflow.StepResult{Status: string(StatusPending)})
	}
	if s.Hurries() {
		for _, id := range s.Dependencies {
			if saw := f.nodes[s.ID].saw; saw != nil && !slices.Contains(saw, id) {
				hide(id)
			}
			set(id, workflow.StepResult{Status: string(StatusPending)})
		}
	}
	return steps
}

// around returns the results from outside of the unit that it may use.
func (u *unit) around(env workflow.Env) map[string]workflow.StepResult {
	steps := make(map[string]workflow.StepResult, len(u.frame.outer)+len(u.step.Dependencies)+len(u.step.Body.Steps))
	maps.Copy(steps, u.frame.outer)
	for _, id := range slices.Concat(u.step.Dependencies, u.frame.replaces[u.step.ID]) {
		if res, ok := env.Steps[id]; ok {
			steps[id] = res
		}
	}
	return steps
}

// startBody starts the steps within a step.
func (r *run) startBody(u *unit) {
	r.markStarted(u)
	around := u.env()
	env := workflow.Env{Run: around.Run, Env: around.Env, ChangedFiles: around.ChangedFiles}
	var outer map[string]workflow.StepResult
	if u.step.Workflow == "" { // steps of its own see what is around them
		env.Params, env.Vars, env.Item, env.Items, env.Loop, env.Origins = around.Params, around.Vars, around.Item, around.Items, around.Loop, around.Origins
		env.Steps = u.around(around)
		outer = maps.Clone(env.Steps)
	} else {
		given, origins := make(map[string]any, len(u.step.With)), map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(u.step.With)) {
			v, err := u.step.With[name].Eval(around)
			if err != nil {
				r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusFailed, err: invalid("filling in "+name+" of step "+u.path, err)})
				return
			}
			given[name] = v
			if id := around.Origin(u.step.With[name]); id != "" {
				origins["params."+name] = id
			}
		}
		env.Origins = origins
		var err error
		if env.Params, err = u.step.Body.BindValues(given); err != nil {
			r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusFailed, err: invalid("starting "+u.step.Workflow+" for step "+u.path, err)})
			return
		}
		if env, err = u.step.Body.WithVars(env); err != nil && !r.rebuilt {
			r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusFailed, err: invalid("starting "+u.step.Workflow+" for step "+u.path, err)})
			return
		}
		env.Steps = make(map[string]workflow.StepResult, len(u.step.Body.Steps))
	}
	u.body = r.newFrame(u, u.step.Body, env)
	u.body.outer = outer
	r.startFrame(u.body)
}
