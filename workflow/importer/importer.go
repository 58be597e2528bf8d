// Package importer reads workflow files of other tools and writes them as workflow
// files of this project.
//
// [Import] takes a file of microsoft/conductor, dagucloud/dagu or block/goose, or a
// claude.json of the first claude-force. What has no counterpart is named in a comment
// at its place in the result and in [Result.Notes]. A step that cannot be carried over
// becomes a question to a person, so that no run goes on as if it had been done. The
// result is always a valid workflow: Import checks it with [workflow.Parse].
//
// The package is pure: it reads no other file than the one that it is given.
package importer

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/workflow"
)

// Format names what a file was written for.
type Format string

// Formats that [Import] reads.
const (
	Conductor  Format = "conductor"   // a workflow of microsoft/conductor
	Dagu       Format = "dagu"        // a DAG of dagucloud/dagu
	Goose      Format = "goose"       // a recipe of block/goose
	ClaudeJSON Format = "claude-json" // a claude.json of the first claude-force
)

// Formats lists the formats in the order in which they are documented.
var Formats = []Format{Conductor, Dagu, Goose, ClaudeJSON}

// ErrUnknown is wrapped by the error for a file that is of none of the formats.
var ErrUnknown = errors.New("the file is of no format that can be imported")

// Options say how a file is read.
type Options struct {
	From     Format // empty: recognise it
	Workflow string // which one of a file that has several; empty: the only one
}

// Kind says what became of something that was not carried over as it is.
type Kind string

// Kinds of notes.
const (
	Changed Kind = "changed" // it does nearly the same
	Missing Kind = "missing" // it is left out
)

// Note says what was not carried over as it is.
type Note struct {
	Line    int    `json:"line"` // in the file that was imported, from 1; 0: the file as a whole
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
}

// Result is a file that was imported.
type Result struct {
	Format Format
	YAML   []byte // the workflow
	Steps  int    // of the workflow, those within others too
	Notes  []Note // by line
}

// Import reads a file of another tool. The name of the file is used in errors only.
// Errors about its contents begin with the name and, if known, the line.
func Import(file string, data []byte, opts Options) (*Result, error) {
	docs, err := load(data)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	format := opts.From
	if format == "" {
		if format = detect(docs[0]); format == "" {
			return nil, fmt.Errorf("%s: %w: %s", file, ErrUnknown, lookedFor)
		}
	}
	r, err := convert(docs, format, opts, false)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	if _, err = workflow.Parse(file, r.YAML, workflow.Options{}); err != nil {
		// An expression that was translated does not fit: leave all of them out.
		if r, err = convert(docs, format, opts, true); err != nil {
			return nil, fmt.Errorf("%s:%w", file, err)
		}
	}
	wf, err := workflow.Parse(file, r.YAML, workflow.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: cannot be imported, since the result would not be a valid workflow: %w", file, firstOf(err))
	}
	r.Steps = count(wf)
	return r, nil
}

// convert returns the workflow for a file, without its number of steps. With plain,
// templates and conditions are not translated.
func convert(docs []*yaml.Node, format Format, opts Options, plain bool) (*Result, error) {
	im := &importer{opts: opts, plain: plain, ids: map[string]bool{}}
	out := newMapping()
	var err error
	switch format {
	case Conductor:
		err = im.conductor(docs[0], out)
	case Dagu:
		err = im.dagu(docs, out)
	case Goose:
		err = im.goose(docs[0], out)
	case ClaudeJSON:
		err = im.claudeJSON(docs[0], out)
	default:
		err = fmt.Errorf(" unknown format %q", format)
	}
	if err != nil {
		return nil, err
	}
	text, err := im.encode(out, format)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(im.notes, func(a, b Note) int { return a.Line - b.Line })
	return &Result{Format: format, YAML: text, Notes: im.notes}, nil
}

// firstOf returns the first of several errors of a workflow without its place, which is
// that in a file that no one has seen.
func firstOf(err error) error {
	var all workflow.Errors
	if errors.As(err, &all) && len(all) > 0 {
		return errors.New(all[0].Message)
	}
	return err
}

func count(wf *workflow.Workflow) int {
	n := len(wf.Steps)
	for _, s := range wf.Steps {
		if s.Body != nil {
			n += count(s.Body)
		}
	}
	return n
}

// lookedFor says by which keys the formats are recognised.
const lookedFor = "a conductor workflow has workflow with entry_point, and agents; a dagu DAG has steps with run, command, script or action; a goose recipe has title with prompt or instructions; a claude.json has agents and workflows as mappings. Say which it is if it is one of them"

// detect returns the format of a file by its keys; empty if it is none that is known.
func detect(doc *yaml.Node) Format {
	has := func(key string, kind yaml.Kind) bool {
		n := get(doc, key)
		return n != nil && n.Kind == kind
	}
	switch {
	case get(get(doc, "workflow"), "entry_point") != nil:
		return Conductor
	case has("workflows", yaml.MappingNode) && has("agents", yaml.MappingNode):
		return ClaudeJSON
	case get(doc, "title") != nil && (has("prompt", yaml.ScalarNode) || has("instructions", yaml.ScalarNode)):
		return Goose
	}
	if slices.ContainsFunc(list(get(doc, "steps")), func(s *yaml.Node) bool {
		return s.Kind == yaml.MappingNode && get(s, "task", "prompt", "agent") == nil && (get(s, "command", "script", "action", "depends") != nil || get(s, "run") != nil && get(s, "dependencies") == nil && get(doc, "params", "env", "type", "schedule") != nil)
	}) {
		return Dagu
	}
	return ""
}

// importer builds the result of one file.
type importer struct {
	opts  Options
	plain bool // do not translate templates and conditions
	notes []Note
	ids   map[string]bool // of steps
}

// encode returns the text of the workflow.
func (im *importer) encode(out *mapping, format Format) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Imported from a file of %s.", format)
	switch n := len(im.notes); n {
	case 0:
	case 1:
		b.WriteString(" One comment says what is not as it was.")
	default:
		fmt.Fprintf(&b, " %d comments say what is not as it was.", n)
	}
	b.WriteString("\n")
	text, err := yaml.Dump(out.node, yaml.WithIndent(2), yaml.WithLineWidth(-1), yaml.WithCompactSeqIndent(false))
	if err != nil {
		return nil, fmt.Errorf(" writing the workflow: %w", err)
	}
	return append(b.Bytes(), text...), nil
}

// note records what became of the source node at, and says it in a comment above the
// output node to.
func (im *importer) note(to, at *yaml.Node, kind Kind, format string, args ...any) {
	n := Note{Kind: kind, Message: oneLine(fmt.Sprintf(format, args...))}
	if at != nil {
		n.Line = at.Line
	}
	if !slices.Contains(im.notes, n) {
		im.notes = append(im.notes, n)
	}
	comment := "import: " + n.Message
	if n.Line > 0 {
		comment = fmt.Sprintf("import, line %d: %s", n.Line, n.Message)
	}
	if to.HeadComment != "" {
		to.HeadComment += "\n"
	}
	to.HeadComment += "# " + comment
}

// dropped notes that the keys of a mapping in the source which are none of the known
// ones have no counterpart.
func (im *importer) dropped(to, from *yaml.Node, what string, known ...string) {
	for key, value := range entries(from) {
		if !slices.Contains(known, key.Value) && !isNull(value) {
			im.note(to, key, Missing, "%s of %s has no counterpart: %s", key.Value, what, show(value))
		}
	}
}

var idText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^A-Za-z0-9_-]+`) })

// newID returns an id for a step that is not used yet, as much like name as an id can be.
func (im *importer) newID(name string) string {
	id := strings.Trim(idText().ReplaceAllString(name, "-"), "-")
	if len(id) > 60 {
		id = strings.TrimRight(id[:60], "-")
	}
	if id == "" || !isLetter(rune(id[0])) {
		id = strings.TrimRight("step-"+id, "-")
	}
	for base, i := id, 2; im.ids[id]; i++ {
		id = fmt.Sprintf("%s-%d", base, i)
	}
	im.ids[id] = true
	return id
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

var nameText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^A-Za-z0-9_]+`) })

// nameOf returns a name for a parameter or a value that expressions can hold.
func nameOf(s string) string {
	s = strings.Trim(nameText().ReplaceAllString(s, "_"), "_")
	if s == "" || !isLetter(rune(s[0])) {
		s = "p_" + s
	}
	return s
}

// byHand makes a step ask a person to do what cannot be carried over.
func (im *importer) byHand(step *mapping, at *yaml.Node, what string) {
	im.note(step.node, at, Missing, "%s has no counterpart; until it is replaced, a person is asked to do it", what)
	step.text("approval", "Not imported: "+oneLine(what)+". Do it by hand, then answer yes; no fails the step.")
}

// oneLine returns the text with blanks for line breaks and control characters, and
// shortened.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 300 {
		s = string(r[:297]) + "..."
	}
	return s
}

// models are the families whose latest model an alias names.
var models = []string{"opus", "sonnet", "haiku"}

// model carries over the name of a model.
func (im *importer) model(step *mapping, n *yaml.Node) {
	if n == nil || n.Kind != yaml.ScalarNode || n.Value == "" {
		return
	}
	for _, alias := range models {
		if n.Value == alias {
			step.text("model", alias)
			return
		}
		if strings.Contains(strings.ToLower(n.Value), alias) {
			im.note(step.text("model", alias), n, Changed, "the model was %s", n.Value)
			return
		}
	}
	im.note(step.node, n, Changed, "the model %s is of another provider; the default is used", n.Value)
}
