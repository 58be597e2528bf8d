package sim

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/yamltext"
)

const (
	maxScriptBytes = 4 << 20
	maxScriptNodes = 200_000 // after the expansion of aliases
	maxScriptDepth = 64
)

// ScriptErrors are all problems of a script.
type ScriptErrors []ScriptError

// ScriptError is one problem of a script.
type ScriptError struct {
	File         string
	Line, Column int // from 1; 0 for the file as a whole
	Message      string
	Hint         string // what to do about it; may be empty
}

// Error returns "file:line:column: message (hint)".
func (e ScriptError) Error() string {
	text := e.File
	if e.Line > 0 {
		text += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	text += ": " + e.Message
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Error returns one line per problem.
func (e ScriptErrors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// ParseScript parses a script in YAML or JSON. The name of the file is for
// messages. If the script has problems, the error is a [ScriptErrors] with all
// of them.
func ParseScript(file string, data []byte) (*Script, error) {
	r := &scriptReader{file: file, nodes: maxScriptNodes}
	s := r.read(data)
	if len(r.errs) > 0 {
		slices.SortStableFunc(r.errs, func(a, b ScriptError) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, r.errs
	}
	sum := sha256.Sum256(data)
	s.digest = hex.EncodeToString(sum[:8])
	return s, nil
}

// scriptReader reads a script and collects its problems.
type scriptReader struct {
	file  string
	errs  ScriptErrors
	nodes int // left
}

func (r *scriptReader) fail(n *yaml.Node, hint, format string, args ...any) {
	e := ScriptError{File: r.file, Message: fmt.Sprintf(format, args...), Hint: hint}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	r.errs = append(r.errs, e)
}

const exampleRule = `write rules: [{when: {task: hello}, text: "Hello."}]`

func (r *scriptReader) read(data []byte) *Script {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(data) > maxScriptBytes:
		r.fail(nil, "", "the script is larger than %d MiB", maxScriptBytes>>20)
		return nil
	case len(bytes.TrimSpace(data)) == 0:
		r.fail(nil, exampleRule, "the script is empty")
		return nil
	}
	var doc yaml.Node
	err := yaml.Load(data, &doc)
	if err != nil && json.Valid(data) {
		err = yaml.Load(plainJSON(data), &doc)
	}
	if load, ok := errors.AsType[*yaml.LoadError](err); ok && strings.Contains(load.Message, "no documents") {
		err = nil
	}
	if err != nil {
		p := yamltext.Explain(string(data), err)
		r.errs = append(r.errs, ScriptError{r.file, p.Line, p.Column, "YAML: " + p.Message, p.Hint})
		return nil
	}
	if len(doc.Content) != 1 {
		r.fail(nil, exampleRule, "the script is empty")
		return nil
	}
	root := r.expand(doc.Content[0], 0)
	if root == nil {
		return nil
	}
	s := &Script{agents: map[string]pattern{}}
	hasRules := false
	r.mapping(root, "the script", func(key string, v *yaml.Node) bool {
		switch key {
		case "strict":
			s.strict = r.boolean(v, key)
		case "agents":
			r.eachKey(v, key, func(name string, n *yaml.Node) { s.agents[name] = r.pattern(n, "agents."+name) })
		case "rules":
			hasRules = true
			for i, n := range r.list(v, key) {
				if rule := r.rule(n, i); rule != nil {
					s.rules = append(s.rules, rule)
				}
			}
		default:
			return false
		}
		return true
	}, "agents", "rules", "strict")
	if root.Kind == yaml.MappingNode && !hasRules {
		r.fail(root, exampleRule, "rules are missing")
	}
	for _, rule := range s.rules { // agents can follow the rules in the file
		if _, known := s.agents[rule.agent]; rule.agent != "" && len(s.agents) > 0 && !known {
			r.fail(rule.agentAt, "the names are those under agents", "unknown agent %q", rule.agent)
		}
	}
	return s
}

var ruleKeys = []string{"name", "when", "times", "turns"}

func (r *scriptReader) rule(n *yaml.Node, i int) *rule {
	rule := &rule{name: fmt.Sprintf("rule %d", i+1), first: 1, last: math.MaxInt}
	one := &scriptedAnswer{}
	var inline, turns *yaml.Node
	r.mapping(n, rule.name, func(key string, v *yaml.Node) bool {
		switch key {
		case "name":
			rule.name = r.name(v, key)
		case "when":
			r.when(v, rule)
		case "times":
			rule.times = r.count(v, key, 1)
		case "turns":
			turns = v
			for _, entry := range r.list(v, key) {
				a := &scriptedAnswer{}
				r.mapping(entry, "an answer", func(key string, v *yaml.Node) bool { return r.answerKey(a, key, v) }, answerKeys...)
				r.checkAnswer(entry, a)
				rule.answers = append(rule.answers, a)
			}
		default:
			if !r.answerKey(one, key, v) {
				return false
			}
			inline = v
		}
		return true
	}, append(ruleKeys, answerKeys...)...)
	switch {
	case n.Kind != yaml.MappingNode:
		return nil
	case inline != nil && turns != nil:
		r.fail(turns, "put the answers under turns", "%s has both turns and an answer of its own", rule.name)
	case turns != nil:
		rule.byTurn = true
		if last := rule.first + len(rule.answers) - 1; rule.last > last {
			rule.last = last
		}
	default:
		r.checkAnswer(n, one)
		rule.answers = []*scriptedAnswer{one}
	}
	return rule
}

func (r *scriptReader) when(n *yaml.Node, rule *rule) {
	r.mapping(n, "when", func(key string, v *yaml.Node) bool {
		switch key {
		case "agent":
			rule.agent, rule.agentAt = r.name(v, key), v
		case "system":
			rule.system = r.pattern(v, key)
		case "task":
			rule.task = r.pattern(v, key)
		case "model":
			rule.model = r.pattern(v, key)
		case "turn":
			rule.first, rule.last = r.turns(v)
		case "result":
			rule.result = r.result(v)
		default:
			return false
		}
		return true
	}, "agent", "model", "result", "system", "task", "turn")
}

func (r *scriptReader) result(n *yaml.Node) *resultPattern {
	p := &resultPattern{}
	if n.Kind == yaml.ScalarNode {
		p.text = r.pattern(n, "result")
		return p
	}
	r.mapping(n, "result", func(key string, v *yaml.Node) bool {
		switch key {
		case "tool":
			p.tool = r.name(v, key)
		case "text":
			p.text = r.pattern(v, key)
		case "error":
			p.error = new(r.boolean(v, key))
		default:
			return false
		}
		return true
	}, "error", "text", "tool")
	return p
}

var (
	answerKeys  = []string{"thinking", "text", "tools", "server_tools", "stop_reason", "usage", "latency", "error"}
	stopReasons = []string{"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"}
)

// answerKey sets a part of an answer, and reports whether the key is one.
func (r *scriptReader) answerKey(a *scriptedAnswer, key string, v *yaml.Node) bool {
	switch key {
	case "thinking":
		a.thinking = r.name(v, key)
	case "text":
		a.text, a.hasText = r.text(v, key), true
	case "tools":
		for _, n := range r.list(v, key) {
			a.tools = append(a.tools, r.call(n))
		}
	case "server_tools":
		for _, n := range r.list(v, key) {
			a.server = append(a.server, r.serverCall(n))
		}
	case "stop_reason":
		if a.stopReason = r.name(v, key); a.stopReason != "" && !slices.Contains(stopReasons, a.stopReason) {
			r.fail(v, "known are "+strings.Join(stopReasons, ", "), "unknown stop_reason %q", a.stopReason)
		}
	case "usage":
		r.mapping(v, key, func(key string, v *yaml.Node) bool {
			to, ok := map[string]**int{
				"input_tokens": &a.usage.input, "output_tokens": &a.usage.output,
				"cache_read_input_tokens": &a.usage.read, "cache_creation_input_tokens": &a.usage.write,
			}[key]
			if ok {
				*to = new(r.count(v, key, 0))
			}
			return ok
		}, "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
	case "latency":
		a.latency = new(r.duration(v, key))
	case "error":
		a.fault = r.fault(v)
	default:
		return false
	}
	return true
}

func (r *scriptReader) checkAnswer(n *yaml.Node, a *scriptedAnswer) {
	if n.Kind == yaml.MappingNode && !a.hasText && a.thinking == "" && len(a.tools) == 0 && len(a.server) == 0 && a.stopReason == "" && a.fault == nil {
		r.fail(n, `write text: "Done.", tools: [{name: Read, input: {file_path: a.go}}] or error: {status: 529}`, "the answer is missing")
	}
}

func (r *scriptReader) call(n *yaml.Node) scriptedCall {
	c := scriptedCall{input: json.RawMessage("{}")}
	r.mapping(n, "a tool call", func(key string, v *yaml.Node) bool {
		switch key {
		case "name":
			c.name = r.name(v, key)
		case "id":
			c.id = r.name(v, key)
		case "input":
			c.input = r.input(v)
		default:
			return false
		}
		return true
	}, "id", "input", "name")
	if c.name == "" && n.Kind == yaml.MappingNode {
		r.fail(n, "write name: Read", "the tool call has no name")
	}
	return c
}

// input parses the arguments of a call.
func (r *scriptReader) input(n *yaml.Node) json.RawMessage {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "write input: {file_path: a.go}", "input must be a mapping, not %s", kindName(n))
		return json.RawMessage("{}")
	}
	return r.json(nil, n)
}

// fault parses an error in the form of a [Fault], whose kind is FaultStatus
// unless given.
func (r *scriptReader) fault(n *yaml.Node) *Fault {
	f := &Fault{Kind: FaultStatus}
	before := len(r.errs)
	r.mapping(n, "error", func(key string, v *yaml.Node) bool {
		switch key {
		case "kind":
			f.Kind = FaultKind(r.name(v, key))
		case "status":
			f.Status = r.count(v, key, 0)
		case "type":
			f.ErrorType = r.name(v, key)
		case "code":
			f.ErrorCode = r.name(v, key)
		case "message":
			f.Message = r.text(v, key)
		case "retry_after":
			f.RetryAfter = r.name(v, key)
		case "after":
			f.After = r.count(v, key, 0)
		case "delay":
			f.Delay = r.duration(v, key)
		default:
			return false
		}
		return true
	}, "after", "code", "delay", "kind", "message", "retry_after", "status", "type")
	if len(r.errs) == before {
		if err := f.check(); err != nil {
			r.fail(n, "write error: {status: 529} or error: {kind: cut_stream, after: 4}", "%v", err)
		}
	}
	return f
}
