// Package workflowdir finds workflows that are known by a name: files in the
// .claude/workflows of a project, of its user and of plugins.
//
// The name of a workflow is that of its file without the extension, and with the
// folders before it as sub:name. That of a plugin's begins with plugin:name.
package workflowdir

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/claude-force/claude-force/internal/claudedir"
	"github.com/claude-force/claude-force/internal/nearest"
)

// Bounds.
const (
	maxFiles = 2000
	maxName  = 128 // bytes
)

// extensions are those of workflow files. Of two files with one name the first counts.
var extensions = []string{".yaml", ".yml", ".json"}

// Origin is who a workflow is from.
type Origin string

// Origins.
const (
	Project Origin = "project"
	User    Origin = "user"
	Plugin  Origin = "plugin"
)

// Options say where workflows are looked for.
type Options struct {
	// Dir is the folder that is worked in. Its repository's folder and those between
	// count too.
	Dir string
	// Home is the user's home folder. Empty for none.
	Home string
	// Plugins are the installed plugins, whose content was verified.
	Plugins []Source
}

// Source is where a plugin keeps its workflows.
type Source struct {
	Name  string   // its namespace
	Dir   string   // absolute
	Paths []string // slash paths of folders of workflows, or of single files
}

// File is a workflow's file.
type File struct {
	Name   string `json:"name"`
	Origin Origin `json:"origin"`
	// Path is relative to the folder that is worked in, so that it is the same in every
	// copy of the project, or absolute for a file that is not the project's.
	Path string `json:"path"`
	// ShadowedBy is the path of the file that the name stands for, if that is another.
	ShadowedBy string `json:"shadowed_by,omitempty"`
}

// Set is the workflows that have names in a folder, sorted by name; those of one name
// in the order in which they count.
type Set struct {
	files []*File
	// Folders are the folders that were looked in, as people name them.
	Folders []string
	// Problems say, for the user, what was left out and why.
	Problems []string
}

// All returns the files, also those that others shadow. They are shared.
func (s *Set) All() []*File { return slices.Clone(s.files) }

// UnknownError says that there is no workflow with a name.
type UnknownError struct {
	Name    string
	Near    string   // the most similar name; empty if none is similar
	Known   []string // all names
	Folders []string // that were looked in
}

func (e *UnknownError) Error() string {
	text := fmt.Sprintf("there is no workflow %q", e.Name)
	switch {
	case e.Near != "":
		text += fmt.Sprintf("; did you mean %q?", e.Near)
	case len(e.Known) > 0:
		text += "; known are " + strings.Join(e.Known, ", ") + "."
	default:
		text += ", nor any other."
	}
	return text + " Looked in " + strings.Join(e.Folders, ", ")
}

// Lookup returns the workflow that a name stands for, or an [*UnknownError].
func (s *Set) Lookup(name string) (*File, error) {
	var known []string
	for _, f := range s.files {
		if f.ShadowedBy != "" {
			continue
		}
		if f.Name == name {
			return f, nil
		}
		known = append(known, f.Name)
	}
	return nil, &UnknownError{Name: name, Near: nearest.Name(name, known), Known: known, Folders: s.Folders}
}

// Discover returns the workflows that have names in a folder. Of several with one name
// the first counts: the project's before the user's, in a project those of the nearest
// folder. The error is for a folder that cannot be opened.
func Discover(options Options) (_ *Set, err error) {
	project, err := claudedir.Open(options.Dir, options.Home)
	if err != nil {
		return nil, fmt.Errorf("looking for workflows: %w", err)
	}
	defer func() {
		if limited := project.Close(); limited != nil {
			err = fmt.Errorf("looking for workflows: %w", limited)
		}
	}()
	f := finder{set: &Set{}, first: map[string]string{}}
	f.tree, f.origin, f.shown = project.Tree, Project, project.Shown
	for _, folder := range slices.Backward(project.Folders) {
		f.folder(path.Join(folder, ".claude", "workflows"))
	}
	if project.Home != nil {
		f.tree, f.origin, f.shown = project.Home, User, project.Home.Path
		f.folder(".claude/workflows")
		f.set.Folders[len(f.set.Folders)-1] = "~/.claude/workflows"
	}
	for _, p := range options.Plugins {
		if err := f.plugin(p); err != nil {
			return nil, err
		}
	}
	if len(options.Plugins) > 0 {
		f.set.Folders = append(f.set.Folders, "the project's plugins")
	}
	slices.SortStableFunc(f.set.files, func(a, b *File) int { return strings.Compare(a.Name, b.Name) })
	return f.set, nil
}

type finder struct {
	set   *Set
	first map[string]string // the path that a name stands for

	tree      *claudedir.Tree
	origin    Origin
	namespace string // with its colon
	shown     func(name string) string
}

// plugin adds the workflows of a plugin.
func (f *finder) plugin(p Source) (err error) {
	tree, err := claudedir.OpenTree(p.Dir)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	f.tree, f.origin, f.namespace, f.shown = tree, Plugin, p.Name+":", tree.Path
	folders := len(f.set.Folders)
	for _, at := range p.Paths {
		if info, err := tree.Stat(at); err == nil && info.Mode().IsRegular() {
			f.add(strings.TrimSuffix(path.Base(at), path.Ext(at)), at)
			continue
		}
		f.folder(at)
	}
	f.set.Folders = f.set.Folders[:folders]
	return nil
}

// folder adds the workflows in a folder and those below it.
func (f *finder) folder(folder string) {
	f.set.Folders = append(f.set.Folders, filepath.ToSlash(f.shown(folder)))
	for _, ext := range extensions {
		files, err := f.tree.Files(folder, ext)
		if err != nil {
			f.set.Problems = append(f.set.Problems, err.Error())
		}
		for _, file := range files {
			rel := strings.TrimSuffix(strings.TrimPrefix(file, folder+"/"), ext)
			f.add(strings.ReplaceAll(rel, "/", ":"), file)
		}
	}
}

// add adds a file.
func (f *finder) add(name, file string) {
	shown := filepath.FromSlash(f.shown(file))
	switch {
	case len(name) > maxName || name == "" || strings.HasPrefix(name, "-") || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		f.set.Problems = append(f.set.Problems, fmt.Sprintf("%q is left out: its name cannot be typed", shown))
		return
	case len(f.set.files) == maxFiles:
		if f.first[""] == "" {
			f.first[""] = shown
			f.set.Problems = append(f.set.Problems, fmt.Sprintf("there are more than %d workflows; the others are left out", maxFiles))
		}
		return
	}
	full := f.namespace + name
	f.set.files = append(f.set.files, &File{Name: full, Origin: f.origin, Path: shown, ShadowedBy: f.first[full]})
	if f.first[full] == "" {
		f.first[full] = shown
	}
}
