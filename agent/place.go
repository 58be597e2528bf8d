package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/internal/openfile"
)

// place is a directory that may have a .claude.
//
// A project may be hostile, so its files are opened through an [os.Root], and no
// link in it leads out of top. Links in the user's home, which dotfile managers
// use, may lead anywhere.
type place struct {
	dir string // absolute
	top string // dir, or a directory above it
	own bool   // it is the user's home
}

const (
	agentsDir = ".claude/agents"

	maxFileSize = 1 << 20 // bytes of one agent file; the largest seen has under 100 KiB
	maxFiles    = 5000    // agent files of one place
	maxDepth    = 32      // directories inside each other
)

// tree is an opened directory of agent files.
type tree struct {
	fsys  fs.FS
	close func() error
	base  string // slash path of the directory in fsys
	shown string // the name of the directory in messages

	files    []string      // slash paths below base
	links    []fs.FileInfo // directories reached through a link
	warnings []Warning     // problems in the tree, not in files
	full     bool          // maxFiles reached
}

// open opens the place's agents directory. The tree is nil if there is none.
func (p place) open() (*tree, []Warning) {
	shown := filepath.Join(p.dir, filepath.FromSlash(agentsDir))
	if _, err := os.Stat(shown); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(shown); err == nil {
			return nil, []Warning{{File: shown, Message: "the link is broken", Hint: "remove it"}}
		}
		return nil, nil
	}
	fsys, base, closeFS, err := p.within(agentsDir)
	if err == nil {
		var info fs.FileInfo
		if info, err = fs.Stat(fsys, base); err == nil && !info.IsDir() {
			err = errors.New("it is not a directory")
		}
		if err == nil {
			return &tree{fsys: fsys, close: closeFS, base: base, shown: shown}, nil
		}
		_ = closeFS() // it was only read
	}
	return nil, []Warning{{File: shown, Message: "cannot be read: " + openfile.Reason(err), Hint: "its agents are left out"}}
}

// within opens the file system that bounds the place. base is the path in it of
// name, which is relative to p.dir.
func (p place) within(name string) (fsys fs.FS, base string, closeFS func() error, err error) {
	if p.own {
		return os.DirFS(p.dir), path.Clean(name), func() error { return nil }, nil
	}
	rel, err := filepath.Rel(p.top, p.dir)
	if err != nil {
		return nil, "", nil, err
	}
	base = path.Join(filepath.ToSlash(rel), name)
	root, err := os.OpenRoot(p.top)
	if err != nil {
		return nil, "", nil, err
	}
	if _, err = root.Stat(base); err != nil {
		// An os.Root also refuses absolute links that lead back into it.
		if base, err = p.resolve(name); err != nil {
			_ = root.Close() // it was only read
			return nil, "", nil, err
		}
	}
	return root.FS(), base, root.Close, nil
}

// resolve follows the links in name and returns its slash path below p.top.
func (p place) resolve(name string) (string, error) {
	target, err := filepath.EvalSymlinks(filepath.Join(p.dir, filepath.FromSlash(name)))
	if err != nil {
		return "", err
	}
	top, err := filepath.EvalSymlinks(p.top)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(top, target)
	if err != nil || !filepath.IsLocal(rel) {
		return "", errors.New("it leads out of " + p.top)
	}
	return filepath.ToSlash(rel), nil
}

// walk lists the agent files of the tree, sorted by path.
func (t *tree) walk() {
	info, err := fs.Stat(t.fsys, t.base)
	if err != nil {
		t.warn(".", "cannot be read: "+openfile.Reason(err), "")
		return
	}
	t.walkDir(".", []fs.FileInfo{info})
	slices.Sort(t.files)
}

func (t *tree) warn(rel, message, hint string) {
	t.warnings = append(t.warnings, Warning{File: t.show(rel), Message: message, Hint: hint})
}

func (t *tree) show(rel string) string { return filepath.Join(t.shown, filepath.FromSlash(rel)) }

// walkDir lists the directory dir. above are the directories on the path to it,
// itself included, to detect loops.
func (t *tree) walkDir(dir string, above []fs.FileInfo) {
	if len(above) > maxDepth {
		t.warn(dir, "is nested too deeply; its agents are left out", "")
		return
	}
	entries, err := fs.ReadDir(t.fsys, path.Join(t.base, dir))
	if err != nil {
		t.warn(dir, "cannot be read: "+openfile.Reason(err), "its agents are left out")
	}
	for _, e := range entries {
		rel := path.Join(dir, e.Name())
		isMarkdown := strings.HasSuffix(rel, ".md")
		linked := e.Type()&fs.ModeSymlink != 0
		switch {
		case e.Name() == ".git":
		case linked:
			t.walkLink(rel, above)
		case e.IsDir():
			info, err := e.Info()
			if err != nil {
				t.warn(rel, "cannot be read: "+openfile.Reason(err), "its agents are left out")
				continue
			}
			t.walkDir(rel, append(slices.Clip(above), info))
		case isMarkdown && e.Type().IsRegular():
			t.add(rel)
		}
	}
}

// walkLink follows the link rel to a file or a directory. It enters each directory
// through one link only, so that the walk always ends.
func (t *tree) walkLink(rel string, above []fs.FileInfo) {
	info, err := fs.Stat(t.fsys, path.Join(t.base, rel))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.warn(rel, "the link is broken", "remove it")
		return
	case err != nil:
		t.warn(rel, "the link is not followed: "+openfile.Reason(err), "copy the file, or make a relative link inside the project")
		return
	case info.Mode().IsRegular():
		if strings.HasSuffix(rel, ".md") {
			t.add(rel)
		}
		return
	case !info.IsDir():
		return
	}
	same := func(other fs.FileInfo) bool { return os.SameFile(info, other) }
	switch {
	case slices.ContainsFunc(above, same):
		t.warn(rel, "the link leads back to a directory above it; it is not followed", "remove it")
	case slices.ContainsFunc(t.links, same):
		t.warn(rel, "leads to the same directory as another link; it is not followed", "remove one")
	default:
		t.links = append(t.links, info)
		t.walkDir(rel, append(slices.Clip(above), info))
	}
}

func (t *tree) add(rel string) {
	switch {
	case len(t.files) < maxFiles:
		t.files = append(t.files, rel)
	case !t.full:
		t.full = true
		t.warn(".", fmt.Sprintf("holds more than %d files; the others are left out", maxFiles), "")
	}
}

// read reads one of t.files.
func (t *tree) read(rel string) ([]byte, error) {
	return readIn(t.fsys, path.Join(t.base, rel))
}

func readIn(fsys fs.FS, name string) ([]byte, error) {
	return openfile.ReadFS(fsys, name, maxFileSize)
}

// agents reads all agents of the place's .claude/agents.
func (p place) agents() ([]*Agent, []Warning) {
	t, warnings := p.open()
	if t == nil {
		return nil, warnings
	}
	defer t.close() //nolint:errcheck // it was only read
	agents, w := t.agents()
	return agents, append(warnings, w...)
}

// agents reads all agents of the tree. Of several with one name the last by path
// counts, as in Claude Code.
func (t *tree) agents() ([]*Agent, []Warning) {
	t.walk()
	warnings := t.warnings
	var agents []*Agent
	at := make(map[string]int)
	for _, rel := range t.files {
		a, w := t.parse(rel)
		warnings = append(warnings, w...)
		if a == nil {
			continue
		}
		i, dup := at[a.Name]
		if !dup {
			at[a.Name] = len(agents)
			agents = append(agents, a)
			continue
		}
		warnings = append(warnings, Warning{File: agents[i].Source, Message: fmt.Sprintf("the agent %q is defined again in %s, which counts", a.Name, rel),
			Hint: "rename one; this file is left out"})
		agents[i] = a
	}
	return agents, warnings
}

// Scan returns the paths of the agent files in a directory and those below it, and
// what is wrong with the directory and its files, as [Discover] would find it.
func Scan(dir string) (files []string, warnings []Warning) {
	t := &tree{fsys: os.DirFS(dir), base: ".", shown: dir}
	_, warnings = t.agents()
	for _, rel := range t.files {
		files = append(files, t.show(rel))
	}
	return files, warnings
}

// find returns the place's agent with a name, or nil.
func (p place) find(name string) (*Agent, []Warning) {
	t, _ := p.open()
	if t == nil {
		return nil, nil
	}
	defer t.close() //nolint:errcheck // it was only read
	t.walk()
	for _, rel := range slices.Backward(t.files) {
		data, err := t.read(rel)
		if err != nil || notNamed(rel, data, name) {
			continue
		}
		if a, w := parseFound(t.show(rel), data); a != nil && a.Name == name {
			return a, w
		}
	}
	return nil, nil
}

func (t *tree) parse(rel string) (*Agent, []Warning) {
	shown := t.show(rel)
	data, err := t.read(rel)
	if err != nil {
		return nil, []Warning{{File: shown, Message: "cannot be read: " + openfile.Reason(err), Hint: "it is left out"}}
	}
	return parseFound(shown, data)
}

// parseFound works like [Parse], for a file found in a directory: it returns errors
// as warnings, and ignores files such as a README.
func parseFound(file string, data []byte) (*Agent, []Warning) {
	if isNotes(file) && !split(data).found {
		return nil, nil
	}
	a, warnings, err := Parse(file, data)
	if err != nil {
		return nil, append(warnings, asWarning(file, err))
	}
	return a, warnings
}

// isNotes reports whether a file describes its directory, by its name. Without
// frontmatter such a file is not an agent.
func isNotes(file string) bool {
	switch strings.ToLower(strings.TrimSuffix(filepath.Base(file), ".md")) {
	case "readme", "agents", "claude", "license", "changelog", "contributing":
		return true
	}
	return false
}
