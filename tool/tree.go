package tool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/claude-force/claude-force/internal/openfile"
)

// Bounds of a tree that is compared. Beyond them, nothing is known of it.
const (
	maxTreeFiles   = 20_000
	maxTreeEntries = 200_000 // that are looked at to find the files
	maxTreeBytes   = 256 << 20
)

// trees is what is known of the files that commands can see. It is used under the
// lock of shared only to be taken and put back.
type trees struct {
	skip    bool                // nothing is known of them
	digests map[string]treeFile // by path in the working folder
}

// treeFile is the digest of a file as it was when it was read.
type treeFile struct {
	stamp  stamp
	read   time.Time
	digest [sha256.Size]byte
}

// settled is how much older than its reading the last change of a file must be for its
// digest to be taken again without reading: a change within the granularity of the
// file system's clock would not show.
const settled = 2 * time.Second

// stamp says which file it is and when it was last changed. Unlike the time of
// modification, the time of change cannot be set.
type stamp struct {
	size    int64
	inode   uint64
	changed int64 // ns
}

// SkipTrees leaves out what is in the working folder, because commands see more than it or
// because the observations are of no use. A command may have seen anything then.
func (e *Env) SkipTrees() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trees.skip = true
}

var errTooLarge = errors.New("the folder is too large to be compared")

// tree returns what a command can see in the working folder: names, modes and contents
// of all files, those that .gitignore names included, what links say, and of a
// repository the commits and the index. With [Options].Reads it is only the files that
// these choose. It returns false if that is too much, or cannot be read.
func (e *Env) tree(ctx context.Context) (Observation, bool) {
	e.mu.Lock()
	known := e.trees
	e.mu.Unlock()
	if known.skip {
		return Observation{}, false
	}
	w := treeWalk{ctx: ctx, env: e, before: known.digests, now: map[string]treeFile{}, hash: sha256.New()}
	err := w.all()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.trees.skip = e.trees.skip || errors.Is(err, errTooLarge)
		return Observation{}, false
	}
	e.trees.digests = w.now
	return Observation{Kind: SawTree, Name: strings.Join(e.options.Reads, " "), Digest: hex.EncodeToString(w.hash.Sum(nil))}, true
}

// ChangedSince returns the path, in the working folder, of the first file that a
// command depends on and that was written after a time, else of the first folder in which
// files were added or removed since; both are empty if none shows.
func (e *Env) ChangedSince(ctx context.Context, since time.Time) (file, folder string) {
	p, err := e.locate(e.dir, true)
	if err != nil {
		return "", ""
	}
	handle, err := p.root.open(false)
	if err != nil {
		return "", ""
	}
	g, err := newGlobs(e.options.Reads...)
	if err != nil {
		return "", ""
	}
	entries := 0
	// What cannot be read does not show.
	_ = fs.WalkDir(handle.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		entries++
		switch {
		case ctx.Err() != nil, entries > maxTreeEntries:
			return fs.SkipAll
		case err != nil:
			return nil
		case d.Name() == ".git" && d.IsDir():
			return fs.SkipDir
		case d.IsDir() && folder == "" && len(e.options.Reads) == 0: // what patterns name in it is not known
			if info, err := d.Info(); err == nil && info.ModTime().After(since) {
				folder = name
			}
			return nil
		case !d.Type().IsRegular() || !g.match(name):
			return nil
		case e.options.Denied != nil && e.options.Denied(OpRead, filepath.Join(e.dir, filepath.FromSlash(name))):
			return nil
		}
		if info, err := d.Info(); err == nil && info.ModTime().After(since) {
			file = name
			return fs.SkipAll
		}
		return nil
	})
	if file != "" {
		folder = ""
	}
	return file, folder
}

type treeWalk struct {
	ctx         context.Context
	env         *Env
	handle      *os.Root
	globs       globs
	before, now map[string]treeFile
	hash        hash.Hash
	files       int
	entries     int
	bytes       int64
}

func (w *treeWalk) all() error {
	p, err := w.env.locate(w.env.dir, true)
	if err != nil {
		return err
	}
	if w.handle, err = p.root.open(false); err != nil {
		return err
	}
	if p.name != "." {
		return errors.New("the working folder is within another")
	}
	if w.env.options.Reads != nil {
		if len(w.env.options.Reads) == 0 {
			return nil
		}
		if w.globs, err = newGlobs(w.env.options.Reads...); err != nil {
			return err
		}
		return w.folder(".")
	}
	if err := w.folder("."); err != nil {
		return err
	}
	return w.above(p.path)
}

// folder adds what is in a folder. Its size is known before anything is read.
func (w *treeWalk) folder(name string) error {
	var files []string
	err := fs.WalkDir(w.handle.FS(), name, func(name string, d fs.DirEntry, err error) error {
		switch {
		case w.ctx.Err() != nil:
			return w.ctx.Err()
		case err != nil:
			return err
		case name == ".":
			return nil
		}
		if w.entries++; w.entries > maxTreeEntries {
			return errTooLarge
		}
		if w.env.options.Denied != nil && w.env.options.Denied(OpRead, filepath.Join(w.env.dir, filepath.FromSlash(name))) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.Name() == ".git" {
			if w.env.options.Reads == nil {
				return w.repository(w.handle, name, d)
			}
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if w.env.options.Reads != nil && (d.IsDir() || !w.globs.match(name)) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(w.hash, "%q %v", name, info.Mode())
		switch {
		case info.Mode().IsRegular():
			w.files++
			w.bytes += info.Size()
			files = append(files, name)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := w.handle.Readlink(filepath.FromSlash(name))
			if err != nil {
				return err
			}
			fmt.Fprintf(w.hash, " %q", target)
			if w.env.options.Reads != nil {
				return errors.New("a link was chosen")
			}
		}
		if w.files > maxTreeFiles || w.bytes > maxTreeBytes {
			return errTooLarge
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := w.content(name); err != nil {
			return err
		}
	}
	return nil
}

// content adds the content of a file.
func (w *treeWalk) content(name string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	info, err := w.handle.Lstat(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	s, stamped := stampOf(info)
	known, ok := w.before[name]
	if !ok || !stamped || known.stamp != s || known.read.Sub(time.Unix(0, s.changed)) < settled {
		known = treeFile{stamp: s, read: time.Now()}
		if known.digest, err = contentOf(w.handle, name); err != nil {
			return err
		}
	}
	w.now[name] = known
	w.hash.Write(known.digest[:])
	return nil
}

func contentOf(handle *os.Root, name string) (digest [sha256.Size]byte, err error) {
	f, err := openfile.In(handle, name)
	if err != nil {
		return digest, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxTreeBytes+1))
	if err == nil && n > maxTreeBytes {
		err = errTooLarge
	}
	h.Sum(digest[:0])
	return digest, err
}

// repository adds what a repository says of itself: where its branches are, and what
// is staged. Commits follow from their names. Branches of worktrees of ours come and go
// with every run, and do not count.
func (w *treeWalk) repository(handle *os.Root, name string, d fs.DirEntry) error {
	if !d.IsDir() {
		return errors.New("the repository is elsewhere")
	}
	err := fs.WalkDir(handle.FS(), name, func(file string, d fs.DirEntry, err error) error {
		switch rel := strings.TrimPrefix(file, name+"/"); {
		case w.ctx.Err() != nil:
			return w.ctx.Err()
		case err != nil:
			return err
		case d.IsDir():
			if rel == "refs/heads/claude-force" || file != name && !strings.HasPrefix(rel+"/", "refs/") && rel != "info" {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular() || strings.HasSuffix(rel, ".lock"):
			return nil
		default:
			if w.files++; w.files > maxTreeFiles {
				return errTooLarge
			}
			digest, err := contentOf(handle, file)
			fmt.Fprintf(w.hash, "%q %x", path.Join(".git", rel), digest)
			return err
		}
	})
	if err != nil {
		return err
	}
	return fs.SkipDir
}

// above adds the repository that the working folder is in, if that begins above it.
func (w *treeWalk) above(dir string) error {
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Lstat(filepath.Join(parent, ".git"))
		if err == nil {
			handle, err := os.OpenRoot(parent)
			if err != nil {
				return err
			}
			err = w.repository(handle, ".git", fs.FileInfoToDirEntry(info))
			if errors.Is(err, fs.SkipDir) {
				err = nil
			}
			return errors.Join(err, handle.Close())
		}
		if filepath.Dir(parent) == parent {
			return nil
		}
	}
}
