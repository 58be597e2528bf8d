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
	node    *yaml.Node
	fields  fields
	twin    bool                // its id belongs to an earlier step
	level   *level              // the list it stands in
	body    *level              // steps of its own, or nil
	waitsOn map[string]waitKind // how it waits for the ids in Dependencies
	instead *yaml.Node          // where its fallback is named
	states  []string            // names of what its loop keeps
	left    []string            // ids of the results of an iteration; set on first use

	chooses   bool   // it runs one of several workflows; see alternatives
	resolved  bool   // its continue is resolved
	continues *draft // the step whose conversation it continues; nil if none
	root      *draft // the step that began that conversation; nil if none
}

// drafts reads the ids of a list of steps and of the lists within them, since
// expressions and dependencies may refer to later steps. It returns nil if there
// is no list.
func (p *reader) drafts(owner *draft, around, n *yaml.Node) *level {
	const hint = "write steps as a list of {id, agent, task}"
	switch {
	case n == nil:
		p.fail(around, nil, hint, "steps is missing")
		return nil
	case isNull(n):
		p.fail(n, nil, hint, "steps is empty")
		return nil
	case n.Kind != yaml.SequenceNode:
		p.fail(n, nil, hint, "steps must be a list, not %s", kindOf(n))
		return nil
	case len(n.Content) == 0:
		p.fail(n, nil, hint, "steps is empty")
		return nil
	}
	l := &level{owner: owner, drafts: make([]*draft, 0, len(n.Content))}
	for _, c := range n.Content {
		// A step behind an alias is reported where it was written.
		f, ok := p.fields(c, "a step", stepKeys)
		if !ok {
			continue
		}
		at := follow(c)
		d := &draft{Step: &Step{Line: at.Line, Column: at.Column}, node: at, fields: f, level: l}
		p.identify(d)
		l.drafts = append(l.drafts, d)
		if n := f.given("workflow"); n != nil && follow(n).Kind == yaml.MappingNode {
			d.fields = p.alternatives(d, follow(n))
		}
		if inner := d.fields.given("steps"); inner != nil {
			d.body = p.drafts(d, at, inner)
		}
	}
	return l
}

func (p *reader) identify(d *draft) {
	id := d.fields.given("id")
	if id == nil {
		p.fail(d.node, nil, "", "the step has no id")
		return
	}
	before := p.failures
	d.ID = p.text(id, "id")
	if p.failures == before && !validID(d.ID) {
		p.fail(id, nil, "use letters, digits, - and _, and begin with a letter", "bad step id %s", quote(d.ID))
	}
	if d.ID == "" {
		return
	}
	if first, ok := p.ids[d.ID]; ok {
		d.twin = true
		p.fail(id, ErrDuplicateID, "", "step id %s is already used in line %d", quote(d.ID), first.Line)
		return
	}
	p.ids[d.ID] = id
}

func validID(s string) bool {
	for i := range len(s) {
		if !isIDByte(s[i], i) {
			return false
		}
	}
	return s != ""
}

// steps reads the steps of the view's level into w.
func (p *reader) steps(w *Workflow, v view, defaults Defaults) {
	drafts := v.level.drafts
	w.index = make(map[string]*Step, len(drafts))
	for _, d := range drafts {
		p.step(d, v, defaults)
		if d.ID != "" && !d.twin {
			w.index[d.ID] = d.Step
		}
		w.Steps = append(w.Steps, d.Step)
	}
	for _, d := range drafts {
		d.sortWaits()
	}
	p.fallbacks(v.level)
	p.exits(v.level)
	for _, d := range drafts {
		p.join(d)
	}
	if v.level.owner == nil {
		p.neverTrue(v.level, v)
	}
	p.cycles(drafts)
}

// of returns the name of a step for messages.
func (d *draft) of() string {
	if d.ID == "" {
		return "the step"
	}
	return "step " + quote(d.ID)
}

// step reads all of a step but its id. The keys that decide whether and how often
// it runs see the names of v; the others also see those of its foreach or loop.
func (p *reader) step(d *draft, v view, defaults Defaults) {
	p.dependencies(d)
	kind := p.kind(d)
	if n := d.fields.given("when"); n != nil {
		d.When = p.condition(d, v, n, "when")
	}
	p.onFailure(d)
	p.foreach(d, v)
	inner := v
	inner.item = v.item || d.Foreach != nil
	if d.Foreach != nil {
		inner.items = d.Foreach.Items
		if d.Foreach.Name != "" {
			inner.named = &named{d.Foreach.Name, d.Foreach.Items, v.named}
		}
	}
	if d.fields.given("loop") != nil {
		inner.loop, d.states = d, d.stateNames()
	}
	switch kind {
	case kindAgent:
		p.agentStep(d, inner, defaults)
	case kindApproval:
		p.approval(d, inner)
	case kindRun:
		p.command(d, inner)
	case kindHTTP:
		p.http(d, inner)
	case kindRead:
		p.read(d, inner)
	case kindWrite:
		p.write(d, inner)
	case kindValue:
		p.computed(d, inner)
	case kindExit:
		p.exit(d, inner)
	case kindWorkflow:
		p.workflowStep(d, inner)
	case kindSteps:
		p.group(d, inner, defaults)
	}
	p.loop(d, v, inner)
	if n := d.fields.given("save"); n != nil {
		inner.loop = v.loop // it is the output of the last iteration
		d.Save = p.save(d, inner, n)
	}
}

func (p *reader) agentStep(d *draft, v view, defaults Defaults) {
	if d.fields.given("continue") == nil || d.fields.given("agent") != nil || d.fields.given("prompt") != nil { // else it is reported
		d.Agent, d.Inline = p.agentOf(d)
	}
	p.goOn(d, v)
	command := p.slashCommand(d)
	p.chosen(d, v, command, defaults)
	p.settingsOf(d, command.over(d.Inline.over(defaults)))
	p.checkThinking(d, d.of())
	if n := d.fields.given("task"); n == nil && d.fields.given("command") == nil {
		hint := ""
		if d.Inline != nil && d.Inline.Name == "" {
			hint = "prompt is the system prompt, who the agent is; write what it is asked under task"
		}
		p.fail(d.node, nil, hint, "%s has no task", d.of())
	} else if n != nil {
		d.Task = p.template(d, v, n, "task")
	}
	if n := d.fields.given("files"); n != nil {
		d.Files = p.filesOf(d, v, n)
	}
	if command != nil {
		p.fillCommand(d, v, command)
	}
	if n := d.fields.given("schema"); n != nil {
		d.Schema = p.outputSchema(n)
	}
	p.place(d, v)
}

// filesOf reads the patterns of the files of a step: a text or a list of texts. A text
// that is one expression may stand for several patterns.
func (p *reader) filesOf(d *draft, v view, n *yaml.Node) []*Value {
	nodes, what := n.Content, "an entry of files"
	switch n.Kind {
	case yaml.SequenceNode:
	case yaml.ScalarNode:
		nodes, what = []*yaml.Node{n}, "files"
	default:
		p.fail(n, nil, "write files: [...]", "files must be a list of texts, not %s", kindOf(n))
		return nil
	}
	var files []*Value
	for _, c := range nodes {
		c = follow(c)
		before := p.failures
		if p.text(c, what); p.failures > before {
			continue
		}
		if strings.TrimSpace(c.Value) == "" {
			p.fail(c, nil, "", "%s is empty", what)
			continue
		}
		f := p.valueOf(d, v, c, what)
		switch {
		case f == nil:
			continue
		case f.text != nil:
			p.paths(c, f.text, what)
		case f.expr != nil && f.expr.typ == "object":
			p.fail(c, ErrExpression, "write ${{ keys(MAPPING) }} or ${{ values(MAPPING) }}", "%s needs a text or a list of texts, and the expression is of type object", what)
		}
		files = append(files, f)
	}
	return files
}

func (p *reader) checkAgent(n *yaml.Node, name string) {
	if p.loader.opts.CheckAgent == nil {
		return
	}
	if err := p.loader.checkAgent(name); err != nil {
		hint := p.suggester.didYouMean(name, sortedKeys(p.inline))
		p.fail(n, fmt.Errorf("%w: %w", ErrUnknownAgent, err), hint, "%s", err)
	}
}

func (p *reader) dependencies(d *draft) {
	n := d.fields.given("dependencies")
	switch {
	case n == nil:
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
		home := p.scope.home[id]
		switch {
		case p.failures > before || seen[id]:
			continue
		case id == d.ID && id != "":
			p.fail(c, ErrCycle, "", "step %s depends on itself", quote(id))
		case home == nil:
			p.fail(c, ErrUnknownDependency, p.suggester.didYouMean(id, p.scope.names["steps"]), "unknown dependency %s", quote(id))
		case home != d.level:
			p.elsewhere(d, c, id, home)
		default:
			d.wait(id, waitListed)
		}
		seen[id] = true
	}
}

// elsewhere reports a dependency on a step of another list.
func (p *reader) elsewhere(d *draft, n *yaml.Node, id string, home *level) {
	if home.owner != nil && !(view{scope: p.scope, level: d.level}).sees(home) {
		p.fail(n, ErrUnknownDependency, "depend on "+quote(home.owner.ID), "dependency %s is inside step %s", quote(id), quote(home.owner.ID))
		return
	}
	owner := d.level.owner
	p.fail(n, ErrUnknownDependency, "let "+owner.of()+" depend on it; expressions inside may use its result",
		"dependency %s is outside of the steps of %s", quote(id), owner.of())
}

// waitKind says for what a step waits for another; a set of flags.
type waitKind int

const (
	waitListed   waitKind = 1 << iota // it is under dependencies
	waitRead                          // its output or json is read
	waitStatus                        // its status is read
	waitError                         // its error is read
	waitOptional                      // its output or json is read where it may be missing
)

// holds returns the one flag that decides when the step starts.
func (k waitKind) holds() waitKind {
	switch {
	case k&waitListed != 0:
		return waitListed
	case k&waitRead != 0, k == waitStatus:
		return waitRead
	case k != 0:
		return waitOptional
	}
	return 0
}

// wait adds a dependency.
func (d *draft) wait(id string, how waitKind) {
	if d.waitsOn == nil {
		d.waitsOn = map[string]waitKind{}
	}
	if d.waitsOn[id] == 0 {
		d.Dependencies = append(d.Dependencies, id)
	}
	d.waitsOn[id] |= how
}

// sortWaits orders the dependencies as [Step.Waits] says, and drops the step that d is
// the fallback of: d runs when that has failed, and may read why.
func (d *draft) sortWaits() {
	byKind := map[waitKind][]string{}
	for _, id := range d.Dependencies {
		how := d.waitsOn[id].holds()
		if of := d.level.find(id); how != waitListed && of != nil && of.Fallback == d.ID {
			continue
		}
		byKind[how] = append(byKind[how], id)
	}
	d.Reads, d.Optional = len(byKind[waitRead]), len(byKind[waitOptional])
	d.Dependencies = slices.Concat(byKind[waitListed], byKind[waitRead], byKind[waitOptional])
}

// fallbacks checks the fallback of each step. No step may depend on a fallback:
// it may never run, and its result becomes that of the step it replaces.
func (p *reader) fallbacks(l *level) {
	instead := map[string]string{}
	for _, d := range l.drafts {
		if d.Fallback == "" {
			continue
		}
		n := d.instead
		home := p.scope.home[d.Fallback]
		switch {
		case d.Fallback == d.ID:
			p.fail(n, ErrCycle, "", "step %s is its own fallback", quote(d.ID))
			d.Fallback = ""
		case home == nil:
			p.fail(n, ErrUnknownDependency, p.suggester.didYouMean(d.Fallback, p.scope.names["steps"]), "unknown fallback %s", quote(d.Fallback))
			d.Fallback = ""
		case home != l:
			p.fail(n, ErrUnknownDependency, "", "fallback %s is not on the same level as step %s", quote(d.Fallback), quote(d.ID))
			d.Fallback = ""
		case instead[d.Fallback] == "":
			instead[d.Fallback] = d.ID
		}
	}
	if len(instead) == 0 {
		return
	}
	for _, d := range l.drafts {
		for _, id := range d.Dependencies {
			if of := instead[id]; of != "" && of != d.ID {
				p.fail(p.dependencyNode(d, id), nil, "depend on "+quote(of)+", whose result it becomes", "%s depends on %s, which is only a fallback", d.of(), quote(id))
			}
		}
	}
}

// dependencyNode returns the node that lists a dependency, or else that of the
// step. It does not search once further errors are only counted.
func (p *reader) dependencyNode(d *draft, id string) *yaml.Node {
	if n := d.fields.given("dependencies"); n != nil && p.failures < maxErrors {
		if i := slices.IndexFunc(n.Content, func(c *yaml.Node) bool { return follow(c).Value == id }); i >= 0 {
			return follow(n.Content[i])
		}
	}
	return d.node
}
