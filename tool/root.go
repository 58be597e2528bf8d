package tool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/internal/openfile"
)

// root is one folder that was granted. All files are reached through its os.Root,
// which no name and no link leaves.
type root struct {
	dir  string // absolute, as it was granted
	real string // without links; empty while the folder does not exist

	readOnly bool

	mu     sync.Mutex
	handle *os.Root
	closed bool
}

func newRoot(dir string) *root {
	r := &root{dir: filepath.Clean(dir)}
	if real, err := filepath.EvalSymlinks(r.dir); err == nil {
		r.real = real
	}
	return r
}

// open returns the folder's handle. With create, a folder that does not exist is
// made.
func (r *root) open(create bool) (*os.Root, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fs.ErrClosed
	}
	if r.handle != nil {
		return r.handle, nil
	}
	if create {
		if err := os.MkdirAll(r.dir, 0o755); err != nil {
			return nil, err
		}
	}
	handle, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, err
	}
	r.handle = handle
	if r.real == "" {
		if real, err := filepath.EvalSymlinks(r.dir); err == nil {
			r.real = real
		}
	}
	return handle, nil
}

func (r *root) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.handle == nil {
		return nil
	}
	return r.handle.Close()
}

// within returns the name of path inside the folder.
func (r *root) within(path string) (name string, ok bool) {
	for _, dir := range []string{r.dir, r.real} {
		if dir == "" {
			continue
		}
		if name, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(name) {
			return name, true
		}
	}
	return "", false
}

// ErrOutside is the error of a path that is in no granted folder.
var ErrOutside = errors.New("it is outside the folders that were granted")

// ErrDenied is the error of a file that a rule denies.
var ErrDenied = errors.New("a permission rule denies it")

// errReadOnly is the error of writing in a folder that may only be read.
var errReadOnly = errors.New("the folder may only be read")

// errSwapped is the error of a file that was replaced while it was opened.
var errSwapped = errors.New("it was replaced while it was opened")

// maxLinks bounds how many links a path may have.
const maxLinks = 40

// place is a path without links, and where it is reached.
type place struct {
	root *root
	name string // in root
	path string // absolute, without links
}

// locate follows the links of a path, each step through an os.Root, and returns
// the place without links that it stands for. What does not exist is taken as it
// is named. The last element is not followed if last is false.
func (e *Env) locate(path string, last bool) (place, error) {
	e.mu.Lock()
	roots := append([]*root(nil), e.roots...)
	e.mu.Unlock()
	for range maxLinks {
		r, name, ok := find(roots, path)
		if !ok {
			return place{}, &fs.PathError{Op: "open", Path: path, Err: ErrOutside}
		}
		handle, err := r.open(false)
		if errors.Is(err, fs.ErrNotExist) {
			return place{r, name, path}, nil
		}
		if err != nil {
			return place{}, err
		}
		target, err := firstLink(handle, name, last)
		if err != nil {
			return place{}, err
		}
		if target == "" {
			base := r.real
			if base == "" {
				base = r.dir
			}
			return place{r, name, filepath.Join(base, name)}, nil
		}
		if filepath.IsAbs(target) {
			path = target
		} else {
			path = filepath.Join(r.dir, target)
			if r.real != "" {
				path = filepath.Join(r.real, target)
			}
		}
	}
	return place{}, &fs.PathError{Op: "open", Path: path, Err: errors.New("too many links")}
}

// find returns the innermost folder that holds path.
func find(roots []*root, path string) (best *root, name string, ok bool) {
	for _, r := range roots {
		if n, within := r.within(path); within && (best == nil || len(n) < len(name) || len(n) == len(name) && best.readOnly) {
			best, name, ok = r, n, true
		}
	}
	return best, name, ok
}

// firstLink returns what name stands for after its first link is followed,
// relative to the folder or absolute; empty if it has no link.
func firstLink(handle *os.Root, name string, last bool) (string, error) {
	parts := strings.Split(name, string(filepath.Separator))
	for i := range parts {
		if i == len(parts)-1 && !last {
			return "", nil
		}
		prefix := filepath.Join(parts[:i+1]...)
		info, err := handle.Lstat(prefix)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		target, err := handle.Readlink(prefix)
		if err != nil {
			return "", err
		}
		rest := filepath.Join(parts[i+1:]...)
		if filepath.IsAbs(target) {
			return filepath.Join(target, rest), nil
		}
		return filepath.Join(filepath.Dir(prefix), target, rest), nil
	}
	return "", nil
}

// allowed returns an error if a rule denies the operation on a place.
func (e *Env) allowed(op Op, p place) error {
	if e.options.Denied != nil && e.options.Denied(op, p.path) {
		return &fs.PathError{Op: "open", Path: p.path, Err: ErrDenied}
	}
	return nil
}

// file is the content of a file.
type file struct {
	path string // without links
	data []byte
	info fs.FileInfo
}

// read reads a file of at most limit bytes.
func (e *Env) read(path string, limit int64) (file, error) {
	if path == os.DevNull {
		return file{path: path}, nil
	}
	f, p, err := e.open(path)
	if err != nil {
		return file{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return file{}, err
	}
	if info.Size() > limit {
		return file{path: p.path, info: info}, &fs.PathError{Op: "read", Path: path, Err: &openfile.TooLargeError{Limit: limit}}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return file{}, err
	}
	if int64(len(data)) > limit {
		return file{path: p.path, info: info}, &fs.PathError{Op: "read", Path: path, Err: &openfile.TooLargeError{Limit: limit}}
	}
	return file{p.path, data, info}, nil
}

// open opens a regular file for reading. The file is the one at the place whose
// permission was checked: if a link was put there meanwhile, the open fails.
func (e *Env) open(path string) (*os.File, place, error) {
	p, err := e.locate(path, true)
	if err != nil {
		return nil, p, err
	}
	if err := e.allowed(OpRead, p); err != nil {
		return nil, p, err
	}
	handle, err := p.root.open(false)
	if err != nil {
		return nil, p, err
	}
	f, err := openfile.In(handle, filepath.ToSlash(p.name))
	if err != nil {
		return nil, p, err
	}
	opened, err := f.Stat()
	if err == nil {
		err = e.unchanged(opened, p)
	}
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, p, err
	}
	return f, p, nil
}

// unchanged returns an error unless what was opened is at p, reached without a
// link.
func (e *Env) unchanged(opened fs.FileInfo, p place) error {
	again, err := e.locate(p.path, true)
	if err != nil {
		return err
	}
	handle, err := again.root.open(false)
	if err != nil {
		return err
	}
	there, err := handle.Lstat(again.name)
	if err != nil {
		return err
	}
	if again.path != p.path || !os.SameFile(opened, there) {
		return &fs.PathError{Op: "open", Path: p.path, Err: errSwapped}
	}
	return nil
}

// readDir returns what a folder holds, sorted by name.
func (e *Env) readDir(path string) ([]fs.DirEntry, error) {
	p, err := e.locate(path, true)
	if err != nil {
		return nil, err
	}
	handle, err := p.root.open(false)
	if err != nil {
		return nil, err
	}
	return fs.ReadDir(handle.FS(), filepath.ToSlash(p.name))
}

// stat returns what is at a path, links followed.
func (e *Env) stat(path string) (fs.FileInfo, error) {
	p, err := e.locate(path, true)
	if err != nil {
		return nil, err
	}
	handle, err := p.root.open(false)
	if err != nil {
		return nil, err
	}
	return handle.Lstat(p.name)
}

// lstat returns what is at a path, the last link not followed, and what that link
// says.
func (e *Env) lstat(path string) (info fs.FileInfo, link string, err error) {
	p, err := e.locate(path, false)
	if err != nil {
		return nil, "", err
	}
	handle, err := p.root.open(false)
	if err != nil {
		return nil, "", err
	}
	info, err = handle.Lstat(p.name)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return info, "", err
	}
	link, err = handle.Readlink(p.name)
	if err == nil && !filepath.IsAbs(link) {
		link = filepath.Join(filepath.Dir(path), link)
	}
	return info, link, err
}

// write gives a file the content data, and makes its folders. The old content is
// replaced at once: a reader sees all of the old or all of the new.
func (e *Env) write(path string, data []byte) error {
	p, err := e.locate(path, true)
	if err != nil {
		return err
	}
	if err := e.allowed(OpWrite, p); err != nil {
		return err
	}
	if p.root.readOnly {
		return &fs.PathError{Op: "write", Path: path, Err: errReadOnly}
	}
	handle, err := p.root.open(true)
	if err != nil {
		return err
	}
	if parent := filepath.Dir(p.name); parent != "." {
		if err := handle.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	mode := fs.FileMode(0o644)
	switch info, err := handle.Lstat(p.name); {
	case err == nil && !info.Mode().IsRegular():
		return &fs.PathError{Op: "write", Path: path, Err: openfile.ErrNotRegular}
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return e.replace(handle, p, data, mode)
}

// replace writes data to a file beside p and renames it to p, which follows no
// link. The folder is the one whose permission was checked.
func (e *Env) replace(handle *os.Root, p place, data []byte, mode fs.FileMode) (err error) {
	folder, err := handle.OpenRoot(filepath.Dir(p.name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	opened, err := folder.Stat(".")
	if err != nil {
		return err
	}
	if err := e.unchanged(opened, place{p.root, filepath.Dir(p.name), filepath.Dir(p.path)}); err != nil {
		return err
	}
	base := filepath.Base(p.name)
	var f *os.File
	var temporary string
	for i := range 100 {
		temporary = fmt.Sprintf(".%s.%d-%d.tmp", base, os.Getpid(), i)
		f, err = folder.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = folder.Rename(temporary, base)
	}
	if err != nil {
		_ = folder.Remove(temporary) // the first error counts
	}
	return err
}
