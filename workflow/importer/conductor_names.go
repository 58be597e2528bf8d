package importer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// viewpoint is where an expression stands: in a unit of a level, or where all units of the
// level have ended.
type viewpoint struct {
	level *flowLevel
	unit  *flowUnit // nil: all have ended
	own   *flowNode // what "output" means in a condition; nil: nothing
	flat  bool      // names of fields stand for themselves
	item  string    // in a for-each: the name of the item in the file
	named string    // and in ours
}

// names returns what resolves names at a viewpoint.
func (c *conductor) names(v viewpoint) names {
	return func(path []string) (term, int, error) { return c.resolve(v, path) }
}

func (c *conductor) resolve(v viewpoint, path []string) (term, int, error) {
	at := func(i int) string {
		if i < len(path) {
			return path[i]
		}
		return ""
	}
	switch {
	case v.item != "" && path[0] == v.item:
		return term{source: v.named, atom: true}, 1, nil
	case path[0] == "_index" || path[0] == "_key":
		return term{}, 0, fmt.Errorf("%s has no counterpart", path[0])
	case path[0] == "workflow" && at(1) == "input" && len(path) == 2:
		return term{}, 0, errors.New("all inputs as one value have no counterpart")
	case path[0] == "workflow" && at(1) == "input":
		if t, ok := c.params[at(2)]; ok {
			return t, 3, nil
		}
		return term{source: "nil", maybe: true, defined: "false", atom: true}, 3, nil
	case path[0] == "workflow" && (at(1) == "name" || at(1) == "description"):
		return term{source: quoted(str(get(c.doc, "workflow"), path[1])), kind: kindString, atom: true}, 2, nil
	case path[0] == "context" && at(1) == "iteration" && v.level.inLoop():
		return term{source: "loop.index", kind: kindNumber, atom: true}, 2, nil
	case path[0] == "context" && at(1) == "iteration":
		if u := v.loop(); u != nil {
			source := "steps." + u.id() + "?.json?.iterations"
			if v.unit != nil && v.unit.sure[u] && !v.unit.joins() {
				source = "steps." + u.id() + ".json?.iterations"
			}
			return term{source: source, kind: kindNumber, atom: true, maybe: true}, 2, nil
		}
	case path[0] == "output" && v.own != nil:
		t, used, err := c.result(v, v.own, path[1:])
		return t, used + 1, err
	case v.flat && v.own != nil && c.nodes[path[0]] == nil:
		t, used, err := c.result(v, v.own, path)
		return t, used, err
	}
	f := c.nodes[path[0]]
	if f == nil {
		return term{}, 0, fmt.Errorf("there is no %s", path[0])
	}
	switch at(1) {
	case "output", "outputs":
		t, used, err := c.result(v, f, path[2:])
		return t, used + 2, err
	case "count":
		t, _, err := c.result(v, f, nil)
		return term{source: "len(" + t.or("[]").source + ")", kind: kindNumber, atom: true}, 2, err
	case "errors":
		return term{source: "nil", maybe: true, defined: "false", atom: true}, 2, nil
	case "":
		t, _, err := c.result(v, f, nil)
		return t, 1, err
	}
	return term{}, 0, fmt.Errorf("%s.%s has no counterpart", path[0], path[1])
}

// loop returns the loop whose iterations are meant at a viewpoint outside of
// loops: that of the node whose output is looked at, else the first one.
func (v viewpoint) loop() *flowUnit {
	for _, u := range v.level.units {
		if u.inner != nil && (v.own == nil || u.inner.contains(v.own)) {
			return u
		}
	}
	return nil
}

func (l *flowLevel) inLoop() bool { return l != nil && (l.loop || l.parent.inLoop()) }

// reach says how the result of a node is read from a viewpoint.
type reach struct {
	prefix string // "steps.ID" or "loop.previous.ID", of the unit at the common level
	inside bool   // the node is within that unit, whose JSON has its result by name
	maybe  bool   // it may not have run
	never  bool   // it has not run by then
}

// reach finds out how a node is reached.
func (c *conductor) reach(v viewpoint, f *flowNode) (reach, error) {
	if f.level == nil {
		return reach{never: true}, nil
	}
	// The lowest level that both are in, and the units of it that they are in.
	for l := f.level; l != nil; l = l.parent {
		within := v.unit
		for own := v.level; own != nil; own = own.parent {
			if own == l {
				return c.reachIn(v, l, l.around(f), within, f)
			}
			if own.parent != nil {
				within = own.parent.unitOf(own)
			}
		}
	}
	return reach{never: true}, nil
}

func (c *conductor) reachIn(v viewpoint, l *flowLevel, target, within *flowUnit, f *flowNode) (reach, error) {
	if target == nil {
		return reach{never: true}, nil
	}
	inside := target.node != f || target.inner != nil
	switch {
	case within == nil:
		return reach{prefix: "steps." + target.id(), inside: inside, maybe: true}, nil
	case target != within && within.after[target]:
		return reach{prefix: "steps." + target.id(), inside: inside, maybe: !within.sure[target] || within.joins()}, nil
	case !l.loop:
		return reach{never: true}, nil
	}
	for vl := v.level; vl != l; vl = vl.parent {
		if vl.loop {
			return reach{}, fmt.Errorf("%s of an earlier iteration of the outer loop has no counterpart", f.name)
		}
	}
	return reach{prefix: "loop.previous." + target.id(), inside: inside, maybe: true}, nil
}

// joins reports whether a unit is reached from several others, of which not all need have
// run.
func (u *flowUnit) joins() bool {
	return slices.ContainsFunc(u.in, func(e flowEdge) bool {
		return u.level.around(e.from) != u.level.around(u.in[0].from)
	})
}

// around returns the unit of the level that the node is in.
func (l *flowLevel) around(f *flowNode) *flowUnit {
	for _, u := range l.units {
		switch {
		case u.inner == nil && u.node == f, u.inner != nil && u.inner.contains(f), u.node.members != nil && u.node.members.nodes[f]:
			return u
		}
	}
	return nil
}

// contains reports whether a node is in the level or one within it.
func (l *flowLevel) contains(f *flowNode) bool { return l.around(f) != nil }

// unitOf returns the unit that a level within l belongs to.
func (l *flowLevel) unitOf(inner *flowLevel) *flowUnit {
	for _, u := range l.units {
		if u.inner == inner || u.node.members == inner {
			return u
		}
	}
	return nil
}

// result returns the result of a node, or the part of it that the path begins with, as
// seen from a viewpoint. It returns how much of the path that is.
func (c *conductor) result(v viewpoint, f *flowNode, path []string) (term, int, error) {
	r, err := c.reach(v, f)
	switch {
	case err != nil:
		return term{}, 0, err
	case r.never || f.kind == nodeTerminate: // after that nothing reads it
		return term{source: "nil", maybe: true, defined: "false", atom: true}, len(path), nil
	case r.inside:
		return c.nested(r, f, path)
	}
	now := strings.HasPrefix(r.prefix, "steps.")
	status := r.prefix + ".status"
	output := term{source: r.prefix + ".output", kind: kindString, atom: true}
	json := term{source: r.prefix + ".json", atom: true, maybe: r.maybe || f.kind == nodeScript}
	if now && json.maybe {
		status, json.source = r.prefix+"?.status", r.prefix+"?.json"
	}
	if now && r.maybe {
		output.source, output.maybe = r.prefix+"?.output", true
	}
	if r.maybe {
		output.defined = status + ` == "completed"`
		json.defined = output.defined
	}
	whole := func(t term) (term, int, error) { return t, 0, nil }
	field := func(t term, kind termKind) (term, int, error) {
		if len(path) == 0 {
			return t, 0, nil
		}
		p, err := t.part(path[0])
		p.kind = kind
		if t.maybe {
			p.defined = "(" + p.source + " ?? nil) != nil"
		}
		return p, 1, err
	}
	fields := f.fieldsOf()
	switch f.kind {
	case nodeForEach:
		json.kind = kindList
		return whole(json)
	case nodeParallel:
		return field(json, kindAny)
	case nodeScript:
		if fields != nil && len(path) > 0 && get(fields, path[0]) != nil {
			return field(json, fieldKind(fields, path[0]))
		}
		return c.scriptPart(path, r.prefix, status, output, now)
	case nodeGate:
		switch {
		case len(path) > 0 && path[0] == "selected" && !f.asksFields():
			return output, 1, nil
		case len(path) == 0 || path[0] == "selected":
			return field(json, kindString)
		case path[0] == "additional_input" && len(path) > 1:
			json.maybe = true
			t, err := json.part(nameOf(path[1]))
			return t, 2, err
		}
		return term{}, 0, fmt.Errorf("%s of a gate has no counterpart", path[0])
	case nodeSet:
		return field(json, kindAny)
	case nodeAgent:
		if fields != nil {
			if len(path) > 0 && get(fields, path[0]) == nil {
				return term{}, 0, fmt.Errorf("the output of %s has no field %s", f.name, path[0])
			}
			if len(path) > 0 {
				return field(json, fieldKind(fields, path[0]))
			}
			return whole(json)
		}
		if len(path) > 0 && (path[0] == "result" || path[0] == "text") {
			return output, 1, nil
		}
		if len(path) > 0 {
			return term{}, 0, fmt.Errorf("the output of %s has no fields", f.name)
		}
	}
	if len(path) > 0 {
		return term{}, 0, fmt.Errorf("the output of %s has no field %s", f.name, path[0])
	}
	return whole(output)
}

func (c *conductor) scriptPart(path []string, prefix, status string, output term, now bool) (term, int, error) {
	if len(path) == 0 {
		return output, 0, nil
	}
	switch path[0] {
	case "stdout":
		return output, 1, nil
	case "stderr":
		if now {
			return term{source: prefix + ".error", kind: kindString, atom: true}, 1, nil
		}
	case "exit_code":
		return term{source: "(" + status + ` == "completed" ? 0 : 1)`, kind: kindNumber, atom: true}, 1, nil
	}
	return term{}, 0, fmt.Errorf("%s of a script has no counterpart", path[0])
}

// nested returns a part of the result of a node that is within a unit, whose JSON has the
// results of all its nodes by their ids.
func (c *conductor) nested(r reach, f *flowNode, path []string) (term, int, error) {
	source := r.prefix + ".json"
	if r.maybe && strings.HasPrefix(r.prefix, "steps.") {
		source = r.prefix + "?.json"
	}
	t := term{source: source + "?." + f.key, atom: true, maybe: true}
	t.defined = "(" + t.source + " ?? nil) != nil"
	if f.kind == nodeForEach {
		t.kind = kindList
	}
	if f.kind == nodeGate && !f.asksFields() && len(path) > 0 {
		t.kind = kindString
		return t, 1, nil
	}
	if f.kind == nodeAgent && f.fieldsOf() == nil {
		t.kind = kindString
		if len(path) > 0 && (path[0] == "result" || path[0] == "text") {
			return t, 1, nil
		}
		return t, 0, nil
	}
	if len(path) == 0 {
		return t, 0, nil
	}
	if f.kind == nodeGate && path[0] == "additional_input" && len(path) > 1 {
		p, err := t.part(nameOf(path[1]))
		return p, 2, err
	}
	p, err := t.part(path[0])
	p.kind = fieldKind(f.fieldsOf(), path[0])
	p.defined = "(" + p.source + " ?? nil) != nil"
	return p, 1, err
}

// export returns the value by which a node stands in the JSON of the step around it.
func (c *conductor) export(f *flowNode) string {
	id := "steps." + f.id
	switch {
	case f.kind == nodeTerminate:
		return "nil"
	case f.kind == nodeScript && f.fieldsOf() == nil:
		return `(` + id + `?.status in ["completed", "failed"] ? {"stdout": ` + id + `?.output ?? "", "stderr": ` + id + `.error, "exit_code": ` + id + `?.status == "completed" ? 0 : 1} : nil)`
	case f.kind == nodeAgent && f.fieldsOf() == nil, f.kind == nodeGate && !f.asksFields(), f.kind == nodeWait:
		return id + "?.output ?? nil"
	}
	return id + "?.json ?? nil"
}

// exports returns the JSON with the results of all nodes of a level.
func (c *conductor) exports(l *flowLevel) string {
	var parts []string
	if l.loop {
		parts = append(parts, "iterations: loop.index")
	}
	for _, u := range l.units {
		if u.inner == nil {
			parts = append(parts, u.node.key+": "+c.export(u.node))
		}
		if inner := u.deeper(); inner != nil {
			for _, f := range inner.all() {
				parts = append(parts, f.key+": steps."+u.id()+"?.json?."+f.key+" ?? nil")
			}
		}
	}
	return "{" + strings.Join(parts, ",\n  ") + "}"
}

// deeper returns the level within a unit, or nil.
func (u *flowUnit) deeper() *flowLevel {
	if u.inner != nil {
		return u.inner
	}
	return u.node.members
}

// all returns the nodes of a level and of those within it.
func (l *flowLevel) all() []*flowNode {
	var all []*flowNode
	for _, u := range l.units {
		if u.inner == nil {
			all = append(all, u.node)
		}
		if inner := u.deeper(); inner != nil {
			all = append(all, inner.all()...)
		}
	}
	return all
}

// fieldKind returns the type of a field of an output.
func fieldKind(fields *yaml.Node, name string) termKind {
	n := get(fields, name)
	if n == nil || str(n, "nullable") == "true" {
		return kindAny
	}
	switch kind := termKind(str(n, "type")); kind {
	case kindBool, kindString, kindNumber, kindList:
		return kind
	}
	return kindAny
}
