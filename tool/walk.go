package tool

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/internal/gitignore"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/internal/oslimit"
)

// found is a regular file that a walk came by.
type found struct {
	path    string // absolute, without links
	rel     string // relative to the folder of the walk, with forward slashes
	size    int64
	changed time.Time
}

// walkOptions say what a walk leaves out.
type walkOptions struct {
	ignoreFiles bool  // honour .gitignore and .ignore, and skip version control
	globs       globs // a path that these include is not ignored
}

// walk calls visit for each regular file below a folder in the order of names.
// Links are not followed and files that a rule denies are left out.
func (e *Env) walk(ctx context.Context, dir string, options walkOptions, visit func(found) error) error {
	p, err := e.locate(dir, true)
	if err != nil {
		return err
	}
	handle, err := p.root.open(false)
	if err != nil {
		return err
	}
	w := walker{ctx: ctx, env: e, fsys: handle.FS(), base: p, visit: visit, options: options}
	var ignores []ignoreFile
	if options.ignoreFiles {
		if ignores, err = w.above(filepath.ToSlash(p.name)); err != nil {
			return err
		}
	}
	return w.folder(filepath.ToSlash(p.name), "", ignores)
}

type walker struct {
	ctx     context.Context
	env     *Env
	fsys    fs.FS
	base    place
	options walkOptions
	visit   func(found) error
}

// ignoreFile is the rules of one file and the folder they are relative to.
type ignoreFile struct {
	dir   string // in the root
	git   bool   // counts inside a git repository only
	repo  bool   // marks the top of a repository
	rules gitignore.Rules
}

// versionControl are folders that a search leaves out.
var versionControl = map[string]bool{".git": true, ".svn": true, ".hg": true, ".bzr": true, ".jj": true, ".sl": true}

const maxIgnoreFile = 1 << 20

// folder walks one folder, name in the root and rel to the folder of the walk.
func (w *walker) folder(name, rel string, ignores []ignoreFile) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(w.fsys, name)
	if err != nil {
		if rel == "" || oslimit.IsTooManyFiles(err) {
			return err
		}
		return nil // a folder that cannot be read holds nothing to show
	}
	if w.options.ignoreFiles {
		if ignores, err = w.with(name, ignores); err != nil {
			return err
		}
	}
	for _, d := range entries {
		child, childRel := path.Join(name, d.Name()), path.Join(rel, d.Name())
		if w.options.ignoreFiles && (versionControl[d.Name()] || !w.options.globs.includes(childRel) && ignored(ignores, child, d.IsDir())) {
			continue
		}
		if d.IsDir() {
			if err := w.folder(child, childRel, ignores); err != nil {
				return err
			}
			continue
		}
		if !d.Type().IsRegular() {
			continue
		}
		info, err := d.Info()
		if err != nil {
			continue // it is gone
		}
		file := found{filepath.Join(w.base.path, filepath.FromSlash(childRel)), childRel, info.Size(), info.ModTime()}
		if w.env.options.Denied != nil && w.env.options.Denied(OpRead, file.path) {
			continue
		}
		if err := w.visit(file); err != nil {
			return err
		}
	}
	return nil
}

// above returns the rules of the folders from the top of the root down to, and
// without, the folder of the walk.
func (w *walker) above(name string) (ignores []ignoreFile, err error) {
	if name == "." {
		return nil, nil
	}
	dir := "."
	for part := range strings.SplitSeq(name, "/") {
		if ignores, err = w.with(dir, ignores); err != nil {
			return nil, err
		}
		dir = path.Join(dir, part)
	}
	return ignores, nil
}

// with adds the rules of a folder. The error is for files that may not be opened now, since too many are.
func (w *walker) with(dir string, ignores []ignoreFile) ([]ignoreFile, error) {
	ignores = slices.Clip(ignores)
	_, err := fs.Stat(w.fsys, path.Join(dir, ".git"))
	if oslimit.IsTooManyFiles(err) {
		return nil, err
	}
	if err == nil {
		f := ignoreFile{dir: dir, git: true, repo: true}
		data, err := openfile.ReadFS(w.fsys, path.Join(dir, ".git/info/exclude"), maxIgnoreFile)
		if oslimit.IsTooManyFiles(err) {
			return nil, err
		}
		if err == nil {
			f.rules = gitignore.ParseRules(string(data))
		}
		ignores = append(ignores, f)
	}
	for _, base := range []string{".gitignore", ".ignore", ".rgignore"} {
		data, err := openfile.ReadFS(w.fsys, path.Join(dir, base), maxIgnoreFile)
		if oslimit.IsTooManyFiles(err) {
			return nil, err
		}
		if err == nil {
			ignores = append(ignores, ignoreFile{dir: dir, git: base == ".gitignore", rules: gitignore.ParseRules(string(data))})
		}
	}
	return ignores, nil
}

// ignored reports whether the rules ignore a file or folder. The deepest rule that
// matches counts, those of .ignore before those of git.
func ignored(ignores []ignoreFile, name string, isDir bool) bool {
	inRepo := slices.ContainsFunc(ignores, func(f ignoreFile) bool { return f.repo })
	for _, git := range []bool{false, true} {
		if git && !inRepo {
			break
		}
		for _, f := range slices.Backward(ignores) {
			rel := name
			if f.dir != "." {
				rel = strings.TrimPrefix(name, f.dir+"/")
			}
			if yes, matched := f.rules.Match(rel, isDir); matched && f.git == git {
				return yes
			}
			if git && f.repo {
				break // what is above a repository does not count in it
			}
		}
	}
	return false
}

// folderError returns the error of a folder that cannot be searched, for the model.
func (e *Env) folderError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("Folder does not exist: " + path + ". The current folder is " + e.Cwd() + ".")
	}
	return e.readError(path, err)
}

// shown returns a path as searches show it: relative to the current folder if it
// is below it.
func (e *Env) shown(path string) string {
	cwd := e.Cwd()
	for _, dir := range []string{cwd, e.real(cwd)} {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

// real returns a path without links, or the path itself if it cannot be followed.
func (e *Env) real(path string) string {
	if p, err := e.locate(path, true); err == nil {
		return p.path
	}
	return path
}
