package workflow

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	yaml "go.yaml.in/yaml/v4"
)

// SlashCommand is a prompt that is kept in a file of its own, in which a step's arguments
// replace placeholders: a slash command.
type SlashCommand struct {
	Name  string               `json:"name"`
	Body  []SlashCommandPart   `json:"body"`
	Files [][]SlashCommandPart `json:"files,omitempty"` // paths of the files that the body refers to
	Model string               `json:"model,omitempty"` // of a step that says no other; empty: the agent's
	Notes []string             `json:"notes,omitempty"` // what validation says of a step that has it
}

// SlashCommandPart is a text or a placeholder. At most one of All and Position is set.
type SlashCommandPart struct {
	Text     string `json:"text"`               // as written
	All      bool   `json:"all,omitempty"`      // all arguments
	Position int    `json:"position,omitempty"` // the argument, from 1; one that is not given leaves Text
}

// foundSlashCommand is what [Options.SlashCommand] returned.
type foundSlashCommand struct {
	command *SlashCommand
	err     error
	noted   bool // its notes are among those of a file
}

// SlashCommands returns the commands that steps of w, and of the files below it, have as their
// tasks, by what [Options.SlashCommand] was asked for.
func (w *Workflow) SlashCommands() map[string]*SlashCommand { return maps.Clone(w.commands) }

// command returns what Options.SlashCommand says of a name, which it is asked once.
func (l *loader) command(name string) (*SlashCommand, error) {
	c, ok := l.commands[name]
	if !ok {
		c.command, c.err = l.opts.SlashCommand(name)
		if l.commands == nil {
			l.commands = map[string]foundSlashCommand{}
		}
		l.commands[name] = c
	}
	return c.command, c.err
}

// usedCommands returns the commands that were found.
func (l *loader) usedCommands() map[string]*SlashCommand {
	if len(l.commands) == 0 {
		return nil
	}
	used := make(map[string]*SlashCommand, len(l.commands))
	for name, c := range l.commands {
		used[name] = c.command
	}
	return used
}

// slashCommand returns the command that a step has instead of a task; nil if it has none
// or a wrong one.
func (p *reader) slashCommand(d *draft) *SlashCommand {
	n := d.fields.given("command")
	if n == nil {
		if args := d.fields.given("arguments"); args != nil {
			p.fail(args, nil, "write what the agent is asked in the task", "arguments belong to a command, and %s has none", d.of())
		}
		return nil
	}
	if task := d.fields.given("task"); task != nil {
		p.fail(task, nil, "a command is the task; what it is to work on are its arguments", "%s has both task and command", d.of())
	}
	const program = "command names a file of .claude/commands, as review does review.md; to run a program write run: [go, test, ./...]"
	if n.Kind != yaml.ScalarNode {
		p.fail(n, nil, program, "command must be a name, not %s", kindOf(n))
		return nil
	}
	name := strings.TrimPrefix(p.plain(n, "command"), "/")
	switch {
	case name == "":
		return nil
	case strings.ContainsFunc(name, unicode.IsSpace):
		p.fail(n, nil, program, "command must be a name, and %s has spaces", quote(name))
		return nil
	case p.loader.opts.SlashCommand == nil:
		p.fail(n, ErrNotSupported, "", "command: commands cannot be found here")
		return nil
	}
	if strings.HasSuffix(name, ".md") { // a path, as that of a workflow
		own := filepath.FromSlash(n.Value)
		name = filepath.Join(filepath.Dir(p.file), own)
		if filepath.IsAbs(own) || !filepath.IsLocal(own) && !filepath.IsLocal(name) {
			p.fail(n, nil, "write a path from the folder of this file, below that or below the project's folder", "command %s is outside of the project", quote(n.Value))
			return nil
		}
	}
	c, err := p.loader.command(name)
	if err != nil {
		p.fail(n, err, "", "%s", err)
		return nil
	}
	if found := p.loader.commands[name]; !found.noted {
		for _, text := range c.Notes {
			p.note(n, "", "%s", text)
		}
		found.noted = true
		p.loader.commands[name] = found
	}
	d.Command = c.Name
	return c
}

// over returns defaults with the model of a command over them.
func (c *SlashCommand) over(d Defaults) Defaults {
	if c != nil && c.Model != "" {
		d.Model = c.Model
	}
	return d
}

// fillCommand makes the task, and the files that it refers to, of the command and the
// arguments of a step.
func (p *reader) fillCommand(d *draft, v view, c *SlashCommand) {
	args := p.slashArguments(d, v)
	if args == nil {
		return
	}
	var missing []string
	body, replaced := args.fill(c.Body, &missing)
	if !replaced && len(args.whole) > 0 {
		body = append(append(body, part{text: "\n\nARGUMENTS: "}), args.whole...)
	}
	n := d.fields.given("command")
	if len(missing) > 0 {
		p.note(n, "", "command %s has %s, for which there is no argument; it stays in the task", quote(c.Name), list(missing))
	}
	d.Task = templateOf(body)
	if strings.TrimSpace(d.Task.source) == "" {
		p.fail(n, nil, "", "command %s is empty", quote(c.Name))
	}
	for _, file := range c.Files {
		var without []string
		parts, _ := args.forPath().fill(file, &without)
		if path := templateOf(parts); len(without) == 0 && strings.TrimSpace(path.source) != "" {
			d.Files = append(d.Files, p.commandFile(n, path))
		}
	}
}

// commandFile returns the path of a file that a command refers to. A value of the
// arguments that is all of it may be a list.
func (p *reader) commandFile(n *yaml.Node, path *Template) *Value {
	one, single := single(path.parts)
	switch {
	case single:
		return &Value{source: path.source, expr: one.expr}
	case !hasExpression(path.parts):
		return Fixed(path.parts[0].text)
	}
	for _, part := range path.parts {
		if part.expr != nil && (part.expr.typ == "array" || part.expr.typ == "object") {
			p.fail(n, ErrExpression, "", "the path of a file in command %s needs a text, and the argument is of type %s", quote(n.Value), part.expr.typ)
		}
	}
	return &Value{source: path.source, text: path}
}

// templateOf returns the template of parts, of which texts that follow one another become
// one.
func templateOf(parts []part) *Template {
	t := &Template{}
	var source strings.Builder
	for _, p := range parts {
		last := len(t.parts) - 1
		switch {
		case p.expr != nil:
			source.WriteString(exprOpen + p.expr.source + exprClose)
			t.parts = append(t.parts, p)
			continue
		case p.text == "":
			continue
		case last >= 0 && t.parts[last].expr == nil:
			t.parts[last].text += p.text
		default:
			t.parts = append(t.parts, p)
		}
		source.WriteString(strings.ReplaceAll(p.text, exprOpen, escapedOpen))
	}
	t.source = source.String()
	return t
}

// arguments are those of a command: all of them as one text, and each by itself.
type arguments struct {
	whole []part
	words [][]part
}

// forPath returns the arguments for the path of a file, which has no more than one.
func (a *arguments) forPath() *arguments {
	if len(a.words) == 0 {
		return a
	}
	return &arguments{whole: a.words[0], words: a.words}
}

// fill replaces the placeholders of a text, and reports whether there were any that
// arguments replaced. Those without an argument are added to missing.
func (a *arguments) fill(text []SlashCommandPart, missing *[]string) (parts []part, replaced bool) {
	for _, p := range text {
		switch {
		case p.All:
			parts, replaced = append(parts, a.whole...), true
		case p.Position > 0 && p.Position <= len(a.words):
			parts, replaced = append(parts, a.words[p.Position-1]...), true
		default:
			if p.Position != 0 && !slices.Contains(*missing, p.Text) {
				*missing = append(*missing, p.Text)
			}
			parts = append(parts, part{text: p.Text})
		}
	}
	return parts, replaced
}

// slashArguments reads the arguments of a step's command: a text, which blanks split, or a
// list. It returns nil if they are wrong.
func (p *reader) slashArguments(d *draft, v view) *arguments {
	n := d.fields.given("arguments")
	a := &arguments{}
	if n == nil {
		return a
	}
	before := p.failures
	read := func(n *yaml.Node, what string) []part {
		text := *follow(n)
		if text.Kind == yaml.ScalarNode && !isNull(&text) {
			text.Tag = "!!str" // a number stays as it is written
		}
		if t := p.template(d, v, &text, what); t != nil {
			return t.parts
		}
		return nil
	}
	if n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			word := read(c, "an argument")
			if i > 0 {
				a.whole = append(a.whole, part{text: " "})
			}
			a.whole, a.words = append(a.whole, word...), append(a.words, word)
		}
	} else {
		a.whole = read(n, "arguments")
		a.words = words(a.whole)
	}
	if p.failures > before {
		return nil
	}
	for _, word := range a.words {
		if len(word) > 0 && word[0].expr == nil && len(word[0].text) > 1 && word[0].text[0] == '@' {
			p.note(n, "give it under files if it is one", "argument %s is a text for the agent, and not read as a file", quote(word[0].text))
		}
	}
	return a
}

// words splits a text at blanks, as a shell does: quotes and backslashes keep them. A
// quote without an end is a character. What an expression gives is never split.
func words(parts []part) [][]part {
	var line []any // runes and expressions
	for _, p := range parts {
		if p.expr != nil {
			line = append(line, p)
			continue
		}
		for _, r := range p.text {
			line = append(line, r)
		}
	}
	var all [][]part
	var word []part
	var text []rune
	started := false
	flush := func() {
		if len(text) > 0 {
			word, text = append(word, part{text: string(text)}), nil
		}
	}
	var quote rune // that is open
	for i := 0; i < len(line); i++ {
		r, ok := line[i].(rune)
		switch {
		case !ok:
			flush()
			word = append(word, line[i].(part))
		case quote == 0 && unicode.IsSpace(r):
			if flush(); started {
				all, word, started = append(all, word), nil, false
			}
			continue
		case r == '\\' && quote != '\'' && i+1 < len(line) && isRune(line[i+1]):
			i++
			text = append(text, line[i].(rune))
		case quote == r && quote != 0:
			quote = 0
		case quote == 0 && (r == '"' || r == '\'') && slices.Contains(line[i+1:], any(r)):
			quote = r
		default:
			text = append(text, r)
		}
		started = true
	}
	if flush(); started {
		all = append(all, word)
	}
	return all
}

func isRune(v any) bool {
	_, ok := v.(rune)
	return ok
}
