package workflow

import "slices"

// scope is what all expressions of a file share. Each distinct expression is
// compiled once per view, since its meaning depends on the view.
type scope struct {
	params    map[string]string   // type by name
	vars      map[string]varOf    // by name
	env       map[string]struct{} // allowed variables
	home      map[string]*level   // where each step is
	names     map[string][]string // by root, for suggestions
	suggester *suggester

	sandbox *sandbox
	done    map[compiled]*expression
}

type compiled struct {
	view
	source string
}

// level is a list of steps: the file's, or those within a step.
type level struct {
	owner  *draft // the step around; nil for the file's
	drafts []*draft
	byID   map[string]*draft // filled in by find
}

// view is what an expression can see from its place.
type view struct {
	*scope
	level  *level // its steps and those of the levels around
	item   bool   // within a foreach
	items  *Value // those of the nearest foreach, or nil
	named  *named // the names of the items around it
	loop   *draft // the nearest enclosing loop, or nil
	result *draft // the step whose iteration has just ended, or nil

	computing int // the number of the var that is computed, from 1: it sees those before and no steps; else 0
}

// named is the name of the item of a foreach, and of those around it.
type named struct {
	name  string
	items *Value // nil if they are files
	outer *named
}

// has reports whether an item has the name.
func (n *named) has(name string) bool {
	for ; n != nil; n = n.outer {
		if n.name == name {
			return true
		}
	}
	return false
}

// itemsOf returns the items that a name of an item stands for, or nil.
func (c view) itemsOf(name string) *Value {
	if name == "item" {
		return c.items
	}
	for n := c.named; n != nil; n = n.outer {
		if n.name == name {
			return n.items
		}
	}
	return nil
}

func (p *reader) newScope(params []Param) *scope {
	s := &scope{
		params:    make(map[string]string, len(params)),
		env:       map[string]struct{}{},
		home:      map[string]*level{},
		names:     map[string][]string{},
		suggester: &p.suggester,
	}
	for _, param := range params {
		s.params[param.Name] = param.Type
		s.names["params"] = append(s.names["params"], param.Name)
	}
	for _, name := range append([]string{"CI", "USER"}, p.loader.opts.AllowEnv...) {
		s.env[name] = struct{}{}
		s.names["env"] = append(s.names["env"], name)
	}
	s.names["run"] = []string{"id"}
	s.names["loop"] = []string{"index", "previous", "state"}
	return s
}

// scopeOf returns the scope of another file: its parameters and steps.
func (p *reader) scopeOf(w *Workflow) *scope {
	if s := p.inner[w]; s != nil {
		return s
	}
	s := p.newScope(w.Params)
	s.sandbox, s.done, s.vars = p.scope.sandbox, p.scope.done, make(map[string]varOf, len(w.Vars))
	for i, v := range w.Vars {
		s.vars[v.Name] = varOf{i, v.Value.typ()}
		s.names["vars"] = append(s.names["vars"], v.Name)
	}
	s.names["steps"] = sortedKeys(w.index)
	for _, names := range s.names {
		slices.Sort(names)
	}
	if p.inner == nil {
		p.inner = map[*Workflow]*scope{}
	}
	p.inner[w] = s
	return s
}

// allSteps records the level of each step in the scope.
func (p *reader) allSteps(l *level) {
	for _, d := range l.drafts {
		if d.ID != "" && !d.twin {
			p.scope.home[d.ID] = l
			p.scope.names["steps"] = append(p.scope.names["steps"], d.ID)
		}
		if d.body != nil {
			p.allSteps(d.body)
		}
	}
	if l.owner == nil {
		for _, names := range p.scope.names {
			slices.Sort(names)
		}
	}
}

// known reports whether root.name exists.
func (c view) known(root, name string) bool {
	ok := false
	switch root {
	case "params":
		_, ok = c.params[name]
	case "vars":
		var v varOf
		v, ok = c.vars[name]
		ok = ok && (c.computing == 0 || v.at < c.computing-1)
	case "steps":
		ok = c.computing == 0 && (c.home[name] != nil || c.foreign(name))
	case "env":
		_, ok = c.env[name]
	case "run":
		ok = name == "id"
	case "loop":
		ok = c.loop != nil && (name == "index" || name == "previous")
	case loopState:
		ok = c.loop != nil && slices.Contains(c.loop.states, name)
	case previous:
		ok = c.loop != nil && c.loop.leaves(name, c.home)
	}
	return ok
}

// foreign reports whether the name is that of a step of another file. An
// expression sees such steps if it reads the result of that file.
func (c view) foreign(name string) bool {
	return c.result != nil && c.result.Workflow != "" && c.result.Body != nil && len(c.home) == 0 && c.result.Body.index[name] != nil
}

// leaves reports whether an iteration of d produces a result with that id: that
// of d itself or of a step in its body.
func (d *draft) leaves(id string, home map[string]*level) bool {
	return id != "" && (d.ID == id || d.body != nil && home[id] == d.body)
}

// namesOf returns the names that may follow a root, sorted.
func (c view) namesOf(root string) []string {
	if root == loopState && c.loop != nil {
		return c.loop.states
	}
	if root != previous || c.loop == nil {
		return c.names[root]
	}
	d := c.loop
	if d.left == nil {
		d.left = []string{d.ID}
		if d.body != nil {
			for _, inner := range d.body.drafts {
				d.left = append(d.left, inner.ID)
			}
		}
		slices.Sort(d.left)
	}
	return d.left
}

// waiter returns the step that must wait if d uses the result of the step id: d
// itself, or the enclosing step on the level of id. It returns nil if no step
// waits, with a reason if the result cannot be used at all.
func (c view) waiter(d *draft, id string) (waiter *draft, why string) {
	home := c.home[id]
	at := d
	if d != nil && c.level == d.body { // it reads the results of its own steps
		at = nil
	}
	for l := c.level; ; l = at.level {
		if l == home {
			break
		}
		if at = l.owner; at == nil {
			return nil, "step " + quote(id) + " is inside step " + quote(home.owner.ID) + "; its result is only known there"
		}
	}
	switch {
	case at == nil || at.ID != id:
		return at, ""
	case at == d && c.result == d:
		return nil, "" // evaluated after the iteration
	case at != d:
		return nil, "step " + quote(id) + " has no result while its own steps run"
	}
	return nil, "step " + quote(id) + " uses its own result"
}

func (c view) hintFor(d *draft, id string) string {
	home := c.home[id]
	switch {
	case c.loop != nil && c.loop.leaves(id, c.home):
		return "use loop.previous." + id + " for the result of the previous iteration"
	case home.owner != nil && (d == nil || home != d.body) && !c.sees(home):
		return "use steps." + home.owner.ID + ".output, and give that step an output"
	}
	return ""
}

// sees reports whether the steps of l are on the level of the expression or on
// an enclosing one.
func (c view) sees(l *level) bool {
	for at := c.level; at != nil; at = at.owner.level {
		if at == l {
			return true
		}
		if at.owner == nil {
			break
		}
	}
	return false
}

// shareEnv sets the variables of the file on its nested steps.
func shareEnv(steps []*Step, env []string) {
	for _, s := range steps {
		if s.Body != nil && s.Workflow == "" {
			s.Body.env = env
			shareEnv(s.Body.Steps, env)
		}
	}
}

// envNames lists the variables used in any expression of the file and of those
// below it, sorted.
func (p *reader) envNames() []string {
	var names []string
	for _, e := range p.scope.done {
		for _, r := range e.refs {
			if r.root == "env" {
				names = append(names, r.name)
			}
		}
	}
	for _, w := range p.below {
		names = append(names, w.env...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
