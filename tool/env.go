package tool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Op is what a tool does to a file.
type Op int

// Operations on files.
const (
	OpRead Op = iota
	OpWrite
)

// Options are what a caller decides about an [Env]. The zero value grants the
// project's folder and asks for no permission.
type Options struct {
	// Home is the folder that ~ stands for. Without it, ~ is a name like any other.
	Home string

	// Gate decides whether a call may run; an error refuses it, and its text is
	// the result. A nil Gate permits every call.
	Gate func(ctx context.Context, env *Env, name string, input json.RawMessage) error

	// Denied reports whether a rule forbids the operation on a file, whose path is
	// absolute and without links. It is asked for every file that a tool opens or
	// lists, so that a search shows nothing of a denied file. A nil Denied denies
	// no file.
	Denied func(op Op, path string) bool

	// CountTokens returns how many tokens a text has. Without it they are estimated.
	CountTokens func(ctx context.Context, text string) (int, error)

	// Ripgrep is the path of ripgrep, which makes Grep faster in large folders.
	// Without it files are searched in this process, with the same results.
	Ripgrep string

	// ResultDir is the folder, outside the project, for results that are too long
	// for the model. Without it their rest is dropped.
	ResultDir string

	// RequireRead refuses to change a file that the agent has not read.
	RequireRead bool

	// Beside returns what the model should know beside a file that Read has shown,
	// whose path is absolute and without links: instructions for that file, and the
	// paths of the files that they are from. May be nil.
	Beside func(path string) (texts, files []string)

	// Reads are patterns of the files that commands depend on, as the globs of Grep
	// are written. Nil stands for all files in the working folder.
	Reads []string

	// Restored is called with the facts that tools remembered in another process; see
	// [Env.Remember]. May be nil.
	Restored func(facts []string)

	ripgrepFrom *int64 // for tests: bytes from which ripgrep is used
}

// Env is what the calls of one agent share: the folders they may use, the current
// folder, and what was read. Its methods may be called concurrently.
type Env struct {
	*shared
	changed changed // by way of this Env
}

// shared is what an environment and those of its calls have in common.
type shared struct {
	dir     string // as given, absolute
	options Options

	mu       sync.Mutex
	cwd      string
	roots    []*root
	reads    map[string]fileState // by path without links
	observed []Observation
	trees    trees
	todos    []Todo
	facts    []string // that tools keep
}

// NewEnv returns the environment of an agent that works in the folder dir. Close
// releases it.
func NewEnv(dir string, options Options) (*Env, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the working folder: %w", err)
	}
	e := &Env{shared: &shared{dir: abs, cwd: abs, options: options, reads: map[string]fileState{}}}
	if err := e.Grant(abs); err != nil {
		return nil, err
	}
	return e, nil
}

// ForCall returns the same environment for one call of a tool: TakeChange returns what
// this call changed, whatever runs beside it.
func (e *Env) ForCall() *Env { return &Env{shared: e.shared} }

// Close closes the folders.
func (e *Env) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, r := range e.roots {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// Grant lets tools use a folder outside the project too. A folder that does not
// exist yet is created by the first write to it.
func (e *Env) Grant(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("granting a folder: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.roots = append(e.roots, newRoot(abs))
	return nil
}

// GrantRead lets tools read a folder outside the project, and commands too. A folder
// in one that was granted stays as it is.
func (e *Env) GrantRead(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("granting a folder: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, _, ok := find(e.roots, abs); ok {
		return nil
	}
	e.grantRead(abs)
	e.changed.readable = append(e.changed.readable, abs)
	return nil
}

func (e *Env) grantRead(dir string) {
	r := newRoot(dir)
	r.readOnly = true
	e.roots = append(e.roots, r)
}

// Dir returns the working folder, absolute.
func (e *Env) Dir() string { return e.dir }

// Granted returns the folders that tools may use, the working folder first, without
// those that may only be read.
func (e *Env) Granted() []string { return e.folders(false) }

// GrantedToRead returns the folders that may only be read.
func (e *Env) GrantedToRead() []string { return e.folders(true) }

func (e *Env) folders(readOnly bool) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var dirs []string
	for _, r := range e.roots {
		if r.readOnly == readOnly {
			dirs = append(dirs, r.dir)
		}
	}
	return dirs
}

// Remember keeps a fact for later calls, also for those of a task that goes on in
// another process. It reports whether the fact is new.
func (e *Env) Remember(fact string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.Contains(e.facts, fact) {
		return false
	}
	e.facts = append(e.facts, fact)
	e.changed.facts = append(e.changed.facts, fact)
	return true
}

// Home returns the folder that ~ stands for; empty if there is none.
func (e *Env) Home() string { return e.options.Home }

// Cwd returns the current folder, which relative paths start from.
func (e *Env) Cwd() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cwd
}

// Chdir changes the current folder. The error is for a folder outside those that
// were granted.
func (e *Env) Chdir(dir string) error {
	path := e.Abs(dir)
	info, err := e.stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &os.PathError{Op: "chdir", Path: path, Err: errors.New("it is not a folder")}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cwd, e.changed.cwd = path, e.changed.cwd || e.cwd != path
	return nil
}

// Abs returns a path as tools understand it, absolute and clean: ~ is the home
// folder, and a relative path starts from the current folder.
func (e *Env) Abs(path string) string {
	if home := e.options.Home; home != "" {
		if path == "~" {
			return home
		}
		if rest, ok := strings.CutPrefix(path, "~/"); ok {
			return filepath.Join(home, rest)
		}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(e.Cwd(), path)
	}
	return filepath.Clean(path)
}

// Permit returns why a call may not run, as the Gate of the environment says; nil if it
// may. It is for calls that something else than the environment's tools runs.
func (e *Env) Permit(ctx context.Context, name string, input json.RawMessage) error {
	return e.gate(ctx, name, input)
}

// gate asks whether a call may run.
func (e *Env) gate(ctx context.Context, name string, input json.RawMessage) error {
	if e.options.Gate == nil {
		return nil
	}
	return e.options.Gate(ctx, e, name, input)
}
