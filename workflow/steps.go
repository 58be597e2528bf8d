package workflow

import (
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// draft is a step while its file is being read.
type draft struct {
	*Step
	node   *yaml.Node
	fields fields
	twin   bool // its id belongs to an earlier step
}

// steps reads the steps: first all ids, since expressions and dependencies may
// point forward, then everything else.
func (p *reader) steps(w *Workflow, root, n *yaml.Node) {
	const hint = "write steps as a list of {id, agent, task}"
	switch {
	case n == nil:
		p.fail(root, nil, hint, "steps is missing")
		return
	case isNull(n):
		p.fail(n, nil, hint, "steps is empty")
		return
	case n.Kind != yaml.SequenceNode:
		p.fail(n, nil, hint, "steps must be a list, not %s", kindOf(n))
		return
	case len(n.Content) == 0:
		p.fail(n, nil, hint, "steps is empty")
		return
	}
	drafts, ids := p.drafts(n)
	p.newScope(w.Params, ids)
	w.index = make(map[string]*Step, len(drafts))
	for i := range drafts {
		d := &drafts[i]
		p.step(d, w.Defaults, ids)
		if d.ID != "" && !d.twin {
			w.index[d.ID] = d.Step
		}
		w.Steps = append(w.Steps, d.Step)
	}
	p.cycles(drafts)
	w.env = p.envNames()
}

func (p *reader) drafts(n *yaml.Node) ([]draft, map[string]*yaml.Node) {
	drafts := make([]draft, 0, len(n.Content))
	ids := make(map[string]*yaml.Node, len(n.Content))
	for _, c := range n.Content {
		// A step behind an alias is reported where it was written.
		f, ok := p.fields(c, "a step", stepKeys)
		if !ok {
			continue
		}
		at := follow(c)
		d := draft{Step: &Step{Line: at.Line, Column: at.Column}, node: at, fields: f}
		id := f.get("id")
		switch {
		case id == nil || isNull(id):
			p.fail(at, nil, "", "the step has no id")
		default:
			before := p.failures
			d.ID = p.text(id, "id")
			if p.failures == before && !validID(d.ID) {
				p.fail(id, nil, "use letters, digits, - and _, and begin with a letter", "bad step id %s", quote(d.ID))
			}
		}
		if first, ok := ids[d.ID]; d.ID != "" && ok {
			d.twin = true
			p.fail(id, ErrDuplicateID, "", "step id %s is taken by the step in line %d", quote(d.ID), first.Line)
		} else if d.ID != "" {
			ids[d.ID] = id
		}
		drafts = append(drafts, d)
	}
	return drafts, ids
}

func validID(s string) bool {
	for i := range len(s) {
		if !isIDByte(s[i], i) {
			return false
		}
	}
	return s != ""
}

func (p *reader) newScope(params []Param, ids map[string]*yaml.Node) {
	s := &scope{
		params:    make(map[string]string, len(params)),
		steps:     make(map[string]struct{}, len(ids)),
		env:       map[string]struct{}{},
		names:     map[string][]string{},
		suggester: &p.suggester,
		sandbox:   newSandbox(),
		done:      map[string]*expression{},
	}
	for _, param := range params {
		s.params[param.Name] = param.Type
		s.names["params"] = append(s.names["params"], param.Name)
	}
	for id := range ids {
		s.steps[id] = struct{}{}
		s.names["steps"] = append(s.names["steps"], id)
	}
	for _, name := range append([]string{"CI", "USER"}, p.opts.AllowEnv...) {
		s.env[name] = struct{}{}
		s.names["env"] = append(s.names["env"], name)
	}
	s.names["run"] = []string{"id"}
	for _, names := range s.names {
		slices.Sort(names)
	}
	p.scope = s
}

// step reads all of a step but its id.
func (p *reader) step(d *draft, defaults Defaults, ids map[string]*yaml.Node) {
	// A step of a kind that is not supported yet may well have no agent.
	other := slices.Contains(d.fields.later, "workflow") || slices.Contains(d.fields.later, "approval")
	of := "the step"
	if d.ID != "" {
		of = "step " + quote(d.ID)
	}
	if n := d.fields.get("agent"); n != nil && !isNull(n) {
		if d.Agent = p.plain(n, "agent"); d.Agent != "" {
			p.checkAgent(n, d.Agent)
		}
	} else if !other {
		p.fail(d.node, nil, "", "%s has no agent", of)
	}
	own := p.settings(d.fields, defaults)
	d.Model, d.Timeout, d.Retry, d.MaxTokens = own.Model, own.Timeout, own.Retry, own.MaxTokens

	p.dependencies(d, ids)
	switch n := d.fields.get("task"); {
	case n == nil || isNull(n):
		if !other {
			p.fail(d.node, nil, "", "%s has no task", of)
		}
	default:
		d.Task = p.template(d, n, "task")
	}
	switch n := d.fields.get("files"); {
	case n == nil || isNull(n):
	case n.Kind != yaml.SequenceNode:
		p.fail(n, nil, "write files: [...]", "files must be a list of texts, not %s", kindOf(n))
	default:
		for _, c := range n.Content {
			if t := p.template(d, follow(c), "an entry of files"); t != nil {
				d.Files = append(d.Files, t)
			}
		}
	}
	p.imply(d)
}

func (p *reader) checkAgent(n *yaml.Node, name string) {
	if p.opts.CheckAgent == nil {
		return
	}
	err, ok := p.agents[name]
	if !ok {
		err = p.opts.CheckAgent(name)
		p.agents[name] = err
	}
	if err != nil {
		p.fail(n, fmt.Errorf("%w: %w", ErrUnknownAgent, err), "", "%s", err)
	}
}

func (p *reader) dependencies(d *draft, ids map[string]*yaml.Node) {
	n := d.fields.get("dependencies")
	switch {
	case n == nil || isNull(n):
		return
	case n.Kind != yaml.SequenceNode:
		p.fail(n, nil, "write dependencies: [...]", "dependencies must be a list of step ids, not %s", kindOf(n))
		return
	}
	seen := make(map[string]bool, len(n.Content))
	for _, c := range n.Content {
		c = follow(c)
		before := p.failures
		id := p.text(c, "a dependency")
		switch {
		case p.failures > before || seen[id]:
			continue
		case id == d.ID && id != "":
			p.fail(c, ErrCycle, "", "step %s depends on itself", quote(id))
		case ids[id] == nil || id == "":
			p.fail(c, ErrUnknownDependency, p.suggester.didYouMean(id, p.scope.names["steps"]), "unknown dependency %s", quote(id))
		default:
			d.Dependencies = append(d.Dependencies, id)
		}
		seen[id] = true
	}
}

// imply adds the steps whose results d uses to its dependencies.
func (p *reader) imply(d *draft) {
	seen := make(map[string]bool, len(d.Dependencies))
	for _, id := range d.Dependencies {
		seen[id] = true
	}
	for _, t := range append([]*Template{d.Task}, d.Files...) {
		for r := range t.refs {
			if r.root == "steps" && r.name != d.ID && !seen[r.name] {
				seen[r.name] = true
				d.Dependencies = append(d.Dependencies, r.name)
			}
		}
	}
}

// template reads a text with expressions and reports what is wrong with them.
// It returns nil when n is not a text.
func (p *reader) template(d *draft, n *yaml.Node, what string) *Template {
	before := p.failures
	source := p.text(n, what)
	if p.failures > before {
		return nil
	}
	if strings.TrimSpace(source) == "" {
		p.fail(n, nil, "", "%s is empty", what)
		return nil
	}
	parts, unclosed := cut(source)
	t := &Template{source: source, parts: parts}
	fail := func(at int, err error, message, hint string) {
		line, column := p.src.inside(n, at)
		p.add(&Error{Line: line, Column: column, Message: message, Hint: hint, Err: err})
	}
	if unclosed >= 0 {
		fail(unclosed, ErrExpression, "${{ is never closed", "end the expression with }}, or write $${{ for the characters themselves")
	}
	exprs := 0
	for i := range parts {
		part := &parts[i]
		if part.expr == nil {
			continue
		}
		if exprs++; exprs > maxExprsPerText {
			fail(part.at, ErrExpression, fmt.Sprintf("%s has more than %d expressions", what, maxExprsPerText), "")
			return t
		}
		part.expr = p.scope.compile(part.expr.source)
		for _, e := range part.expr.errs {
			if strings.HasPrefix(e.message, "item ") && slices.Contains(d.fields.later, "foreach") {
				continue // said once, at foreach
			}
			at := e.at
			if at == 0 { // begin at the first character that is not blank
				at = skipBlanks(part.expr.source, 0)
			}
			fail(part.at+at, ErrExpression, e.message, e.hint)
		}
		for _, r := range part.expr.refs {
			if r.root == "steps" && r.name == d.ID {
				fail(part.at+r.at, ErrCycle, fmt.Sprintf("step %s uses its own result", quote(d.ID)), "")
				break
			}
		}
	}
	return t
}

// envNames lists the variables used in any expression, sorted.
func (p *reader) envNames() []string {
	var names []string
	for _, e := range p.scope.done {
		for _, r := range e.refs {
			if r.root == "env" {
				names = append(names, r.name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
