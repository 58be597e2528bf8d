package workflow

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

// Save is a file that an output is saved in.
type Save struct {
	Path   *Template
	Format RunOutput // one of [OutputText], [OutputJSON], [OutputCSV] and [OutputJSONLines]; empty: that of the path's extension
}

// saveFormats are the formats of saved files.
var saveFormats = []string{string(OutputText), string(OutputJSON), string(OutputCSV), string(OutputJSONLines)}

// Limits of the names of saved files, in bytes. They are those of common file systems.
const (
	maxPath     = 4096
	maxPathPart = 255
)

// Name returns the path of the file with the values of its expressions: with slashes,
// and without . and .. where they mean nothing. A value cannot lead out of the folder
// that the text before the first expression names.
func (s *Save) Name(env Env) (string, error) {
	rendered, err := s.Path.Render(env)
	if err != nil {
		return "", err
	}
	name, err := filePath(rendered)
	if err != nil {
		return "", err
	}
	if folder := s.folder(); folder != "" && !strings.HasPrefix(name, folder) {
		return "", fmt.Errorf("%s is not in %s, where %s begins: a value of the path leads out of it", quote(rendered), quote(folder), quote(s.Path.Source()))
	}
	return name, nil
}

// folder returns the folder, with a slash behind it, that the path is in whatever its
// values are; empty if there is none, or no values.
func (s *Save) folder() string {
	if len(s.Path.parts) < 2 || s.Path.parts[0].expr != nil {
		return ""
	}
	text := filepath.ToSlash(s.Path.parts[0].text)
	end := strings.LastIndexByte(text, '/')
	if end < 0 {
		return ""
	}
	switch folder := path.Clean(text[:end+1]); folder {
	case ".":
		return ""
	case "/":
		return "/"
	default:
		return folder + "/"
	}
}

// filePath returns a text as the path of a file, or an error if it is none.
func filePath(text string) (string, error) {
	name := path.Clean(filepath.ToSlash(text))
	switch {
	case text == "":
		return "", errors.New("the path is empty")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return "", fmt.Errorf("the path %s has characters that names of files cannot have", quote(text))
	case name == "." || name == "/" || name == ".." || strings.HasSuffix(name, "/..") || strings.HasSuffix(filepath.ToSlash(text), "/"):
		return "", fmt.Errorf("the path %s is that of a folder, not of a file", quote(text))
	case len(name) > maxPath:
		return "", fmt.Errorf("the path %s is longer than %d bytes", quote(text), maxPath)
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxPathPart {
			return "", fmt.Errorf("a part of the path %s is longer than %d bytes", quote(text), maxPathPart)
		}
	}
	return name, nil
}

// SameFile returns a text that is equal for two paths of [Save.Name] if some file system
// takes them for the same file: it does not tell upper from lower case.
func SameFile(name string) string {
	return strings.ToLower(strings.ToUpper(name))
}

// Content returns what the file with a name holds: of [OutputText] the output as it is,
// else its value v, which is nil if the output is not JSON.
func (s *Save) Content(name, output string, v any) (string, error) {
	format := s.Format
	if format == "" {
		format = formatOf(name)
	}
	text, err := encodeAs(format, output, v)
	if err != nil && s.Format == "" {
		err = fmt.Errorf("%w; the extension of %s asks for it: write save: {path: ..., format: text} for the text as it is", err, quote(path.Base(name)))
	}
	return text, err
}

// Extension returns the extension of the file, such as ".csv"; empty if there is none or
// a value decides on it.
func (s *Save) Extension() string {
	if s == nil {
		return ""
	}
	last := s.Path.parts[len(s.Path.parts)-1]
	if last.expr != nil {
		return ""
	}
	return path.Ext(filepath.ToSlash(last.text))
}

// formatOf returns the format that the extension of a name stands for.
func formatOf(name string) RunOutput {
	switch strings.ToLower(path.Ext(name)) {
	case ".json":
		return OutputJSON
	case ".csv":
		return OutputCSV
	case ".jsonl", ".ndjson":
		return OutputJSONLines
	}
	return OutputText
}

// refs yields what the expressions of the path refer to.
func (s *Save) refs(yield func(ref) bool) {
	if s != nil {
		s.Path.refs(yield)
	}
}

// saved is a file that a step of the workflow saves, to find another of the same name.
type saved struct {
	d    *draft // nil: the workflow itself
	node *yaml.Node
	save *Save
}

// of returns who saves the file.
func (s saved) of() string {
	if s.d == nil {
		return "the workflow"
	}
	return s.d.of()
}

// save reads the file that the output of a step, or of the workflow if d is nil, is
// saved in: a path, or a mapping with the path and its format.
func (p *reader) save(d *draft, v view, n *yaml.Node) *Save {
	const hint = "write save: report.md, or save: {path: rows.csv, format: csv}"
	out := &Save{}
	where := p.alone(n, "save", "path", hint, saveKeys, func(f fields) {
		if o := f.given("format"); o != nil {
			out.Format = RunOutput(p.oneOf(o, "format", saveFormats))
		}
	})
	if where == nil {
		return nil
	}
	if where.Kind != yaml.ScalarNode {
		p.fail(where, nil, hint, "save must name a file, not %s", kindOf(where))
		return nil
	}
	before := p.failures
	if out.Path = p.template(d, v, where, "save"); p.failures > before {
		return out
	}
	p.paths(where, out.Path, "save")
	if text, ok := out.Path.constant(); ok {
		if _, err := filePath(text); err != nil {
			p.fail(where, nil, "", "save: %s", err)
		}
	}
	if d != nil {
		p.checkVaries(d, where, out)
	}
	p.saves = append(p.saves, saved{d, where, out})
	return out
}

// constant returns the text of a template without expressions.
func (t *Template) constant() (string, bool) {
	if len(t.parts) != 1 || t.parts[0].expr != nil {
		return "", false
	}
	return t.parts[0].text, true
}

// checkVaries reports a path that is the same for all items of a foreach, or all
// iterations of a loop, that the step is within.
func (p *reader) checkVaries(d *draft, n *yaml.Node, s *Save) {
	nearest := true // no foreach is between it and the step
	for at := d; at != nil; at = at.level.owner {
		switch {
		case at.Foreach != nil && !p.varies(s, at, "item", nearest):
			value := "item"
			if at.Foreach.Name != "" {
				value = at.Foreach.Name
			}
			p.fail(n, nil, "put the item in the path, such as out/${{ "+value+" }}.md", "%s saves each item of %s in the same file", d.of(), at.of())
			return
		case at != d && at.fields.given("loop") != nil && !p.varies(s, at, "loop", true):
			p.fail(n, nil, "put ${{ loop.index }} in the path, or save on "+at.of(), "%s saves each iteration of %s in the same file", d.of(), at.of())
			return
		}
		nearest = nearest && at.Foreach == nil
	}
}

// varies reports whether a path may differ between the items or iterations of a step:
// it refers to the root of that name, or to a result from within the step.
func (p *reader) varies(s *Save, owner *draft, root string, nearest bool) bool {
	for r := range s.refs {
		switch r.root {
		case root:
			if root == "loop" || r.name == "" && nearest || r.name != "" && r.name == owner.Foreach.Name {
				return true
			}
		case previous:
			if root == "loop" {
				return true
			}
		case "steps":
			for l := p.scope.home[r.name]; l != nil && l.owner != nil; l = l.owner.level {
				if l.owner == owner {
					return true
				}
			}
		}
	}
	return false
}

// savedTwice reports files that two steps save. Those of steps with a condition, which
// may exclude each other, and of fallbacks are found when they run.
func (p *reader) savedTwice() {
	first := map[string]saved{}
	for _, s := range p.saves {
		if s.d != nil && s.d.conditional() {
			continue
		}
		key, known := s.key()
		if !known {
			continue
		}
		other, twice := first[key]
		switch {
		case !twice:
			first[key] = s
		case s.d != nil && other.d != nil && (s.d.Fallback == other.d.ID || other.d.Fallback == s.d.ID):
		default:
			p.fail(s.node, nil, "", "%s saves the file that %s saves in line %d", s.of(), other.of(), other.node.Line)
		}
	}
}

// key returns a text that is equal for paths which are the same in every run. It
// reports false if the path is not known before its step has run.
func (s saved) key() (string, bool) {
	if text, ok := s.save.Path.constant(); ok {
		name, err := filePath(text)
		return SameFile(name), err == nil
	}
	for r := range s.save.refs {
		if r.root != "params" && r.root != "vars" && r.root != "env" && r.root != "run" {
			return "", false
		}
	}
	return s.save.Path.Source(), true
}

// conditional reports whether the step, or one around it, may be skipped by its
// condition.
func (d *draft) conditional() bool {
	for at := d; at != nil; at = at.level.owner {
		if at.When != nil {
			return true
		}
	}
	return false
}
