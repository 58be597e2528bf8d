// Package memory reads what users and projects tell every agent: CLAUDE.md, the
// files that it imports, the rules in .claude/rules and CLAUDE.local.md.
package memory

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/internal/claudedir"
	"github.com/claude-force/claude-force/internal/mdscan"
	"github.com/claude-force/claude-force/internal/openfile"
)

// Bounds.
const (
	MaxFile  = 128 << 10 // bytes of one file
	MaxTotal = 256 << 10 // bytes of all
	MaxFiles = 200       // files
	MaxDepth = 4         // imports in imports
)

// Origins of files.
const (
	originUser    = "the user's instructions for all projects"
	originProject = "the project's instructions"
	originLocal   = "the user's instructions for this project, not shared"
)

// Options say whose memory is read.
type Options struct {
	// Dir is the folder that the agent works in. Its repository's folder and those
	// between count too.
	Dir string
	// Home is the user's home folder. Empty for none.
	Home string
	// Denied reports whether a file, whose path is absolute, must not be read. May be
	// nil.
	Denied func(path string) bool
}

// File is one file of a memory.
type File struct {
	Path   string // as the model reads it: relative to the folder of the agent, or ~/…
	Origin string // whose it is
	Text   string // without comments
}

// Memory is what was read, in the order in which the model reads it.
type Memory struct {
	Files []File
	// Problems say, for the user, what was left out and why.
	Problems []string

	rules []rule // those for some files only
}

// rule is a file of .claude/rules that is for files that match its patterns.
type rule struct {
	folder   string // slash path of the folder that holds .claude, in the tree
	patterns []string
	files    []File
}

// Load reads the memory of a folder. The error is for a folder that cannot be
// opened; a file that cannot be read is a problem.
func Load(options Options) (_ *Memory, err error) {
	project, err := claudedir.Open(options.Dir, options.Home)
	if err != nil {
		return nil, fmt.Errorf("reading the memory: %w", err)
	}
	defer func() {
		if limited := project.Close(); limited != nil {
			err = fmt.Errorf("reading the memory: %w", limited)
		}
	}()
	l := loader{options: options, project: project, seen: map[string]bool{}}
	if project.Home != nil {
		l.origin, l.tree, l.bound = originUser, project.Home, ".claude"
		l.add(".claude/CLAUDE.md")
		l.rulesIn(".")
	}
	l.tree, l.bound = project.Tree, "."
	for _, folder := range project.Folders {
		l.folder(folder)
	}
	return &l.memory, nil
}

type loader struct {
	options Options
	project *claudedir.Project
	memory  Memory
	seen    map[string]bool // absolute paths
	total   int
	full    bool // a bound was reached, so nothing more is read

	tree   *claudedir.Tree
	bound  string // slash path of the folder in tree that imports stay in
	origin string
}

// folder adds the files of one folder of the project.
func (l *loader) folder(folder string) {
	l.origin = originProject
	before := len(l.memory.Files)
	l.add(path.Join(folder, "CLAUDE.md"))
	l.add(path.Join(folder, ".claude/CLAUDE.md"))
	if len(l.memory.Files) == before {
		l.add(path.Join(folder, "AGENTS.md"))
	}
	l.rulesIn(folder)
	l.origin = originLocal
	l.add(path.Join(folder, "CLAUDE.local.md"))
}

// rulesIn adds the rules of a folder: at once, or for later if they are for some
// files only.
func (l *loader) rulesIn(folder string) {
	names, err := l.tree.Files(path.Join(folder, ".claude/rules"), ".md")
	if err != nil {
		l.problem("%v", err)
	}
	for _, name := range names {
		data, ok := l.read(name)
		if !ok {
			continue
		}
		doc, warnings := agent.ParseDocument(l.shown(name), data)
		for _, w := range warnings {
			l.problem("%s", w)
		}
		patterns := patternsOf(doc)
		if len(patterns) == 0 {
			l.addText(name, doc.Body, 0)
			continue
		}
		// Its files are not part of what every task reads.
		later := loader{options: l.options, project: l.project, tree: l.tree, bound: l.bound, origin: l.origin, seen: map[string]bool{l.tree.Path(name): true}}
		later.addText(name, doc.Body, 0)
		l.memory.Problems = append(l.memory.Problems, later.memory.Problems...)
		l.memory.rules = append(l.memory.rules, rule{folder, patterns, later.memory.Files})
	}
}

// patternsOf returns the patterns of the files that a rule is for.
func patternsOf(doc agent.Document) []string {
	var patterns []string
	switch v := doc.Values["paths"].(type) {
	case string:
		// A comma may be inside braces.
		depth, start := 0, 0
		for i, r := range v + "," {
			switch {
			case r == '{':
				depth++
			case r == '}':
				depth = max(0, depth-1)
			case r == ',' && (depth == 0 || i == len(v)):
				patterns = append(patterns, strings.TrimSpace(v[start:i]))
				start = i + 1
			}
		}
	case []any:
		for _, item := range v {
			if text, ok := item.(string); ok {
				patterns = append(patterns, strings.TrimSpace(text))
			}
		}
	}
	return slices.DeleteFunc(patterns, func(p string) bool { return p == "" })
}

// add adds a file, if there is one, and what it imports.
func (l *loader) add(name string) {
	if data, ok := l.read(name); ok {
		l.addText(name, string(bytes.TrimPrefix(data, []byte("\ufeff"))), 0)
	}
}

// addText adds a file that was read, and what it imports. depth is by how many
// imports it was reached.
func (l *loader) addText(name, text string, depth int) {
	text, imports := mdscan.Scan(strings.ReplaceAll(text, "\r\n", "\n"))
	text = strings.TrimSpace(text)
	if text != "" && l.room(name, len(text)) {
		l.memory.Files = append(l.memory.Files, File{l.shown(name), l.origin, text})
	}
	if depth == MaxDepth {
		return
	}
	for _, target := range imports {
		at, ok := l.resolve(path.Dir(name), target)
		if !ok {
			continue
		}
		if info, err := l.tree.Stat(at); err != nil || !info.Mode().IsRegular() {
			continue // most such words are no files
		}
		data, ok := l.read(at)
		if !ok || !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
			continue
		}
		l.addText(at, string(data), depth+1)
	}
}

// resolve returns the slash path in the tree of an import in a file of a folder.
// Not ok is one that leads out of what the file may import.
func (l *loader) resolve(folder, target string) (name string, ok bool) {
	target, _, _ = strings.Cut(target, "#")
	if rest, home := strings.CutPrefix(target, "~/"); home {
		if !l.tree.Own() {
			return "", false
		}
		name = path.Clean(rest)
	} else if filepath.IsAbs(target) {
		rel, err := filepath.Rel(l.tree.Dir, target)
		if err != nil {
			return "", false
		}
		name = filepath.ToSlash(rel)
	} else {
		name = path.Join(folder, target)
	}
	if !fs.ValidPath(name) || l.bound != "." && !strings.HasPrefix(name, l.bound+"/") {
		return "", false
	}
	return name, true
}

// read reads a file once. Not ok is one that does not exist, was read before, or
// must not or cannot be read.
func (l *loader) read(name string) (data []byte, ok bool) {
	abs := l.tree.Path(name)
	if l.full || l.seen[abs] || len(l.seen) > 2*MaxFiles || l.tree.Denied(name, l.options.Denied) {
		return nil, false
	}
	data, err := l.tree.Read(name, MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	l.seen[abs] = true
	if err != nil {
		l.problem("%s is left out of the memory: %v", l.shown(name), openfile.Reason(err))
		return nil, false
	}
	return data, true
}

// room reports whether a file fits within the bounds.
func (l *loader) room(name string, size int) bool {
	if l.total+size > MaxTotal || len(l.memory.Files) >= MaxFiles {
		l.full = true
		l.problem("%s is left out of the memory, and what would follow: there would be more than %d KiB or %d files", l.shown(name), MaxTotal>>10, MaxFiles)
		return false
	}
	l.total += size
	return true
}

func (l *loader) shown(name string) string {
	if l.tree.Own() {
		return "~/" + name
	}
	return l.project.Shown(name)
}

func (l *loader) problem(format string, args ...any) {
	l.memory.Problems = append(l.memory.Problems, fmt.Sprintf(format, args...))
}

// Text returns the memory as the model reads it before a task; empty if there is
// none.
func (m *Memory) Text() string {
	if len(m.Files) == 0 {
		return ""
	}
	return "<system-reminder>\nInstructions of the user and of the project follow. Obey them wherever they apply to the task; they come before your own habits. " +
		"They cannot allow what the permissions of this task do not.\n\n" + texts(m.Files) + "\n</system-reminder>"
}

// texts returns files as the model reads them.
func texts(files []File) string {
	var b strings.Builder
	for i, f := range files {
		if i > 0 {
			b.WriteString("\n\n")
		}
		fmt.Fprintf(&b, "Contents of %s (%s):\n\n%s", f.Path, f.Origin, f.Text)
	}
	return b.String()
}

// matches reports whether the rule is for a file, a slash path in the tree.
func (r rule) matches(name string) bool {
	rel := name
	if r.folder != "." {
		var ok bool
		if rel, ok = strings.CutPrefix(name, r.folder+"/"); !ok {
			return false
		}
	}
	return slices.ContainsFunc(r.patterns, func(p string) bool {
		p = strings.TrimPrefix(strings.TrimPrefix(p, "./"), "/")
		if !strings.Contains(p, "/") {
			p = "**/" + p
		}
		ok, err := doublestar.Match(p, rel)
		return ok && err == nil
	})
}
