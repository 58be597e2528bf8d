package worktree

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
)

// Place says whose a worktree is and where it is kept.
type Place struct {
	Root string // the folder of all worktrees, outside every project
	Run  string // the id of the run
	Unit string // what works in it, see [Name]
	Base string // what it starts from: a commit, a branch, a tag; HEAD if empty
}

// Branch returns the name of the worktree's branch.
func (p Place) Branch() string { return "claude-force/" + p.Run + "/" + p.Unit }

var unnamed = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^A-Za-z0-9_-]+`) })

// Name returns the name of the worktree of a step and of its item, for [Place.Unit].
func Name(step, item string) string {
	name := unnamed().ReplaceAllString(step, "+")
	if item != "" {
		name += "+" + unnamed().ReplaceAllString(item, "+")
	}
	return name
}

// Tree is a worktree.
type Tree struct {
	repo  *Repository
	place Place
	path  string
	state state
}

// state is the file beside a worktree that says what it is.
type state struct {
	Repository string `json:"repository"` // the folder that all its worktrees share
	Admin      string `json:"admin"`      // the folder of its own state; empty until it can be used
	Base       string `json:"base"`       // the commit that it started from
}

// one lets one worktree at a time be made or removed: git itself does not wait.
var one sync.Mutex

// Open returns the worktree of a place. It makes it unless it is there already, as
// after the process ended that made it: then it is as it was left, and the base is
// the one that it started from.
func (r *Repository) Open(ctx context.Context, p Place) (*Tree, error) {
	t := &Tree{repo: r, place: p, path: filepath.Join(p.Root, p.Run, p.Unit)}
	if p.Root == "" || p.Run == "" || p.Unit == "" || p.Unit != unnamed().ReplaceAllString(p.Unit, "+") {
		return nil, fault.Input(errors.New("a worktree needs a folder that outlives the process, and a run that it belongs to"))
	}
	one.Lock()
	defer one.Unlock()
	err := t.load()
	switch {
	case err == nil && t.state.Admin != "":
		if t.state.Repository != r.common {
			return nil, fmt.Errorf("the worktree %s belongs to another repository, %s", t.path, t.state.Repository)
		}
		if _, err := os.Stat(t.path); err != nil {
			return nil, fault.Input(fmt.Errorf("the worktree %s was removed while it was in use; its last state that was kept is the branch %s", t.path, p.Branch()))
		}
		return t, nil
	case err == nil: // the process that made it ended while it did, so no agent has worked in it
		if err := t.remove(ctx); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return t, t.make(ctx)
}

func (t *Tree) file() string { return t.path + ".json" }

func (t *Tree) load() error {
	data, err := openfile.Read(t.file(), maxPointer)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &t.state); err != nil {
		return fmt.Errorf("reading %s: %w", t.file(), err)
	}
	return nil
}

func (t *Tree) save() error {
	data, err := json.Marshal(t.state)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.file()), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(t.file()+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(t.file()+".new", t.file())
}

// make creates the worktree and its branch.
func (t *Tree) make(ctx context.Context) error {
	r, base := t.repo, t.place.Base
	if base == "" {
		base = "HEAD"
	}
	commit, err := r.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", base+"^{commit}")
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case err != nil && base == "HEAD":
		return fault.Input(fmt.Errorf("the repository %s has no commit that a worktree could start from; commit first", r.top))
	case err != nil:
		return fault.Input(fmt.Errorf("the repository %s has no commit, branch or tag %q for a worktree to start from", r.top, base))
	}
	t.state = state{Repository: r.common, Base: strings.TrimSpace(commit)}
	if err := t.save(); err != nil {
		return fmt.Errorf("making a worktree: %w", err)
	}
	// Without a checkout: that comes with the settings that apply on the branch.
	if _, err := r.run(ctx, "worktree", "add", "--quiet", "--no-checkout", "-b", t.place.Branch(), t.path, t.state.Base); err != nil {
		return fmt.Errorf("making a worktree: %w", err)
	}
	admin, err := pointer(filepath.Join(t.path, ".git"), "gitdir: ")
	if err != nil {
		return fmt.Errorf("making a worktree: %w", err)
	}
	t.state.Admin = admin
	if _, err := t.run(ctx, "read-tree", "--reset", "-u", "HEAD"); err != nil {
		return fmt.Errorf("making a worktree: %w", err)
	}
	// A project's folder that is not in the commit is there all the same.
	if err := os.MkdirAll(t.Dir(), 0o777); err != nil { //nolint:gosec // as git makes folders
		return fmt.Errorf("making a worktree: %w", err)
	}
	return t.save()
}

// run runs git in the worktree.
func (t *Tree) run(ctx context.Context, args ...string) (string, error) {
	return t.repo.call(ctx, call{dir: t.path, admin: t.state.Admin}, args...)
}

// Dir returns the project's folder within the worktree.
func (t *Tree) Dir() string { return filepath.Join(t.path, filepath.FromSlash(t.repo.prefix)) }

// Finish commits what the worktree has to its branch, and returns how that differs
// from the base. A worktree without a difference is removed with its branch; then
// the result is nil. Files that the repository ignores do not count.
func (t *Tree) Finish(ctx context.Context) (*llm.Changes, error) {
	tip, nested, err := t.commit(ctx)
	if err != nil {
		return nil, fmt.Errorf("keeping what is in the worktree %s: %w", t.path, err)
	}
	c := &llm.Changes{Branch: t.place.Branch(), Base: t.state.Base, Commit: tip, Worktree: t.path, Left: nested}
	if err := t.repo.describe(ctx, c); err != nil {
		return nil, err
	}
	if len(c.Files) > 0 || len(nested) > 0 {
		return c, nil
	}
	one.Lock()
	defer one.Unlock()
	return nil, t.remove(ctx)
}

// commit commits what the worktree has and returns the commit, or the one that it
// has already if nothing changed. Repositories that an agent made within it are
// left out, since git would follow the settings in them; nested lists them.
func (t *Tree) commit(ctx context.Context) (tip string, nested []string, err error) {
	if nested, err = t.nested(); err != nil {
		return "", nil, err
	}
	add := []string{"add", "--all", "--", "."}
	for _, dir := range nested {
		add = append(add, ":(exclude,literal)"+dir)
	}
	if _, err := t.run(ctx, add...); err != nil {
		return "", nil, err
	}
	tree, err := t.run(ctx, "write-tree")
	if err != nil {
		return "", nil, err
	}
	head, err := t.run(ctx, "rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return "", nil, err
	}
	before, err := t.run(ctx, "rev-parse", "--verify", "HEAD^{tree}")
	if err != nil {
		return "", nil, err
	}
	head, tree = strings.TrimSpace(head), strings.TrimSpace(tree)
	if tree == strings.TrimSpace(before) {
		return head, nested, nil
	}
	made, err := t.run(ctx, "commit-tree", tree, "-p", head, "-m", "Work of "+t.place.Unit+" in "+t.place.Run)
	if err != nil {
		return "", nil, err
	}
	made = strings.TrimSpace(made)
	_, err = t.run(ctx, "update-ref", "-m", "work of a step", "HEAD", made, head)
	return made, nested, err
}

// nested returns the folders within the worktree that are repositories of their
// own, with forward slashes.
func (t *Tree) nested() ([]string, error) {
	var found []string
	err := filepath.WalkDir(t.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(t.path, filepath.Dir(path))
		if err != nil {
			return err
		}
		if strings.EqualFold(d.Name(), ".git") && path != t.path && dir != "." {
			found = append(found, filepath.ToSlash(dir))
			return fs.SkipDir // what else is in its folder is left out with it
		}
		if d.IsDir() && strings.EqualFold(d.Name(), ".git") {
			return fs.SkipDir
		}
		return nil
	})
	return found, err
}

// remove removes the worktree, its branch and its file. What is in it is lost.
func (t *Tree) remove(ctx context.Context) error {
	if err := os.RemoveAll(t.path); err != nil {
		return fmt.Errorf("removing a worktree: %w", err)
	}
	_, gone := t.repo.run(ctx, "worktree", "remove", "--force", "--force", t.path)
	if _, err := t.repo.run(ctx, "rev-parse", "--verify", "--quiet", "refs/heads/"+t.place.Branch()); err == nil {
		if _, err := t.repo.run(ctx, "branch", "--quiet", "-D", t.place.Branch()); err != nil {
			return fmt.Errorf("removing the branch of a worktree: %w", errors.Join(gone, err))
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := os.Remove(t.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a worktree: %w", err)
	}
	_ = os.Remove(filepath.Dir(t.path)) // the run's folder, if this was its last
	return nil
}

// maxDiff is the size up to which a patch is part of a result.
const maxDiff = 1 << 20

// describe fills in the files and the patch of changes.
func (r *Repository) describe(ctx context.Context, c *llm.Changes) error {
	names, err := r.run(ctx, "diff-tree", "-r", "-z", "--name-only", "--no-renames", c.Base, c.Commit)
	if err != nil {
		return fmt.Errorf("comparing a worktree with what it started from: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		if name != "" {
			c.Files = append(c.Files, name)
		}
	}
	if len(c.Files) == 0 {
		return nil
	}
	var patch bounded
	if err := r.Patch(ctx, c, &patch); err != nil {
		return err
	}
	if c.Diff = patch.buf.String(); patch.cut {
		c.Diff, c.DiffCut = strings.ToValidUTF8(c.Diff[:strings.LastIndexByte(c.Diff, '\n')+1], "\uFFFD"), true
		return nil
	}
	c.Diff = strings.ToValidUTF8(c.Diff, "\uFFFD")
	return nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	buf bytes.Buffer
	cut bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := maxDiff - b.buf.Len()
	if len(p) > room {
		b.cut = true
		b.buf.Write(p[:room])
		return len(p), nil
	}
	return b.buf.Write(p)
}

// Patch writes the patch of changes, whole, as `git apply` takes it.
func (r *Repository) Patch(ctx context.Context, c *llm.Changes, w io.Writer) error {
	if err := r.has(ctx, c); err != nil {
		return err
	}
	_, err := r.call(ctx, call{out: w}, "diff-tree", "-r", "-p", "--binary", "--full-index", "--find-renames", "--no-ext-diff", "--no-textconv", "--no-color", c.Base, c.Commit)
	if err != nil {
		return fmt.Errorf("comparing a worktree with what it started from: %w", err)
	}
	return nil
}

// has returns an error unless the repository has the commits of changes.
func (r *Repository) has(ctx context.Context, c *llm.Changes) error {
	for _, commit := range []string{c.Base, c.Commit} {
		if _, err := r.run(ctx, "cat-file", "-e", "--end-of-options", commit+"^{commit}"); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fault.Input(fmt.Errorf("the repository %s does not have commit %s of branch %s any more", r.top, commit, c.Branch))
		}
	}
	return nil
}
