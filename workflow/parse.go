package workflow

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// Options are what a file alone cannot say. The zero value checks everything
// but the names of agents.
type Options struct {
	// CheckAgent returns nil when the agent exists, and otherwise an error whose
	// text becomes the message. It is called once per name. Nil: not checked.
	CheckAgent func(name string) error

	// AllowEnv names environment variables that expressions may read, besides
	// USER and CI.
	AllowEnv []string
}

// reader is the state of one call of Parse.
type reader struct {
	file      string
	src       source
	opts      Options
	errs      Errors
	failures  int // errors found, of which errs holds the first maxErrors
	suggester suggester
	scope     *scope
	agents    map[string]error
}

// maxErrors is more than anyone reads; it bounds what a hostile file can make.
const maxErrors = 1000

// Parse reads a workflow file. The name is only used in messages. When anything
// is wrong it returns nil and an error of type [Errors] with all problems
// (after a thousand, the rest is only counted).
func Parse(file string, data []byte, opts Options) (*Workflow, error) {
	p := &reader{file: file, opts: opts, suggester: suggester{budget: 200_000}, agents: map[string]error{}}
	var w *Workflow
	if root := p.load(data); root != nil {
		w = p.workflow(root)
	}
	if p.failures > 0 {
		p.errs.sort()
		if more := p.failures - len(p.errs); more > 0 {
			p.errs = append(p.errs, &Error{File: file, Message: plural(more, "more problem") + " not shown"})
		}
		return nil, p.errs
	}
	return w, nil
}

func (p *reader) add(e *Error) {
	if p.failures++; p.failures > maxErrors {
		return
	}
	e.File, e.Message, e.Hint = p.file, clean(e.Message), clean(e.Hint) // names from the file may hold anything
	if end := len(p.src.text); e.Line > 1 && e.Line > p.src.lineOf(end) {
		e.Line, e.Column = p.src.position(end) // the loader counts a line more where a file just stops
	}
	p.errs = append(p.errs, e)
}

func (p *reader) fail(n *yaml.Node, err error, hint, format string, args ...any) {
	p.add(&Error{Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...), Hint: hint, Err: err})
}

var (
	fileKeys    = []string{"name", "description", "params", "defaults", "max_parallel", "steps"}
	defaultKeys = []string{"model", "timeout", "retries", "max_tokens"}
	paramKeys   = []string{"default", "description", "type"}
	stepKeys    = []string{"id", "agent", "task", "files", "dependencies", "timeout", "retries", "model", "max_tokens"}
	laterKeys   = []string{"foreach", "when", "on_failure", "join", "schema", "approval", "loop", "workflow", "effects", "budget", "latency"}
	synonyms    = map[string]string{"depends_on": "dependencies", "needs": "dependencies", "prompt": "task"}
)

func (p *reader) workflow(root *yaml.Node) *Workflow {
	f, ok := p.fields(root, "a workflow", fileKeys)
	if !ok {
		return nil
	}
	w := &Workflow{
		Name:        p.text(f.get("name"), "name"),
		Description: p.text(f.get("description"), "description"),
		MaxParallel: p.count(f.get("max_parallel"), "max_parallel", 0),
		Params:      p.params(f.get("params")),
	}
	if n := f.get("defaults"); n != nil && !isNull(n) {
		if d, ok := p.fields(n, "defaults", defaultKeys); ok {
			w.Defaults = p.settings(d, Defaults{})
		}
	}
	p.steps(w, root, f.get("steps"))
	return w
}

// settings reads what a step and the defaults have in common.
func (p *reader) settings(f fields, d Defaults) Defaults {
	if n := f.get("model"); n != nil && !isNull(n) {
		d.Model = p.plain(n, "model")
	}
	if n := f.get("timeout"); n != nil && !isNull(n) {
		d.Timeout = p.duration(n, "timeout")
	}
	if n := f.get("retries"); n != nil && !isNull(n) {
		d.Retry.Max = p.count(n, "retries", 0)
	}
	if n := f.get("max_tokens"); n != nil && !isNull(n) {
		d.MaxTokens = p.count(n, "max_tokens", 1)
	}
	return d
}

// fields are the entries of a mapping whose keys are known.
type fields struct {
	names  []string
	values []*yaml.Node
	later  []string // keys that a later version will know
}

// get returns the value of a key with aliases followed, or nil.
func (f fields) get(name string) *yaml.Node {
	if i := slices.Index(f.names, name); i >= 0 {
		return f.values[i]
	}
	return nil
}

// fields reads a mapping. The value of a key that is only misspelt is used as
// if it were right, so that one slip is one error.
func (p *reader) fields(n *yaml.Node, what string, known []string) (fields, bool) {
	n = follow(n)
	var f fields
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, "known keys are "+strings.Join(known, ", "), "%s must be a mapping, not %s", what, kindOf(n))
		return f, false
	}
	f.names, f.values = make([]string, 0, len(n.Content)/2), make([]*yaml.Node, 0, len(n.Content)/2)
	var slips []struct {
		name  string
		value *yaml.Node
	}
	p.entries(n, func(key, value *yaml.Node) {
		name := key.Value
		if slices.Contains(known, name) {
			f.names, f.values = append(f.names, name), append(f.values, value)
			return
		}
		if slices.Contains(laterKeys, name) {
			p.fail(key, ErrNotSupported, "", "%s is not supported by this version", quote(name))
			f.later = append(f.later, name)
			return
		}
		meant := synonyms[name]
		if !slices.Contains(known, meant) {
			meant = p.suggester.nearest(name, known)
		}
		hint := "known keys are " + strings.Join(known, ", ")
		switch {
		case name == "<<":
			hint = "merge keys are not supported; put what steps share under defaults"
		case meant != "":
			hint = "did you mean " + quote(meant) + "?"
			slips = append(slips, struct {
				name  string
				value *yaml.Node
			}{meant, value})
		}
		p.fail(key, nil, hint, "unknown key %s in %s", quote(name), what)
	})
	for _, s := range slips {
		if f.get(s.name) == nil {
			f.names, f.values = append(f.names, s.name), append(f.values, s.value)
		}
	}
	return f, true
}

// entries calls yield for every entry of a mapping, with aliases followed,
// except for keys that are not texts or were there before.
func (p *reader) entries(n *yaml.Node, yield func(key, value *yaml.Node)) {
	var seen map[string]*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := follow(n.Content[i]), follow(n.Content[i+1])
		if key.Kind != yaml.ScalarNode {
			p.fail(key, nil, "", "a key must be a text, not %s", kindOf(key))
			continue
		}
		var first *yaml.Node
		if len(n.Content) <= 32 {
			for j := 0; j < i; j += 2 {
				if k := follow(n.Content[j]); k.Kind == yaml.ScalarNode && k.Value == key.Value {
					first = k
					break
				}
			}
		} else {
			if seen == nil {
				seen = make(map[string]*yaml.Node, len(n.Content)/2)
			}
			if first = seen[key.Value]; first == nil {
				seen[key.Value] = key
			}
		}
		if first != nil {
			p.fail(n.Content[i], nil, "", "key %s is there twice, first in line %d", quote(key.Value), first.Line)
			continue
		}
		yield(key, value)
	}
}

func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	case "!!str":
		return "a text"
	}
	return "a value with the tag " + quote(n.Tag)
}

// text reads a text; nil and null are "".
func (p *reader) text(n *yaml.Node, key string) string {
	switch {
	case n == nil || isNull(n):
		return ""
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		return n.Value
	}
	hint := ""
	if n.Kind == yaml.ScalarNode {
		hint = "put it in quotes"
	}
	p.fail(n, nil, hint, "%s must be a text, not %s", key, kindOf(n))
	return ""
}

// plain reads a text that may hold no expression and is not empty.
func (p *reader) plain(n *yaml.Node, key string) string {
	before := p.failures
	s := p.text(n, key)
	switch {
	case p.failures > before:
	case strings.TrimSpace(s) == "":
		p.fail(n, nil, "", "%s is empty", key)
	case strings.Contains(s, exprOpen):
		p.fail(n, ErrExpression, "only task and files can", "%s cannot hold an expression", key)
	default:
		return s
	}
	return ""
}

// count reads a whole number of at least low; nil and null are 0.
func (p *reader) count(n *yaml.Node, key string, low int) int {
	if n == nil || isNull(n) {
		return 0
	}
	v, err := strconv.ParseInt(n.Value, 0, 64)
	switch {
	case n.Tag == "!!float":
		p.fail(n, nil, "", "%s must be a whole number, not %s", key, n.Value)
	case n.Kind != yaml.ScalarNode || n.Tag != "!!int":
		p.fail(n, nil, "", "%s must be a whole number, not %s", key, kindOf(n))
	case err != nil || v > math.MaxInt32:
		p.fail(n, nil, "", "%s %s is too large", key, n.Value)
	case v < int64(low):
		p.fail(n, nil, "", "%s must be at least %d, not %s", key, low, n.Value)
	default:
		return int(v)
	}
	return 0
}

const durationHint = `write it like "90s", "5m" or "1h30m", or as a number of seconds`

func (p *reader) duration(n *yaml.Node, key string) time.Duration {
	if n.Kind != yaml.ScalarNode {
		p.fail(n, nil, durationHint, "%s must be a duration, not %s", key, kindOf(n))
		return 0
	}
	var d time.Duration
	var err error
	switch n.Tag {
	case "!!int", "!!float":
		var seconds float64
		seconds, err = strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
		if err == nil && !(math.Abs(seconds) < math.MaxInt64/1e9) {
			err = errors.New("out of range")
		}
		d = time.Duration(seconds * 1e9)
	case "!!str":
		d, err = time.ParseDuration(strings.TrimSpace(n.Value))
	default:
		p.fail(n, nil, durationHint, "%s must be a duration, not %s", key, kindOf(n))
		return 0
	}
	switch {
	case err != nil:
		p.fail(n, nil, durationHint, "%s %s is not a duration", key, quote(n.Value))
	case d <= 0:
		p.fail(n, nil, "leave it out for no limit", "%s must be more than 0, not %s", key, n.Value)
	default:
		return d
	}
	return 0
}

// quote is how names stand in messages: in quotes, short and on one line.
func quote(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return strconv.Quote(s)
}

// list names at most ten things.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", len(names)-10)
	}
	return strings.Join(names, ", ")
}
