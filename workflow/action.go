package workflow

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

// Action is what a step does without a model.
type Action interface {
	// Fill returns what is to be done, with the values that its expressions have: a
	// [Command], [HTTPRequest], [ReadFiles] or [WriteFile], or of a step that computes it or
	// exits with it the text.
	Fill(env Env) (any, error)

	// Uses yields the names that its expressions use, like [Template.Uses].
	Uses() iter.Seq2[string, string]

	// Source returns it as it is in the file, on one line. For a person.
	Source() string

	// Identity returns all that is in the file of it, to compare with.
	Identity() string

	// Shape returns what its output is to its readers.
	Shape() RunOutput

	// Verb returns the key that makes the step do it.
	Verb() string
}

// Action returns what the step does without a model; nil if it does something else.
func (s *Step) Action() Action {
	switch {
	case s.Run != nil:
		return s.Run
	case s.HTTP != nil:
		return s.HTTP
	case s.Read != nil:
		return s.Read
	case s.Write != nil:
		return s.Write
	case s.Value != nil:
		return s.Value
	case s.Exit != nil:
		return s.Exit
	}
	return nil
}

// Fill returns the command with its values, as a [Command].
func (r *Run) Fill(env Env) (any, error) { return r.Command(env) }

// Shape returns what the command writes.
func (r *Run) Shape() RunOutput { return r.Output }

// Verb returns run.
func (r *Run) Verb() string { return "run" }

// Identity returns all that is in the file of the command.
func (r *Run) Identity() string {
	var b strings.Builder
	for _, arg := range r.Args {
		fmt.Fprintf(&b, "%q ", arg.Source())
	}
	fmt.Fprintf(&b, "\n%q %q %q %s %v\n", r.Script.Source(), r.Stdin.Source(), r.Cwd.Source(), r.Output, r.ExitCodes)
	for _, name := range sortedKeys(r.Env) {
		fmt.Fprintf(&b, "%s=%q\n", name, r.Env[name].Source())
	}
	return b.String()
}

// Outputs of steps that read files, beside those of commands.
const (
	OutputCSV       RunOutput = "csv"   // the rows below a header, each an object
	OutputJSONLines RunOutput = "jsonl" // a list of the JSON documents on its lines
)

// Read is the files that a step reads.
type Read struct {
	Files  []*Value // paths and patterns; a value that is a list stands for several
	Output RunOutput
	// Many says that the output is a list of files, each with its path, since the step
	// names a pattern or a list. Otherwise it is the content of the one file.
	Many bool
}

// ReadFiles is a [Read] with its values filled in.
type ReadFiles struct {
	Files []string `json:"read"`
}

// Fill returns the files with their values, as [ReadFiles].
func (r *Read) Fill(env Env) (any, error) {
	files := []string{}
	for _, v := range r.Files {
		words, err := argument(v, env)
		if err != nil {
			return nil, err
		}
		if slices.Contains(words, "") {
			return nil, errors.New("the path of a file to read is empty")
		}
		files = append(files, words...)
	}
	return ReadFiles{files}, nil
}

func (r *Read) refs(yield func(ref) bool) {
	if r == nil {
		return
	}
	for _, v := range r.Files {
		if !v.walk(yield) {
			return
		}
	}
}

// Uses yields the names that the expressions of the paths use.
func (r *Read) Uses() iter.Seq2[string, string] { return uses(r.refs) }

// Source returns the files as they are named in the file.
func (r *Read) Source() string {
	words := make([]string, len(r.Files))
	for i, v := range r.Files {
		words[i] = v.Source()
	}
	return strings.Join(words, " ")
}

// Identity returns all that is in the file of the files to read.
func (r *Read) Identity() string { return fmt.Sprintf("%q %s %v", r.Source(), r.Output, r.Many) }

// Shape returns what the files hold.
func (r *Read) Shape() RunOutput {
	if r.Many && r.Output == OutputText {
		return OutputJSON
	}
	return r.Output
}

// Verb returns read.
func (r *Read) Verb() string { return "read" }

// Write is a file that a step writes.
type Write struct {
	Path, Content *Template
}

// WriteFile is a [Write] with its values filled in.
type WriteFile struct {
	Path    string `json:"write"`
	Content string `json:"content"`
}

// Fill returns the file with its values, as a [WriteFile].
func (w *Write) Fill(env Env) (any, error) {
	path, err := w.Path.Render(env)
	if err == nil && (path == "" || strings.ContainsRune(path, 0) || !utf8.ValidString(path)) {
		err = fmt.Errorf("%s is no path of a file to write", quote(path))
	}
	content, err2 := w.Content.Render(env)
	return WriteFile{filepath.ToSlash(path), content}, errors.Join(err, err2)
}

func (w *Write) refs(yield func(ref) bool) {
	if w == nil {
		return
	}
	for _, t := range []*Template{w.Path, w.Content} {
		for r := range t.refs {
			if !yield(r) {
				return
			}
		}
	}
}

// Uses yields the names that the expressions of the path and the content use.
func (w *Write) Uses() iter.Seq2[string, string] { return uses(w.refs) }

// Source returns the path as it is in the file.
func (w *Write) Source() string { return w.Path.Source() }

// Identity returns all that is in the file of the file to write.
func (w *Write) Identity() string { return fmt.Sprintf("%q %q", w.Path.Source(), w.Content.Source()) }

// Shape returns that the output, the path, is a text.
func (w *Write) Shape() RunOutput { return OutputText }

// Verb returns write.
func (w *Write) Verb() string { return "write" }

// read reads a step that reads files: a path or a pattern, a list of them, or a mapping
// with either as files.
func (p *reader) read(d *draft, v view) {
	p.settingsOf(d, Defaults{})
	n := d.fields.given("read")
	d.Read = &Read{Output: OutputText}
	what := p.alone(n, "read", "files", "write read: {files: data.json, output: json}", readKeys, func(f fields) {
		if o := f.given("output"); o != nil {
			d.Read.Output = RunOutput(p.oneOf(o, "output", []string{string(OutputText), string(OutputLines), string(OutputJSON), string(OutputCSV), string(OutputJSONLines)}))
		}
	})
	if what == nil {
		return
	}
	nodes := []*yaml.Node{what}
	if d.Read.Many = what.Kind == yaml.SequenceNode; d.Read.Many {
		if nodes = what.Content; len(nodes) == 0 {
			p.fail(what, nil, "write read: notes.md", "read names no file")
		}
	}
	for _, c := range nodes {
		if c = follow(c); c.Kind != yaml.ScalarNode || isNull(c) || c.Value == "" {
			p.fail(c, nil, "write read: notes.md, or read: [notes.md, docs/*.md]", "read must name files, not %s", kindOf(c))
			continue
		}
		text := *c
		text.Tag = "!!str"
		if val := p.valueOf(d, v, &text, "read"); val != nil {
			d.Read.Files = append(d.Read.Files, val)
			d.Read.Many = d.Read.Many || val.constant() && strings.ContainsAny(c.Value, "*?[{")
		}
	}
}

// write reads a step that writes a file.
func (p *reader) write(d *draft, v view) {
	p.settingsOf(d, Defaults{})
	n := d.fields.given("write")
	d.Write = &Write{}
	const hint = `write: {path: report.md, content: "${{ steps.ID.output }}"}`
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, hint, "write must be a mapping, not %s", kindOf(n))
		return
	}
	f, ok := p.fields(n, "write", writeKeys)
	if !ok {
		return
	}
	for _, key := range writeKeys {
		switch c := f.given(key); {
		case c == nil:
			p.fail(n, nil, hint, "write has no %s", key)
		case key == "path":
			d.Write.Path = p.template(d, v, c, key)
		case c.Kind == yaml.ScalarNode && c.Tag == "!!str" && c.Value == "":
			d.Write.Content = Literal("")
		default:
			d.Write.Content = p.template(d, v, c, key)
		}
	}
}
