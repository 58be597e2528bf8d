// Package claudecode has Claude Code answer tasks: the program `claude`, without a
// terminal, in place of the tool loop of package task.
//
// What it asks of models is sent to a proxy on the loopback interface that lives as long
// as the task, so that the response cache, budgets, limits and records apply as to all
// other calls. Before it uses a tool it asks the same server whether it may, by a hook;
// the answer is that of the task's own permissions. It gets neither a credential nor
// another address of the service.
package claudecode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/server/proxy"
)

// Name is the name of the runner.
const Name = "claude-code"

// command is the name of the program.
const command = "claude"

// MissingError reports that Claude Code is not installed.
type MissingError struct {
	Command string // that was looked for
	Err     error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the runner claude-code needs Claude Code, and %s cannot be run (%v); install it with `npm install -g @anthropic-ai/claude-code`, or choose the runner builtin", e.Command, e.Err)
}

// FaultKind says that the user can mend it.
func (e *MissingError) FaultKind() fault.Kind { return fault.KindInput }

func (e *MissingError) Unwrap() error { return e.Err }

// Find returns the path of the program. Without one the error is a [*MissingError].
func Find() (string, error) {
	path, err := exec.LookPath(command)
	if err == nil {
		path, err = filepath.Abs(path) // it is started in another folder
	}
	if err != nil {
		if e, ok := errors.AsType[*exec.Error](err); ok {
			err = e.Err
		}
		return "", &MissingError{command, err}
	}
	return path, nil
}

// Version returns what the program says of its version, such as "2.1.332".
func Version(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env, cmd.WaitDelay = sandbox.Environ(passed), time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", path, err)
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if version == "" || version[0] < '0' || version[0] > '9' {
		return "", fault.Input(fmt.Errorf("%s is not Claude Code: it prints no version", path))
	}
	return version, nil
}

// MinVersion is the earliest version whose hooks can ask for permissions over HTTP. With
// an earlier one no tool is allowed.
const MinVersion = "2.1.63"

// Older reports whether a version, such as [Version] returns it, is before [MinVersion].
func Older(version string) bool {
	numbers := func(text string) (list [3]int) {
		for i, part := range strings.SplitN(text, ".", 3) {
			digits, _, _ := strings.Cut(part, "-")
			list[i], _ = strconv.Atoi(digits) // 0 for what is no number
		}
		return list
	}
	is, least := numbers(version), numbers(MinVersion)
	return slices.Compare(is[:], least[:]) < 0
}

// Options configure a [Runner]. Upstream must be set.
type Options struct {
	// Upstream is the way to the service.
	Upstream proxy.Upstream

	// Dir is the folder that tasks without one of their own work in, absolute.
	Dir string

	// Path is the program. Empty means that it is looked for in PATH.
	Path string

	// Grace is how long the program may take to end after its result, or after it was
	// asked to; 0 for 5 s.
	Grace time.Duration
}

// Runner runs tasks with Claude Code. It is safe for concurrent use.
type Runner struct {
	options Options
	find    func() (string, error)
}

// New returns a runner. Nothing is started before the first task.
func New(options Options) *Runner {
	options.Grace = cmp.Or(options.Grace, 5*time.Second)
	find := sync.OnceValues(Find)
	if options.Path != "" {
		find = func() (string, error) { return options.Path, nil }
	}
	return &Runner{options: options, find: find}
}
