package workflow

import (
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

const maxIterations = 1000

// condition reads a boolean expression, with or without ${{ }}.
func (p *reader) condition(d *draft, v view, n *yaml.Node, key string) *Value {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		return &Value{source: n.Value, fixed: strings.EqualFold(n.Value, "true")}
	}
	before := p.failures
	source := p.text(n, key)
	if p.failures > before {
		return nil
	}
	if strings.TrimSpace(source) == "" {
		p.fail(n, nil, "", "%s is empty", key)
		return nil
	}
	expr, at := source, 0
	switch parts, unclosed := cut(source); {
	case unclosed >= 0:
		p.unclosed(n, unclosed)
		return nil
	case !hasExpression(parts):
	default:
		one, ok := single(parts)
		if !ok {
			p.fail(n, ErrExpression, "write one ${{ ... }} and nothing else", "%s must be one expression", key)
			return nil
		}
		expr, at = one.expr.source, one.at
	}
	val := &Value{source: source, expr: p.expression(d, v, n, expr, at)}
	if typ := val.typ(); typ != "" && typ != "boolean" {
		p.fail(n, ErrExpression, "compare it with something", "%s must be true or false, not of type %s", key, typ)
	}
	return val
}

// onFailure reads a word, "fallback: STEP" or {fallback: STEP}.
func (p *reader) onFailure(d *draft) {
	n := d.fields.given("on_failure")
	d.instead = n
	switch {
	case n == nil:
		return
	case n.Kind == yaml.MappingNode:
		f, ok := p.fields(n, "on_failure", failureKeys)
		if !ok {
			return
		}
		to := f.given("fallback")
		if to == nil {
			p.fail(n, nil, "write on_failure: {fallback: STEP}", "on_failure names no fallback")
			return
		}
		d.Fallback, d.instead = p.plain(to, "fallback"), to
	default:
		if n.Tag == "!!str" {
			if to, ok := strings.CutPrefix(strings.TrimSpace(n.Value), "fallback:"); ok && strings.TrimSpace(to) != "" {
				d.Fallback = strings.TrimSpace(to)
				break
			}
			if strings.TrimRight(strings.TrimSpace(n.Value), ":") == "fallback" {
				p.fail(n, nil, "write on_failure: {fallback: STEP}", "on_failure names no fallback")
				return
			}
		}
		known := []string{string(OnFailureFail), string(OnFailureContinue), string(OnFailureSkip)}
		d.OnFailure = OnFailure(p.oneOf(n, "on_failure", known))
	}
	if d.Fallback != "" {
		d.OnFailure = OnFailureFallback
	}
}

// join reads how many dependencies a step waits for. Call it after all
// dependencies are known.
func (p *reader) join(d *draft) {
	n := d.fields.given("join")
	p.unusedDefaults(d, n)
	if n == nil {
		return
	}
	const hint = "write all, any, settled, or how many"
	listed, read, _ := d.Waits()
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!int":
		before := p.failures
		if d.Join = p.count(n, "join", 1); p.failures > before {
			return
		}
		p.checkListed(d, n)
		if d.Join > len(listed) && len(listed) > 0 {
			p.fail(n, nil, listThem(read), "join %d is more than the step lists dependencies (%d)", d.Join, len(listed))
		}
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value == "all":
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value == "any":
		d.Join = 1
		p.checkListed(d, n)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value == "settled":
		d.Join = JoinSettled
		p.checkListed(d, n)
	case n.Kind == yaml.ScalarNode:
		p.fail(n, nil, hint, "unknown join %s", quote(n.Value))
	default:
		p.fail(n, nil, hint, "join must be a word or a number, not %s", kindOf(n))
	}
}

// unusedDefaults notes steps that are read where they may be missing, though the step
// does not start without them.
func (p *reader) unusedDefaults(d *draft, join *yaml.Node) {
	listed, _, _ := d.Waits()
	for _, id := range listed {
		of := d.level.find(id)
		if d.waitsOn[id]&waitOptional == 0 || join != nil && join.Value != "all" || of == nil || of.OnFailure == OnFailureContinue {
			continue
		}
		p.note(p.dependencyNode(d, id), "remove it from dependencies, since reading it is waiting for it, or write join: settled",
			"%s reads %s where that may be missing, but is skipped if that does not complete, since it stands under dependencies", d.of(), quote(id))
	}
}

// checkListed reports a join without listed dependencies, and notes steps that it does
// not count because only an expression reads them.
func (p *reader) checkListed(d *draft, n *yaml.Node) {
	listed, read, _ := d.Waits()
	switch {
	case len(listed) == 0:
		p.fail(n, nil, listThem(read), "join counts the steps under dependencies, and %s has none there", d.of())
	case len(read) > 0:
		p.note(n, listThem(read), "%s waits for %s, whose result it reads, whatever join says", d.of(), list(read))
	}
}

// listThem says how to make a join count steps that are read.
func listThem(read []string) string {
	if len(read) == 0 {
		return ""
	}
	return "to count them for join, write them under dependencies too: " + list(read)
}

func (p *reader) foreach(d *draft, v view) {
	n := d.fields.given("foreach")
	product := d.fields.given("matrix") != nil || d.fields.given("samples") != nil
	if n == nil && !product {
		return
	}
	f := &Foreach{}
	if m := d.fields.given("max_parallel"); m != nil {
		f.MaxParallel = p.count(m, "max_parallel", 1)
	}
	if m := d.fields.given("min_success"); m != nil {
		f.MinSuccess = new(p.count(m, "min_success", 0))
	}
	d.Foreach = f
	if product {
		p.matrix(d, v)
		return
	}
	if n.Kind == yaml.MappingNode {
		p.foreachFields(d, v, n)
		return
	}
	p.itemsOrGlob(d, v, n)
}

// itemsOrGlob reads what an item is taken from: a list, an expression that gives one, or
// a pattern of files.
func (p *reader) itemsOrGlob(d *draft, v view, n *yaml.Node) {
	f := d.Foreach
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		parts, unclosed := cut(n.Value)
		if _, one := single(parts); one || unclosed >= 0 {
			p.items(d, v, n)
		} else if t := p.template(d, v, n, "foreach"); t != nil {
			p.paths(n, t, "foreach")
			f.Glob = []*Template{t}
		}
	default:
		p.items(d, v, n)
	}
}

func (p *reader) foreachFields(d *draft, v view, n *yaml.Node) {
	fields, ok := p.fields(n, "foreach", foreachKeys)
	if !ok {
		return
	}
	if name := fields.given("item"); name != nil {
		p.itemName(d, v, name)
	}
	items, glob, in := fields.given("items"), fields.given("glob"), fields.given("in")
	switch {
	case in != nil && (items != nil || glob != nil):
		p.fail(n, nil, "", "foreach has both in and %s", map[bool]string{true: "items", false: "glob"}[items != nil])
	case in != nil:
		p.itemsOrGlob(d, v, in)
	case items != nil && glob != nil:
		p.fail(n, nil, "", "foreach has both items and glob")
	case items != nil:
		p.items(d, v, items)
	case glob == nil:
		p.fail(n, nil, "write foreach: {items: [...]} or foreach: {glob: ...}", "foreach has neither items nor glob nor in")
	case glob.Kind == yaml.SequenceNode && len(glob.Content) == 0:
		p.fail(glob, nil, "", "glob is empty")
	case glob.Kind == yaml.SequenceNode:
		d.Foreach.Glob = p.templates(d, v, glob, "an entry of glob")
	default:
		if t := p.template(d, v, glob, "glob"); t != nil {
			p.paths(glob, t, "glob")
			d.Foreach.Glob = []*Template{t}
		}
	}
}

// itemName reads the name of an item.
func (p *reader) itemName(d *draft, v view, n *yaml.Node) {
	before := p.failures
	name := p.plain(n, "item")
	switch {
	case p.failures > before:
	case !validID(name) || strings.Contains(name, "-"):
		p.fail(n, nil, "use letters, digits and _, and begin with a letter", "bad name of an item %s", quote(name))
	case isRoot(name) || p.scope.sandbox.defines(name) || allowedBuiltins[name] || slices.Contains(reserved, name):
		p.fail(n, nil, "choose another name", "an item cannot be called %s, which expressions have a meaning for", quote(name))
	case v.named.has(name):
		p.fail(n, nil, "choose another name", "the item of a step around %s is called %s already", d.of(), quote(name))
	default:
		d.Foreach.Name = name
	}
}

// reserved are the words of the expression language, which name nothing.
var reserved = []string{"true", "false", "nil", "not", "and", "or", "in", "let", "if", "else", "matches", "contains", "startsWith", "endsWith", "map", "filter", "all", "any", "one", "none", "count", "reduce", "now", "date", "get", "sum", "find", "groupBy", "sortBy"}

// items reads a list, or an expression that evaluates to one.
func (p *reader) items(d *draft, v view, n *yaml.Node) {
	const hint = "write a list, a pattern of files, or one ${{ expression }} that gives a list"
	if n.Kind == yaml.ScalarNode {
		parts, unclosed := cut(n.Value)
		if _, one := single(parts); n.Tag != "!!str" || !one && unclosed < 0 {
			p.fail(n, nil, hint, "foreach needs items, not %s", kindOf(n))
			return
		}
	}
	if n.Kind == yaml.MappingNode {
		p.fail(n, nil, hint, "items must be a list, not a mapping")
		return
	}
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		p.fail(n, nil, "", "foreach has no items")
		return
	}
	d.Foreach.Items = p.valueOf(d, v, n, "foreach")
	if val := d.Foreach.Items; val != nil {
		if list, ok := val.fixed.([]any); ok && slices.Contains(list, nil) {
			p.fail(n, nil, `put ~ and null in quotes if they are texts`, "an item of foreach is empty")
		}
		if typ := val.typ(); typ != "" && typ != "array" && typ != "string" {
			p.fail(n, ErrExpression, "", "foreach needs a list, and the expression is of type %s", typ)
		}
	}
}

func (p *reader) loop(d *draft, outer, v view) {
	n := d.fields.given("loop")
	if n == nil {
		return
	}
	for _, key := range []string{"foreach", "matrix", "samples"} {
		if d.fields.given(key) != nil {
			p.fail(n, nil, "put one of them on a step around the other, with steps", "%s has both %s and loop", d.of(), key)
		}
	}
	f, ok := p.fields(n, "loop", loopKeys)
	if !ok {
		return
	}
	d.Loop = &Loop{}
	switch m := f.given("max"); {
	case m == nil:
		p.fail(n, nil, "a loop needs a bound, such as max: 3", "loop has no max")
	default:
		if d.Loop.Max = p.count(m, "max", 1); d.Loop.Max > maxIterations {
			p.fail(m, nil, "", "max must be at most %d, not %d", maxIterations, d.Loop.Max)
		}
	}
	if c := f.given("cache"); c != nil {
		if c.Kind != yaml.ScalarNode || c.Value != "true" && c.Value != "false" {
			p.fail(c, nil, "write cache: true", "cache must be true or false")
		}
		d.Loop.Cache = c.Value == "true"
	}
	v.result = d
	if d.body != nil {
		v.level = d.body
	}
	if s := f.given("state"); s != nil {
		p.loopState(d, outer, v, s)
	}
	if u := f.given("until"); u != nil {
		d.Loop.Until = p.condition(d, v, u, "until")
	}
}
