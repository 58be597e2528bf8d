package worktree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/sandbox"
)

// Repository is the repository of a project's folder. The folder may be one within
// the checkout.
//
// A repository is not trusted: its settings may name programs, and git would run
// them. So every call of git
//
//   - names the repository and its checkout itself: neither a file .git that an
//     agent wrote nor core.worktree leads it elsewhere;
//   - sees no settings of the user or the system, and none of the environment but
//     the harmless variables that commands of agents have;
//   - runs no hook, pager, editor, credential helper, file system monitor, signing
//     program, ssh or proxy, asks nothing, and fetches nothing;
//   - has the filters, textconv programs, merge drivers and external diffs that the
//     repository's settings name switched off, whatever their names.
//
// Files of filters, such as those of Git LFS, are therefore in a worktree as the
// repository stores them.
type Repository struct {
	git    string // the program
	top    string // the checkout
	gitDir string // of the checkout
	common string // what all worktrees share
	prefix string // the project's folder within the checkout; "" or "a/b"
}

// Find returns the repository of a folder. The error is a [fault.InputError] if
// there is no git or no repository.
func Find(ctx context.Context, dir string) (*Repository, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fault.Input(errors.New("there is no git on the PATH; install it"))
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the repository: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("finding the repository: %w", err)
	}
	for top := dir; ; top = filepath.Dir(top) {
		info, err := os.Lstat(filepath.Join(top, ".git"))
		switch {
		case err == nil:
			r := &Repository{git: git, top: top}
			if r.prefix, err = filepath.Rel(top, dir); err != nil {
				return nil, fmt.Errorf("finding the repository: %w", err)
			}
			if r.prefix = filepath.ToSlash(r.prefix); r.prefix == "." {
				r.prefix = ""
			}
			if err := r.locate(info); err != nil {
				return nil, fault.Input(fmt.Errorf("the repository of %s cannot be used: %w", top, err))
			}
			return r, ctx.Err()
		case top == filepath.Dir(top):
			return nil, fault.Input(fmt.Errorf("%s is in no git repository; run git init and commit", dir))
		}
	}
}

// maxPointer is the size up to which files that name a folder are read.
const maxPointer = 8 << 10

// locate finds the folders of a repository. One that shares its content with another
// place is refused unless that place names it in return: an agent would get to see
// what is not in the project.
func (r *Repository) locate(info fs.FileInfo) error {
	entry := filepath.Join(r.top, ".git")
	switch {
	case info.IsDir():
		r.gitDir, r.common = entry, entry
	case info.Mode().IsRegular():
		own, err := pointer(entry, "gitdir: ")
		if err != nil {
			return err
		}
		r.gitDir, r.common = own, own
		if back, err := pointer(filepath.Join(own, "gitdir"), ""); err == nil { // of a worktree
			r.common = filepath.Dir(filepath.Dir(own))
			if !same(back, entry) || filepath.Base(filepath.Dir(own)) != "worktrees" {
				return errors.New("its file .git names a folder that is another's")
			}
		} else if !within(filepath.Join(".git", "modules"), own, r.top) {
			return errors.New("its file .git names a folder that does not belong to it")
		}
	default:
		return errors.New(".git is neither a folder nor a file")
	}
	for _, name := range []string{"", "objects", "objects/pack", "objects/info", "refs", "refs/heads", "packed-refs", "HEAD", "index", "config", "logs", "worktrees", "info", "commondir"} {
		info, err := os.Lstat(filepath.Join(r.common, filepath.FromSlash(name)))
		if err == nil && (info.Mode()&fs.ModeSymlink != 0 || name == "commondir") {
			return fmt.Errorf(".git/%s leads to another place", name)
		}
	}
	return nil
}

// within reports whether own is below the folder middle of one of the folders above
// top, as that of a submodule is.
func within(middle, own, top string) bool {
	for dir := filepath.Dir(top); ; dir = filepath.Dir(dir) {
		if rel, err := filepath.Rel(filepath.Join(dir, middle), own); err == nil && filepath.IsLocal(rel) {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}

// pointer returns the folder that a file names, behind a prefix.
func pointer(file, prefix string) (string, error) {
	text, err := openfile.Read(file, maxPointer)
	if err != nil {
		return "", err
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(string(text)), prefix)
	if !ok || path == "" {
		return "", fmt.Errorf("%s names no folder", file)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(file), path)
	}
	return filepath.Clean(path), nil
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// fixed are the settings of every call.
var fixed = []string{
	"core.hooksPath=" + os.DevNull, "core.fsmonitor=false", "core.pager=cat", "core.editor=false", "core.sshCommand=false",
	"core.gitProxy=", "core.askPass=", "core.attributesFile=" + os.DevNull, "core.excludesFile=" + os.DevNull, "core.alternateRefsCommand=",
	"core.bare=false", "core.protectHFS=true", "core.protectNTFS=true", "core.quotePath=true", "credential.helper=",
	"commit.gpgSign=false", "tag.gpgSign=false", "gpg.program=false", "gpg.ssh.program=false", "gpg.x509.program=false",
	"gc.auto=0", "maintenance.auto=false", "submodule.recurse=false", "fetch.recurseSubmodules=false", "protocol.allow=never",
	"diff.external=", "diff.ignoreSubmodules=all", "advice.detachedHead=false", "safe.directory=*",
}

// environment returns what git gets beside the harmless variables.
func environment() []string {
	none := os.DevNull
	return sandbox.Environ(nil,
		"HOME="+none, "XDG_CONFIG_HOME="+none, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+none, "GIT_CONFIG_SYSTEM="+none, "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=false", "SSH_ASKPASS=false", "GIT_EDITOR=false", "GIT_PAGER=cat", "PAGER=cat",
		"GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none", "GIT_NO_REPLACE_OBJECTS=1", "GIT_LITERAL_PATHSPECS=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=claude-force", "GIT_AUTHOR_EMAIL=claude-force@localhost", "GIT_COMMITTER_NAME=claude-force", "GIT_COMMITTER_EMAIL=claude-force@localhost")
}

// call is one call of git.
type call struct {
	dir   string // the checkout it works on; the repository's own if empty
	admin string // the folder of that checkout's state
	index string // instead of the checkout's index
	stdin io.Reader
	out   io.Writer // instead of the result
}

// run runs git in the repository's checkout and returns its output.
func (r *Repository) run(ctx context.Context, args ...string) (string, error) {
	return r.call(ctx, call{}, args...)
}

// programs matches settings that name a program, and the name of what it is for.
var programs = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?s)^(filter\..*|diff\..*|merge\..*|hook\..*|man\..*|browser\..*|difftool\..*|mergetool\..*)\.(clean|smudge|process|required|command|textconv|driver|cmd|path|cachetextconv)$`)
})

// harmless returns the settings that switch off the programs which the repository's
// settings name.
func (r *Repository) harmless(ctx context.Context, c call) ([]string, error) {
	list, err := r.exec(ctx, call{dir: c.dir, admin: c.admin}, nil, "config", "--list", "--includes", "--name-only", "-z")
	if err != nil {
		return nil, err
	}
	var set []string
	for name := range strings.SplitSeq(list, "\x00") {
		m := programs().FindStringSubmatch(name)
		if m == nil {
			continue
		}
		value := ""
		switch m[2] {
		case "required", "cachetextconv":
			value = "false"
		case "driver": // an empty one would take one side without a word
			value = "git merge-file %A %O %B"
		}
		set = append(set, name, value)
	}
	return set, nil
}

// call runs git.
func (r *Repository) call(ctx context.Context, c call, args ...string) (string, error) {
	off, err := r.harmless(ctx, c)
	if err != nil {
		return "", err
	}
	return r.exec(ctx, c, off, args...)
}

// Error is a call of git that failed.
type Error struct {
	Args   []string
	Code   int // its exit code; -1 if it did not run
	Stderr string
}

func (e *Error) Error() string {
	text := strings.TrimSpace(e.Stderr)
	if text == "" {
		text = fmt.Sprintf("exit code %d", e.Code)
	}
	return fmt.Sprintf("git %s: %s", e.Args[0], text)
}

// exec runs git with the settings fixed and off, a list of names and values.
func (r *Repository) exec(ctx context.Context, c call, off []string, args ...string) (string, error) {
	if c.dir == "" {
		c.dir, c.admin = r.top, r.gitDir
	}
	env := append(environment(), "GIT_DIR="+c.admin, "GIT_WORK_TREE="+c.dir)
	if c.index != "" {
		env = append(env, "GIT_INDEX_FILE="+c.index)
	}
	// In the environment a name may have any character, and the values win over
	// those of files.
	settings := slices.Clone(off)
	for _, s := range fixed {
		name, value, _ := strings.Cut(s, "=")
		settings = append(settings, name, value)
	}
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)/2))
	for i := 0; i < len(settings); i += 2 {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i/2, settings[i]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i/2, settings[i+1]))
	}
	cmd := exec.CommandContext(ctx, r.git, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.dir, env, c.stdin
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if c.out != nil {
		cmd.Stdout = c.out
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		failed := &Error{Args: args, Code: -1, Stderr: problems.String()}
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			failed.Code = exit.ExitCode()
		} else {
			failed.Stderr = err.Error()
		}
		return out.String(), failed
	}
	return out.String(), nil
}
