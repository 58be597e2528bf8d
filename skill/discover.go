package skill

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/internal/claudedir"
	"github.com/claude-force/claude-force/internal/openfile"
)

// Bounds.
const (
	maxFile   = 256 << 10 // bytes of one file
	maxSkills = 2000
	maxName   = 128 // bytes
)

// Options say where skills are looked for.
type Options struct {
	// Dir is the folder that the agent works in. Its repository's folder and those
	// between count too.
	Dir string
	// Home is the user's home folder. Empty for none.
	Home string
	// Plugins are the installed plugins, whose content was verified.
	Plugins []Source
	// Denied reports whether a file, whose path is absolute, must not be read. May be
	// nil.
	Denied func(path string) bool
}

// Source is where a plugin keeps its skills and commands.
type Source struct {
	Name     string   // its namespace
	Dir      string   // absolute
	Skills   []string // slash paths of folders that hold a folder for each skill, or that are a skill
	Commands []string // slash paths of folders of commands, or of single files
}

// Discover returns the skills and commands that apply in a folder. Of several with
// one name the first counts: skills before commands, the user's before the project's,
// and in a project those of the nearest folder. Those of a plugin are plugin:name.
// The error is for a folder that cannot be opened; a file that cannot be read is a
// problem.
func Discover(options Options) (_ *Set, err error) {
	project, err := claudedir.Open(options.Dir, options.Home)
	if err != nil {
		return nil, fmt.Errorf("looking for skills: %w", err)
	}
	defer func() {
		if limited := project.Close(); limited != nil {
			err = fmt.Errorf("looking for skills: %w", limited)
		}
	}()
	d := finder{denied: options.Denied, set: &Set{}, names: map[string]bool{}}
	type folder struct {
		tree   *claudedir.Tree
		name   string
		origin Origin
	}
	var folders []folder
	if project.Home != nil {
		folders = append(folders, folder{project.Home, ".claude", User})
	}
	for _, name := range slices.Backward(project.Folders) {
		folders = append(folders, folder{project.Tree, path.Join(name, ".claude"), Project})
	}
	for _, f := range folders {
		d.tree, d.origin = f.tree, f.origin
		d.skills(path.Join(f.name, "skills"))
	}
	for _, p := range options.Plugins {
		if err := d.plugin(p); err != nil {
			return nil, err
		}
	}
	d.namespace, d.root = "", ""
	for _, f := range folders {
		d.tree, d.origin = f.tree, f.origin
		d.commands(path.Join(f.name, "commands"))
	}
	slices.SortFunc(d.set.skills, func(a, b *Skill) int { return strings.Compare(a.Name, b.Name) })
	return d.set, nil
}

type finder struct {
	denied func(string) bool
	set    *Set
	names  map[string]bool

	tree      *claudedir.Tree
	origin    Origin
	namespace string // with its colon
	root      string
}

func (d *finder) problem(format string, args ...any) {
	d.set.Problems = append(d.set.Problems, fmt.Sprintf(format, args...))
}

// plugin adds what a plugin has.
func (d *finder) plugin(p Source) (err error) {
	tree, err := claudedir.OpenTree(p.Dir)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	d.tree, d.origin, d.namespace, d.root = tree, Plugin, p.Name+":", p.Dir
	for _, folder := range p.Skills {
		if info, err := tree.Stat(path.Join(folder, "SKILL.md")); err == nil && info.Mode().IsRegular() {
			name := path.Base(folder)
			if name == "." {
				name = p.Name
			}
			d.add(name, path.Join(folder, "SKILL.md"), false)
			continue
		}
		d.skills(folder)
	}
	for _, at := range p.Commands {
		if strings.HasSuffix(at, ".md") {
			d.add(strings.TrimSuffix(path.Base(at), ".md"), at, true)
			continue
		}
		d.commands(at)
	}
	return nil
}

// skills adds the skills in a folder.
func (d *finder) skills(folder string) {
	names, err := d.tree.List(folder)
	if err != nil {
		d.problem("%s: the skills cannot be read: %v", d.tree.Path(folder), openfile.Reason(err))
	}
	for _, name := range names {
		file := path.Join(folder, name, "SKILL.md")
		if info, err := d.tree.Stat(path.Join(folder, name)); err != nil || !info.IsDir() {
			continue
		}
		d.add(name, file, false)
	}
}

// commands adds the commands in a folder and those below it.
func (d *finder) commands(folder string) {
	files, err := d.tree.Files(folder, ".md")
	if err != nil {
		d.problem("%v", err)
	}
	for _, file := range files {
		rel := strings.TrimSuffix(strings.TrimPrefix(file, folder+"/"), ".md")
		d.add(strings.ReplaceAll(rel, "/", ":"), file, true)
	}
}

// add adds a skill or a command, unless there is one of its name.
func (d *finder) add(name, file string, command bool) {
	shown := d.tree.Path(file)
	full := d.namespace + name
	if why := badName(name); why != "" {
		d.problem("%s is left out: %s", shown, why)
		return
	}
	if d.names[full] || d.tree.Denied(file, d.denied) {
		return
	}
	data, err := d.tree.Read(file, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return // a folder without a SKILL.md
	}
	if err != nil {
		d.problem("%s is left out: %v", shown, openfile.Reason(err))
		return
	}
	if len(d.set.skills) >= maxSkills {
		if len(d.set.skills) == maxSkills && !d.names[""] {
			d.names[""] = true
			d.problem("there are more than %d skills and commands; the others are left out", maxSkills)
		}
		return
	}
	k, warnings := parse(shown, data)
	for _, w := range warnings {
		d.problem("%s", w)
	}
	k.Name, k.Command, k.Origin, k.Root = full, command, d.origin, d.root
	k.File, k.Dir = shown, d.tree.Path(path.Dir(file))
	d.names[full] = true
	d.set.skills = append(d.set.skills, k)
}

// parse reads the file of a skill or a command.
func parse(file string, data []byte) (*Skill, []agent.Warning) {
	doc, warnings := agent.ParseDocument(file, data)
	k := &Skill{
		Title: doc.Text("name"), Description: doc.Text("description"), WhenToUse: doc.Text("when_to_use"),
		ArgumentHint: hint(doc), Model: doc.Text("model"), AllowedTools: doc.List("allowed-tools"), Agent: doc.Text("agent"),
		UserOnly: doc.Bool("disable-model-invocation", false), ModelOnly: !doc.Bool("user-invocable", true),
		Fork: doc.Text("context") == "fork", Body: strings.TrimSpace(doc.Body),
	}
	if strings.EqualFold(k.Model, "inherit") {
		k.Model = ""
	}
	if k.Description == "" {
		for line := range strings.Lines(k.Body) {
			if line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "#")); line != "" {
				k.Description = line
				break
			}
		}
	}
	return k, warnings
}

// hint returns the hint for arguments, which YAML reads as a list if it is written
// in brackets.
func hint(doc agent.Document) string {
	if list, ok := doc.Values["argument-hint"].([]any); ok {
		var parts []string
		for _, item := range list {
			parts = append(parts, fmt.Sprintf("[%v]", item))
		}
		return strings.Join(parts, " ")
	}
	return doc.Text("argument-hint")
}

// badName returns why something cannot be called by a name; empty if it can.
func badName(name string) string {
	switch {
	case len(name) > maxName:
		return fmt.Sprintf("its name is longer than %d bytes", maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '/' }):
		return "its name has a character that cannot be typed"
	}
	return ""
}
