package workflow

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// Run is what a step runs instead of an agent: a program with arguments, or a text for
// Bash. Exactly one of Args and Script is set.
type Run struct {
	Args   []*Value             // a value that is a list stands for several arguments
	Script *Template            // holds expressions only with Splice
	Splice bool                 // the author has asked for values within the script
	Stdin  *Template            // nil: empty
	Env    map[string]*Template // variables of the command
	Cwd    *Template            // below the project's folder; nil for that itself
	Output RunOutput
	// ExitCodes are those that are no failure; never empty.
	ExitCodes []int
}

// RunOutput says what the output of a command is to its readers.
type RunOutput string

// Outputs of commands.
const (
	OutputText  RunOutput = "text"  // as it is, without the line breaks at its end
	OutputLines RunOutput = "lines" // a list of its lines
	OutputJSON  RunOutput = "json"  // a JSON document
)

// Command is a [Run] with its values filled in.
type Command struct {
	Args   []string `json:"args,omitempty"`
	Script string   `json:"script,omitempty"`
	Stdin  string   `json:"stdin,omitempty"`
	Env    []string `json:"env,omitempty"` // NAME=value, by name
	Cwd    string   `json:"cwd,omitempty"`
}

// Command returns the command with the values that its expressions have.
func (r *Run) Command(env Env) (Command, error) {
	var c Command
	var errs []error
	text := func(t *Template) string {
		s, err := t.Render(env)
		if strings.ContainsRune(s, 0) {
			err = errors.New("a value holds a NUL character, which no command can be given")
		}
		errs = append(errs, err)
		return s
	}
	c.Script, c.Cwd = text(r.Script), text(r.Cwd)
	var err error
	c.Stdin, err = r.Stdin.Render(env)
	errs = append(errs, err)
	for _, name := range sortedKeys(r.Env) {
		c.Env = append(c.Env, name+"="+text(r.Env[name]))
	}
	for i, arg := range r.Args {
		words, err := argument(arg, env)
		if err != nil {
			errs = append(errs, fmt.Errorf("argument %d: %w", i, err))
		}
		c.Args = append(c.Args, words...)
	}
	if len(r.Args) > 0 && (len(c.Args) == 0 || c.Args[0] == "") {
		errs = append(errs, errors.New("the name of the program is empty"))
	}
	return c, errors.Join(errs...)
}

// line returns the command without what is only data to it.
func (r *Run) line() *Run {
	line := &Run{Args: r.Args, Script: r.Script, Cwd: r.Cwd, Env: map[string]*Template{}}
	for name, value := range r.Env {
		if !strings.HasPrefix(name, dataPrefix) {
			line.Env[name] = value
		}
	}
	return line
}

// dataPrefix starts the names of variables that are data.
const dataPrefix = "INPUT_"

// CommandLine returns the part of the command that needs permission: without its input
// and variables that are data.
func (r *Run) CommandLine(env Env) (Command, error) { return r.line().Command(env) }

// Line yields the names that the expressions of [Run.CommandLine] use.
func (r *Run) Line() iter.Seq2[string, string] { return uses(r.line().refs) }

// argument returns the arguments that a value stands for.
func argument(v *Value, env Env) ([]string, error) {
	words, err := v.Texts(env)
	if slices.ContainsFunc(words, func(word string) bool { return strings.ContainsRune(word, 0) }) {
		return nil, errors.New("a value holds a NUL character, which no command can be given")
	}
	return words, err
}

// Texts returns the texts that the value stands for: of a list those of its elements. A
// value that does not exist is an error, and so is an element.
func (v *Value) Texts(env Env) ([]string, error) {
	got, err := v.Eval(env)
	if err != nil {
		return nil, err
	}
	list, isList := got.([]any)
	if !isList {
		list = []any{got}
	}
	if got == nil && v.expr != nil {
		return nil, fmt.Errorf("evaluating ${{ %s }}: %s", strings.TrimSpace(v.expr.source), v.expr.whyNil())
	}
	words := make([]string, len(list))
	for i, e := range list {
		if e == nil {
			return nil, errors.New("there is no such value")
		}
		if words[i], err = render(e); err != nil {
			return nil, err
		}
	}
	return words, nil
}

// Source returns the command as it is in the file, on one line.
func (r *Run) Source() string {
	text := r.Script.Source()
	if r.Args != nil {
		words := make([]string, len(r.Args))
		for i, arg := range r.Args {
			words[i] = arg.Source()
		}
		text = strings.Join(words, " ")
	}
	return strings.Join(strings.Fields(text), " ")
}

func (r *Run) refs(yield func(ref) bool) {
	if r == nil {
		return
	}
	all := []*Template{r.Script, r.Stdin, r.Cwd}
	for _, name := range sortedKeys(r.Env) {
		all = append(all, r.Env[name])
	}
	for _, t := range all {
		for ref := range t.refs {
			if !yield(ref) {
				return
			}
		}
	}
	for _, v := range r.Args {
		if !v.walk(yield) {
			return
		}
	}
}

// Uses yields the names that the command's expressions use, like [Template.Uses].
func (r *Run) Uses() iter.Seq2[string, string] { return uses(r.refs) }

// maxArgs bounds the arguments of a command in a file.
const maxArgs = 1000

// command reads a step that runs a command: a text for the shell, a list of
// arguments, or a mapping with either under command.
func (p *reader) command(d *draft, v view) {
	p.settingsOf(d, Defaults{})
	n := d.fields.given("run")
	r := &Run{Output: OutputText, ExitCodes: []int{0}}
	d.Run = r
	what := p.alone(n, "run", "command", "write run: {command: [go, test, ./...]}", runKeys, func(f fields) { p.commandFields(d, v, f) })
	if what == nil {
		return
	}
	if what.Kind == yaml.SequenceNode {
		p.arguments(d, v, what)
		return
	}
	t := p.template(d, v, what, "run")
	if r.Script = t; t == nil || !hasExpression(t.parts) {
		return
	}
	if r.Splice {
		p.note(what, `"$INPUT_X" in the text with env: {INPUT_X: "${{ ... }}"} passes a value as data`, "step %s puts values into the text of a shell command, where they can become commands", d.ID)
		return
	}
	p.fail(what, nil, `give it as an argument (run: [program, "${{ ... }}"]) or a variable (env: {INPUT_X: "${{ ... }}"}, and "$INPUT_X" in the text); splice: true inserts it all the same`,
		"a value in the text of a shell command can become a command of its own")
}

// commandFields reads what stands beside the command.
func (p *reader) commandFields(d *draft, v view, f fields) {
	r := d.Run
	if n := f.given("splice"); n != nil {
		value, ok := p.value(n)
		if r.Splice, _ = value.(bool); ok && !r.Splice && value != false {
			p.fail(n, nil, "", "splice must be true or false")
		}
	}
	if n := f.given("stdin"); n != nil {
		r.Stdin = p.template(d, v, n, "stdin")
	}
	if n := f.given("cwd"); n != nil {
		r.Cwd = p.template(d, v, n, "cwd")
	}
	if n := f.given("output"); n != nil {
		r.Output = RunOutput(p.oneOf(n, "output", []string{string(OutputText), string(OutputLines), string(OutputJSON)}))
	}
	if n := f.given("exit_codes"); n != nil {
		r.ExitCodes = p.exitCodes(n)
	}
	if n := f.given("env"); n != nil {
		if n.Kind != yaml.MappingNode {
			p.fail(n, nil, "write env: {NAME: value}", "env must be a mapping from names to texts, not %s", kindOf(n))
			return
		}
		r.Env = map[string]*Template{}
		p.entries(n, func(key, value *yaml.Node) {
			if !validID(key.Value) || strings.Contains(key.Value, "-") {
				p.fail(key, nil, "use letters, digits and _", "%s is no name of an environment variable", quote(key.Value))
				return
			}
			if value.Kind == yaml.ScalarNode && value.Tag == "!!str" && value.Value == "" {
				r.Env[key.Value] = Literal("")
				return
			}
			r.Env[key.Value] = p.template(d, v, value, key.Value)
		})
	}
}

func (p *reader) exitCodes(n *yaml.Node) []int {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	var codes []int
	for _, c := range nodes {
		if code := p.count(follow(c), "exit_codes", 0); code <= 255 {
			codes = append(codes, code)
		} else {
			p.fail(c, nil, "", "exit codes are 0 to 255")
		}
	}
	if len(codes) == 0 {
		p.fail(n, nil, "write exit_codes: [0, 1]", "exit_codes is empty")
	}
	return codes
}

func (p *reader) arguments(d *draft, v view, n *yaml.Node) {
	switch {
	case len(n.Content) == 0:
		p.fail(n, nil, "write run: [program, argument, ...]", "the command is empty")
	case len(n.Content) > maxArgs:
		p.fail(n, ErrTooLarge, "", "the command has more than %d arguments", maxArgs)
	}
	words := make([]word, 0, len(n.Content))
	for _, c := range n.Content {
		if c = follow(c); c.Kind != yaml.ScalarNode || isNull(c) {
			p.fail(c, nil, "put it in quotes", "an argument of a command must be a text, not %s", kindOf(c))
			continue
		}
		// Numbers and words such as true are the texts that were written.
		text := *c
		text.Tag = "!!str"
		if val := p.valueOf(d, v, &text, "run"); val != nil {
			d.Run.Args = append(d.Run.Args, val)
			words = append(words, word{c.Value, val.constant()})
		}
	}
	if len(words) < len(n.Content) {
		return // it is reported
	}
	if i, program := interpreted(words); i >= 0 {
		p.note(follow(n.Content[i]), `pass the value beside the code: [bash, -c, 'echo "$1"', bash, "${{ ... }}"], or as a variable`,
			"step %s gives a value to %s as code, which runs whatever the value says", d.ID, program)
	}
}

// Succeeded reports whether an exit code is no failure.
func (r *Run) Succeeded(code int) bool { return slices.Contains(r.ExitCodes, code) }
