package workflow

import (
	"fmt"
	"slices"

	yaml "go.yaml.in/yaml/v4"
)

// Options are settings that are not in the file. The zero value checks
// everything but the names of agents.
type Options struct {
	// CheckAgent returns nil when the agent exists, and otherwise an error whose
	// text becomes the message. It is called once per name. Nil: not checked.
	CheckAgent func(name string) error

	// AllowEnv names environment variables that expressions may read, besides
	// USER and CI.
	AllowEnv []string

	// Load returns the bytes of the file of a sub-workflow. The path is the
	// one in the step, relative to the folder of the file that holds the step. It
	// is called once per path. Nil: a step that runs another file is an error.
	Load func(path string) ([]byte, error)

	// Find returns the path of the workflow with a name, for a step whose workflow is a
	// name and not the path of a file. The text of its error becomes the message. It is
	// called once per name. Nil: only paths are known.
	Find func(name string) (path string, err error)

	// SlashCommand returns the command with a name, for a step that has it as its task; a name
	// that ends in .md is the path of its file, like that of Load. The text of its error
	// becomes the message. It is called once per name. Nil: such a step is an error.
	SlashCommand func(name string) (*SlashCommand, error)
}

// reader is the state of reading one file.
type reader struct {
	file       string
	loader     *loader
	depth      int // how many files enclose this one
	height     int // levels of files below this one
	src        source
	errs       Errors
	notes      []*Error
	failures   int  // errors found, of which errs holds the first maxErrors
	repeated   int  // of these, that errs has already
	continuing bool // a step continues another, or chooses its workflow
	suggester  suggester
	scope      *scope
	inner      map[*Workflow]*scope  // of the files its steps run
	ids        map[string]*yaml.Node // where each step id of the file was given
	below      []*Workflow           // the files its steps run
	aliased    map[*yaml.Node]bool   // the nodes that aliases refer to
	changes    []changesUse          // of the file
	uses       []use                 // the expressions of the file
	inline     map[string]*Agent     // the agents that the file defines
	later      []func()              // what is to be done once all steps are read
	saves      []saved               // the files that its steps save
}

// maxErrors bounds the memory that the errors of a hostile file can take. It is
// more than anyone reads.
const maxErrors = 1000

// Parse reads a workflow file, and with [Options.Load] the files its steps run.
// Messages name the file, and the paths of other files are relative to its
// folder. If anything is wrong, Parse returns nil and an error of type [Errors]
// with all problems of all files; beyond a thousand they are only counted.
func Parse(file string, data []byte, opts Options) (*Workflow, error) {
	l := newLoader(opts)
	w := l.read(file, data, 0).w
	if errs := l.errors(file); len(errs) > 0 {
		return nil, errs
	}
	w.named, w.commands = l.named, l.usedCommands()
	return w, nil
}

func (p *reader) add(e *Error) {
	if p.failures++; p.failures > maxErrors {
		return
	}
	e.File, e.Message, e.Hint = p.file, clean(e.Message), clean(e.Hint) // names from the file may hold anything
	if end := len(p.src.text); e.Line > 1 && e.Line > p.src.lineOf(end) {
		e.Line, e.Column = p.src.position(end) // the YAML loader counts one line too many at the end of a file
	}
	if p.continuing && slices.ContainsFunc(p.errs, func(was *Error) bool { return was.Line == e.Line && was.Column == e.Column && was.Message == e.Message }) {
		p.repeated++ // what a step has from the one it continues, or gives several workflows, is read for each
		return
	}
	p.errs = append(p.errs, e)
}

// note adds what is no mistake but may not be what the author meant.
func (p *reader) note(n *yaml.Node, hint, format string, args ...any) {
	if len(p.notes) < maxErrors {
		p.notes = append(p.notes, &Error{File: p.file, Line: n.Line, Column: n.Column, Message: clean(fmt.Sprintf(format, args...)), Hint: clean(hint)})
	}
}

func (p *reader) fail(n *yaml.Node, err error, hint, format string, args ...any) {
	p.add(&Error{Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...), Hint: hint, Err: err})
}

func (p *reader) workflow(root *yaml.Node) *Workflow {
	f, ok := p.fields(root, "a workflow", fileKeys)
	if !ok {
		return nil
	}
	p.text(f.get("$schema"), "$schema")
	if n := f.given("description"); n != nil {
		p.whole(n, "description")
	}
	w := &Workflow{
		Name:        p.text(f.get("name"), "name"),
		Description: p.text(f.get("description"), "description"),
		MaxParallel: p.count(f.get("max_parallel"), "max_parallel", 0),
		Params:      p.params(f.get("params")),
		Budget:      p.budget(f.given("budget")),
	}
	if n := f.given("defaults"); n != nil {
		if d, ok := p.fields(n, "defaults", defaultKeys); ok {
			w.Defaults = p.settings(d, Defaults{})
		}
	}
	w.Agents = p.agents(f.given("agents"))
	p.scope = p.newScope(w.Params)
	p.scope.sandbox, p.scope.done = newSandbox(), map[compiled]*expression{}
	p.vars(w, f.get("vars"))
	top := p.drafts(nil, root, f.get("steps"))
	if top == nil {
		return w
	}
	p.allSteps(top)
	v := view{scope: p.scope, level: top}
	p.conversations(top)
	p.steps(w, v, w.Defaults)
	if n := f.given("output"); n != nil {
		w.Output = p.template(nil, v, n, "output")
	}
	if n := f.given("findings"); n != nil {
		w.Findings = p.findings(v, n)
	}
	if n := f.given("fail_when"); n != nil {
		w.FailWhen = p.failWhen(w, v, n)
	}
	for _, do := range p.later {
		do()
	}
	if n := f.given("save"); n != nil {
		w.Save = p.save(nil, v, n)
	}
	p.savedTwice()
	if p.failures == 0 {
		p.sharedWrites(w)
	}
	p.missing()
	p.unusedAgents(w)
	w.Notes = p.notes
	for _, below := range p.below {
		for _, n := range below.Notes {
			if !slices.Contains(w.Notes, n) {
				w.Notes = append(w.Notes, n)
			}
		}
	}
	w.env, w.changes, w.lists = p.envNames(), p.certainChanges(), len(p.changes) > 0
	shareEnv(w.Steps, w.env)
	return w
}

// settings reads the settings that steps and defaults share.
func (p *reader) settings(f fields, d Defaults) Defaults {
	if n := f.given("model"); n != nil {
		d.Model = p.plain(n, "model")
	}
	if n := f.given("timeout"); n != nil {
		d.Timeout = p.duration(n, "timeout")
	}
	if n := f.given("retries"); n != nil {
		d.Retry = p.retries(n, d.Retry)
	}
	if n := f.given("max_tokens"); n != nil {
		d.MaxTokens = p.count(n, "max_tokens", 1)
	}
	if n := f.given("max_turns"); n != nil {
		d.MaxTurns = p.count(n, "max_turns", 1)
	}
	if n := f.given("effort"); n != nil {
		d.Effort = p.oneOf(n, "effort", efforts)
	}
	if n := f.given("thinking"); n != nil {
		d.Thinking = p.thinking(n)
	}
	if n := f.given("temperature"); n != nil {
		d.Temperature = p.temperature(n)
	}
	if n := f.given("latency"); n != nil {
		d.Latency = Latency(p.oneOf(n, "latency", []string{string(LatencyLive), string(LatencyBatch)}))
	}
	return d
}

// retries reads "3" or "{max: 3, backoff: 2s, max_backoff: 1m}".
func (p *reader) retries(n *yaml.Node, r Retry) Retry {
	if n.Kind != yaml.MappingNode {
		r.Max = p.count(n, "retries", 0)
		return r
	}
	f, ok := p.fields(n, "retries", retryKeys)
	if !ok {
		return r
	}
	if n := f.given("max"); n != nil {
		r.Max = p.count(n, "max", 0)
	}
	if n := f.given("backoff"); n != nil {
		r.Backoff = p.duration(n, "backoff")
	}
	if n := f.given("max_backoff"); n != nil {
		r.MaxBackoff = p.duration(n, "max_backoff")
		if r.MaxBackoff > 0 && r.MaxBackoff < r.Backoff {
			p.fail(n, nil, "", "max_backoff %s is shorter than backoff %s", n.Value, r.Backoff)
		}
	}
	return r
}
