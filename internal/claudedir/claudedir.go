// Package claudedir opens the folders that may hold files of Claude Code: those of
// a project, from its repository's down to the one that is worked in, and the
// user's.
//
// A project may be hostile, so its files are reached through an [os.Root]: no name
// and no link leads out of the repository. The user's own links, which dotfile
// managers use, may lead anywhere.
package claudedir

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
	"github.com/claude-force/claude-force/internal/oslimit"
)

// Bounds of a walk.
const (
	maxDepth   = 16
	maxEntries = 20_000
)

// Tree is a folder whose files are read by slash paths relative to it. One goroutine
// may use it.
type Tree struct {
	Dir     string // absolute
	root    *os.Root
	limited error // see Close
}

// OpenTree opens a folder that may be hostile: no link in it leads out.
func OpenTree(dir string) (*Tree, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, err
	}
	return &Tree{Dir: abs, root: root}, nil
}

// Close closes the folder. The error is the first one that came of a limit on open
// files: what was read may then lack something that is there.
func (t *Tree) Close() error {
	if t.root == nil {
		return t.limited
	}
	return errors.Join(t.limited, t.root.Close())
}

// noted keeps an error that says nothing of the file, for Close.
func (t *Tree) noted(err error) error {
	if t.limited == nil && oslimit.IsTooManyFiles(err) {
		t.limited = err
	}
	return err
}

// Own reports whether the folder is the user's, so that links in it may lead
// anywhere.
func (t *Tree) Own() bool { return t.root == nil }

// Path returns the absolute path of a file.
func (t *Tree) Path(name string) string { return filepath.Join(t.Dir, filepath.FromSlash(name)) }

// Denied reports whether a file must not be read, as it is named or without links.
// denied reports it of an absolute path; nil denies none.
func (t *Tree) Denied(name string, denied func(path string) bool) bool {
	if denied == nil {
		return false
	}
	path := t.Path(name)
	if denied(path) {
		return true
	}
	real, err := filepath.EvalSymlinks(path)
	return err == nil && real != path && denied(real)
}

// Read reads a regular file of at most limit bytes.
func (t *Tree) Read(name string, limit int64) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if t.root == nil {
		data, err := openfile.Read(t.Path(name), limit)
		return data, t.noted(err)
	}
	data, err := openfile.ReadIn(t.root, name, limit)
	return data, t.noted(err)
}

// Stat returns what a name stands for, links followed.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrInvalid}
	}
	if t.root == nil {
		return os.Stat(t.Path(name)) // opens nothing
	}
	info, err := t.root.Stat(filepath.FromSlash(name))
	return info, t.noted(err)
}

// List returns the names in a folder, sorted; nil if there is no such folder.
func (t *Tree) List(name string) ([]string, error) {
	var entries []fs.DirEntry
	var err error
	switch {
	case !fs.ValidPath(name):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	case t.root == nil:
		entries, err = os.ReadDir(t.Path(name))
	default:
		entries, err = fs.ReadDir(t.root.FS(), name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, t.noted(err)
}

// Files returns the files in a folder and those below it whose names end with
// suffix, sorted. Folders whose name starts with a dot, and what cannot be read, are
// left out. The error is for a tree without an end.
func (t *Tree) Files(name, suffix string) ([]string, error) {
	w := walk{tree: t, suffix: suffix}
	err := w.dir(name, nil)
	slices.Sort(w.files)
	return w.files, err
}

type walk struct {
	tree   *Tree
	suffix string
	seen   int
	files  []string
}

// dir walks a folder. above are the folders on the way to it, to detect loops.
func (w *walk) dir(name string, above []fs.FileInfo) error {
	info, err := w.tree.Stat(name)
	if err != nil || !info.IsDir() || slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }) {
		return nil
	}
	if len(above) > maxDepth {
		return fmt.Errorf("%s: folders are nested more than %d deep", w.tree.Path(name), maxDepth)
	}
	above = append(slices.Clip(above), info)
	names, err := w.tree.List(name)
	if err != nil {
		return nil // as if it was empty: its owner may not let us
	}
	for _, n := range names {
		if w.seen++; w.seen > maxEntries {
			return fmt.Errorf("%s: more than %d files", w.tree.Path(name), maxEntries)
		}
		at := path.Join(name, n)
		info, err := w.tree.Stat(at)
		switch {
		case err != nil:
		case info.Mode().IsRegular() && strings.HasSuffix(n, w.suffix):
			w.files = append(w.files, at)
		case info.IsDir() && !strings.HasPrefix(n, "."):
			if err := w.dir(at, above); err != nil {
				return err
			}
		}
	}
	return nil
}

// Project is the folders of a project and of its user.
type Project struct {
	Dir  string // the folder that is worked in, absolute
	Tree *Tree  // the repository's folder, or Dir outside of a repository
	// Folders are the slash paths in Tree of the folders from the repository's down
	// to Dir.
	Folders []string
	Home    *Tree // the user's home folder; nil if there is none
}

// Top returns the folder that bounds a project's files: that of the repository that an
// absolute folder is in. Outside of a repository it is the one on the way to the folder
// that is just below the home folder, or the folder itself.
func Top(dir, home string) string {
	top := dir
	for at := dir; !Same(at, home); at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if Same(filepath.Dir(at), home) {
			top = at
		}
		if filepath.Dir(at) == at {
			break
		}
	}
	return top
}

// Open opens the folders for a project's folder. An empty home means there is none.
func Open(dir, home string) (*Project, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	top := Top(abs, home)
	rel, err := filepath.Rel(top, abs)
	if err != nil {
		return nil, err
	}
	tree, err := OpenTree(top)
	if err != nil {
		return nil, err
	}
	p := &Project{Dir: abs, Tree: tree, Folders: []string{"."}}
	for i, part := range strings.Split(filepath.ToSlash(rel), "/") {
		if part != "." {
			p.Folders = append(p.Folders, path.Join(p.Folders[i], part))
		}
	}
	// The home folder itself as the project is read once, as the project's.
	if home != "" && !Same(top, home) && !Same(abs, home) {
		if info, err := os.Stat(home); err == nil && info.IsDir() {
			p.Home = &Tree{Dir: home}
		}
	}
	return p, nil
}

// Close closes the folders. See [Tree.Close] for the error.
func (p *Project) Close() error {
	err := p.Tree.Close()
	if p.Home != nil {
		err = errors.Join(err, p.Home.Close())
	}
	return err
}

// Shown returns how a file of the project's tree is named: relative to the folder
// that is worked in, so that it is the same in every copy of the project.
func (p *Project) Shown(name string) string {
	rel, err := filepath.Rel(p.Dir, p.Tree.Path(name))
	if err != nil {
		return name
	}
	return filepath.ToSlash(rel)
}

// Same reports whether two folders are the same. An empty name is none.
func Same(a, b string) bool {
	if b == "" || filepath.Clean(a) == filepath.Clean(b) {
		return b != ""
	}
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}
