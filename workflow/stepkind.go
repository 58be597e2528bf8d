package workflow

import (
	"path"
	"slices"
	"strings"
	"unicode"

	yaml "go.yaml.in/yaml/v4"
)

// Kinds of steps, each named after the key that selects it.
const (
	kindAgent    = "agent"
	kindApproval = "approval"
	kindRun      = "run"
	kindHTTP     = "http"
	kindRead     = "read"
	kindWrite    = "write"
	kindValue    = "value"
	kindExit     = "exit"
	kindWorkflow = "workflow"
	kindSteps    = "steps"
)

// suits lists the kinds of steps that a key applies to. A key that is missing
// here applies to all.
var suits = map[string][]string{
	"agent":       {kindAgent},
	"prompt":      {kindAgent},
	"continue":    {kindAgent},
	"tools":       {kindAgent},
	"task":        {kindAgent},
	"command":     {kindAgent},
	"arguments":   {kindAgent},
	"files":       {kindAgent},
	"model":       {kindAgent},
	"max_tokens":  {kindAgent},
	"max_turns":   {kindAgent},
	"effort":      {kindAgent},
	"thinking":    {kindAgent},
	"temperature": {kindAgent},
	"allow":       {kindAgent, kindRun, kindHTTP, kindWrite},
	"reads":       {kindAgent},
	"schema":      {kindAgent},
	"approval":    {kindApproval},
	"run":         {kindRun},
	"http":        {kindHTTP},
	"read":        {kindRead},
	"write":       {kindWrite},
	"value":       {kindValue},
	"exit":        {kindExit},
	"workflow":    {kindWorkflow},
	"with":        {kindWorkflow},
	"steps":       {kindSteps},
	"output":      {kindWorkflow, kindSteps},
	"timeout":     {kindAgent, kindRun, kindHTTP, kindRead, kindWrite},
	"retries":     {kindAgent, kindRun, kindHTTP, kindRead, kindWrite},
	"effects":     {kindAgent, kindRun, kindHTTP, kindWrite},
	"budget":      {kindAgent},
	"latency":     {kindAgent},
	"runner":      {kindAgent},
	"isolation":   {kindAgent},
	"base":        {kindAgent},
	"foreach":     {kindAgent, kindRun, kindHTTP, kindRead, kindWrite, kindValue, kindWorkflow, kindSteps},
	"matrix":      {kindAgent, kindRun, kindHTTP, kindRead, kindWrite, kindValue, kindWorkflow, kindSteps},
	"samples":     {kindAgent, kindWorkflow, kindSteps},
	"loop":        {kindAgent, kindRun, kindHTTP, kindRead, kindWrite, kindValue, kindWorkflow, kindSteps},
}

// kinds are the kinds that a key of the same name makes.
var kinds = []string{kindApproval, kindRun, kindHTTP, kindRead, kindWrite, kindValue, kindExit, kindWorkflow, kindSteps}

// kind returns the kind of a step.
func (d *draft) kind() string {
	for _, key := range slices.Concat([]string{"agent", "prompt", "task"}, kinds, []string{"command"}) {
		if d.fields.given(key) != nil || key == kindValue && d.fields.get(key) != nil {
			if key == "prompt" || key == "task" || key == "command" {
				break
			}
			return key
		}
	}
	return kindAgent
}

// oneThing is the hint where a step does several.
const oneThing = "a step does one thing: agent and task, approval, run, http, read, write, value, exit, workflow, or steps"

// kind returns the kind of a step, and reports keys that do not apply to it.
func (p *reader) kind(d *draft) string {
	kind := d.kind()
	for i, key := range d.fields.names {
		n := d.fields.values[i]
		if only, ok := suits[key]; !ok || isNull(n) || slices.Contains(only, kind) {
			continue
		}
		what, hint := kind, ""
		if d.chooses {
			what = kindWorkflow
		}
		switch {
		case d.fields.given(key) == nil:
			continue
		case key == "agent" || key == "prompt" || key == "task" || key == "command" || slices.Contains(kinds, key):
			hint = oneThing
		case kind == kindRun && slices.Contains(runKeys, key):
			hint = "write run: {command: ..., " + key + ": ...}"
		case kind == kindHTTP && slices.Contains(httpKeys, key):
			hint = "write http: {url: ..., " + key + ": ...}"
		case key == "timeout" && kind == kindApproval:
			hint = "write approval: {message: ..., timeout: ...}"
		case (kind == kindApproval || kind == kindExit) && (key == "foreach" || key == "matrix" || key == "samples" || key == "loop"):
			hint = "put the " + kind + " under steps of a step with " + key
		case d.chooses && slices.Contains(suits[key], kindAgent):
			hint = "set it in those files"
		case kind == kindSteps && slices.Contains(suits[key], kindAgent):
			hint = "set it on the steps inside"
		case kind == kindWorkflow && slices.Contains(suits[key], kindAgent):
			hint = "set it in that file"
		}
		p.fail(n, nil, hint, "%s cannot have both %s and %s", d.of(), key, what)
	}
	if n := d.fields.given("save"); n != nil && kind == kindWrite {
		p.fail(n, nil, "use the path of write", "%s cannot have both save and write", d.of())
	}
	if n := d.fields.given("save"); n != nil && kind == kindExit {
		p.fail(n, nil, "write the file in a step that the exit depends on", "%s cannot have both save and exit", d.of())
	}
	for _, key := range []string{"max_parallel", "min_success"} {
		if n := d.fields.given(key); n != nil && d.fields.given("foreach") == nil && d.fields.given("matrix") == nil && d.fields.given("samples") == nil {
			p.fail(n, nil, "", "%s of a step needs foreach, matrix or samples", key)
		}
	}
	return kind
}

// settingsOf reads the settings of an agent's calls.
func (p *reader) settingsOf(d *draft, defaults Defaults) {
	if n := d.fields.given("effects"); n != nil {
		known := []string{string(EffectsNone), string(EffectsIdempotent), string(EffectsOnce)}
		d.Effects = Effects(p.oneOf(n, "effects", known))
	}
	if d.Effects == EffectsOnce {
		defaults.Retry = Retry{} // default retries do not apply to it
	}
	fields := d.fields
	if isChoice(fields.given("model")) {
		fields = fields.without("model") // see chosen
	}
	own := p.settings(fields, defaults)
	d.Model, d.Timeout, d.Retry, d.Latency = own.Model, own.Timeout, own.Retry, own.Latency
	d.MaxTokens, d.MaxTurns, d.Allow = own.MaxTokens, own.MaxTurns, p.allow(d.fields.given("allow"))
	d.Effort, d.Thinking, d.Temperature = own.Effort, own.Thinking, own.Temperature
	d.CommandReads = p.reads(d.fields.given("reads"))
	d.Budget = p.budget(d.fields.given("budget"))
	if d.Effects == EffectsOnce && d.Retry.Max > 0 {
		p.fail(d.fields.get("retries"), nil, "remove one of them", "a step with effects: once cannot have retries")
	}
}

// allow reads a list of permission rules, or a text of one. It returns nil if there is
// none, and an empty list for an empty one.
func (p *reader) allow(n *yaml.Node) []string {
	if n == nil {
		return nil
	}
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	rules := []string{}
	for _, n := range nodes {
		rule := p.plain(n, "allow")
		if !isRule(rule) {
			p.fail(n, nil, "write for example Edit(src/**) or Bash(go test:*)", "allow must name a tool, or a tool and parentheses")
			continue
		}
		rules = append(rules, rule)
	}
	return rules
}

// reads reads a list of patterns, or a text of one. It returns nil if there is none, and
// an empty list for an empty one.
func (p *reader) reads(n *yaml.Node) []string {
	if n == nil {
		return nil
	}
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	patterns := []string{}
	for _, n := range nodes {
		before := p.failures
		pattern := p.plain(n, "reads")
		if p.failures > before {
			continue
		}
		_, err := path.Match(pattern, "")
		if pattern == "" || err != nil || strings.Count(pattern, "{") != strings.Count(pattern, "}") {
			p.fail(n, nil, "write for example src/** or *.go", "reads must name files by a pattern, and %s is none", quote(pattern))
			continue
		}
		patterns = append(patterns, pattern)
	}
	return patterns
}

// oneOf reads a text that must be one of the known words.
func (p *reader) oneOf(n *yaml.Node, key string, known []string) string {
	before := p.failures
	word := p.plain(n, key)
	if p.failures > before {
		return ""
	}
	if !slices.Contains(known, word) {
		hint := p.suggester.didYouMean(word, known)
		if hint == "" {
			hint = "known: " + list(known)
		}
		p.fail(n, nil, hint, "unknown %s %s", key, quote(word))
		return ""
	}
	return word
}

func (p *reader) approval(d *draft, v view) {
	n := d.fields.given("approval")
	message := n
	d.Approval = &Approval{}
	if n.Kind == yaml.MappingNode {
		f, ok := p.fields(n, "approval", approvalKeys)
		if !ok {
			return
		}
		if message = f.given("message"); message == nil {
			p.fail(n, nil, "", "approval has no message")
			return
		}
		if t := f.given("timeout"); t != nil {
			d.Approval.Timeout = p.duration(t, "timeout")
		}
		if no := f.given("on_no"); no != nil {
			d.Approval.Exits = p.oneOf(no, "on_no", []string{"fail", "exit"}) == "exit"
		}
		if c := f.given("choices"); c != nil {
			d.Approval.Choices = p.choices(c)
		}
		if s := f.given("schema"); s != nil {
			d.Approval.Schema = p.outputSchema(s)
			if f.given("choices") != nil {
				p.fail(s, nil, "remove one of them", "an approval cannot have both choices and schema")
			}
		}
	}
	d.Approval.Message = p.template(d, v, message, "message")
}

// longestChoice is how many bytes a choice of an approval may have: it stands in one
// line of a terminal.
const longestChoice = 200

// choices reads the answers that a person may give.
func (p *reader) choices(n *yaml.Node) []string {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.fail(n, nil, "write choices: [staging, production]", "choices must be a list of texts with at least one")
		return nil
	}
	var choices []string
	for _, c := range n.Content {
		before := p.failures
		text := p.plain(c, "a choice")
		switch {
		case p.failures > before:
		case strings.TrimSpace(text) != text || text == "" || len(text) > longestChoice || strings.ContainsFunc(text, unicode.IsControl):
			p.fail(c, nil, "", "a choice must be one line of 1 to %d bytes without space around it", longestChoice)
		case slices.Contains(choices, text):
			p.fail(c, nil, "", "choice %s is given twice", quote(text))
		default:
			choices = append(choices, text)
		}
	}
	return choices
}

// group reads a step with steps of its own.
func (p *reader) group(d *draft, v view, defaults Defaults) {
	if d.body == nil { // already reported
		return
	}
	d.Body = &Workflow{file: p.file}
	v.level = d.body
	p.steps(d.Body, v, defaults)
	if n := d.fields.given("output"); n != nil {
		d.Output = p.template(d, v, n, "output")
	}
}

// workflowStep reads a step that runs another file.
func (p *reader) workflowStep(d *draft, v view) {
	n := d.fields.given("workflow")
	if d.Workflow = strings.TrimSpace(p.plain(n, "workflow")); d.Workflow != "" {
		d.Body = p.subWorkflow(n, d.Workflow)
	}
	if d.Body != nil && d.Body.Save != nil && d.fields.given("save") == nil {
		p.note(n, "write save for "+d.of()+" to save its output", "the save of %s has no effect where a step runs the file", quote(d.Workflow))
	}
	p.with(d, v)
	if n := d.fields.given("output"); n != nil && d.Body != nil {
		// It replaces the output of that file, so it sees the names of that file.
		v.scope, v.result, v.named = p.scopeOf(d.Body), d, nil
		d.Output = p.template(d, v, n, "output")
	}
}

// with reads the parameters for another file and checks them against the
// declarations there.
func (p *reader) with(d *draft, v view) {
	var params []Param
	if d.Body != nil {
		params = d.Body.Params
	}
	n := d.fields.given("with")
	if n != nil && n.Kind != yaml.MappingNode {
		p.fail(n, nil, "write with: {name: value}", "with must be a mapping from parameters to values, not %s", kindOf(n))
		return
	}
	names := make([]string, len(params))
	known := make(map[string]Param, len(params))
	for i, param := range params {
		names[i], known[param.Name] = param.Name, param
	}
	given := map[string]bool{}
	if n != nil {
		d.With = make(map[string]*Value, len(n.Content)/2)
		p.entries(n, func(key, value *yaml.Node) {
			given[key.Value] = true
			param, ok := known[key.Value]
			if !ok && d.Body != nil {
				hint := p.suggester.didYouMean(key.Value, names)
				if hint == "" {
					hint = "known: " + list(names)
				}
				p.fail(key, ErrParam, hint, "%s has no parameter %s", d.Workflow, quote(key.Value))
			}
			val := p.valueOf(d, v, value, "with")
			if val == nil {
				return
			}
			if ok {
				p.checkParam(value, param, val)
			}
			d.With[key.Value] = val
		})
	}
	for _, param := range params {
		if param.HasDefault || given[param.Name] {
			continue
		}
		if passed := p.sameParam(d, v, param); passed != nil {
			if d.With == nil {
				d.With = map[string]*Value{}
			}
			d.With[param.Name] = passed
		} else {
			p.fail(d.fields.get("workflow"), ErrParam, "add with: {"+param.Name+": ...}", "%s needs the parameter %s", d.Workflow, quote(param.Name))
		}
	}
}

// sameParam returns the value of this file's parameter of the same name, for a parameter
// of another file that must be given; nil if this file has none or one of another type.
func (p *reader) sameParam(d *draft, v view, param Param) *Value {
	typ, ok := p.scope.params[param.Name]
	if !ok || typ != param.Type && (typ != "integer" || param.Type != "number") {
		return nil
	}
	source := " params." + param.Name + " "
	return &Value{source: "${{" + source + "}}", expr: p.expression(d, v, d.fields.get("workflow"), source, 0)}
}

// checkParam reports a value that cannot have the type of a parameter. A text or
// an expression may still fit at run time, see [Workflow.BindValues].
func (p *reader) checkParam(n *yaml.Node, param Param, v *Value) {
	typ := v.typ()
	switch {
	case param.Type == "any":
	case v.constant() && v.fixed == nil:
		p.fail(n, ErrParam, "", "parameter %s has no value", quote(param.Name))
	case v.constant():
		fit, err := param.fit(v.fixed)
		if err != nil {
			p.fail(n, ErrParam, "", "parameter %s must be of type %s, not %s", quote(param.Name), param.Type, typ)
		} else if typ != param.Type {
			v.source, v.fixed = "", fit
		}
	case typ == "" || typ == param.Type || typ == "string" || param.Type == "string":
	case typ == "integer" && param.Type == "number" || typ == "number" && param.Type == "integer":
	default:
		p.fail(n, ErrParam, "", "parameter %s must be of type %s, not %s", quote(param.Name), param.Type, typ)
	}
}
