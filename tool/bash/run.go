package bash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/tool"
)

// Command is a command that no model asked for, such as a step of a workflow.
type Command struct {
	// Args are the program and its arguments. Without them, Script is a text for Bash.
	Args   []string
	Script string
	Stdin  string
	Env    []string // NAME=value, beside the variables that every command gets
	Dir    string   // absolute; empty for the working folder
}

// Text returns the command as a line for Bash: what permission is asked for. Variables
// that a program may take for a setting are part of it.
func (c Command) Text() string {
	var words []string
	for _, variable := range c.Env {
		if name, value, _ := strings.Cut(variable, "="); !strings.HasPrefix(name, DataPrefix) {
			words = append(words, name+"="+word(value))
		}
	}
	if c.Args == nil {
		return strings.Join(append(words, c.Script), " ")
	}
	for _, arg := range c.Args {
		words = append(words, word(arg))
	}
	return strings.Join(words, " ")
}

// DataPrefix starts the names of variables that hold data: no program takes one for
// a setting, so they need no permission.
const DataPrefix = "INPUT_"

var plainWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_@%+:,./-]+$`) })

// word quotes an argument where the shell needs it.
func word(arg string) string {
	if plainWord().MatchString(arg) {
		return arg
	}
	return quote(arg)
}

// Ended is how a [Command] ended.
type Ended struct {
	Stdout, Stderr []byte
	ExitCode       int
	Cause          sandbox.Cause // why it was ended, or ""
}

// maxStdout bounds what a command returns.
const maxStdout = 8 << 20

// Run runs a command to its end, isolated like those of the model. The context's end
// ends it. The caller has asked for permission.
func (s *Shell) Run(ctx context.Context, env *tool.Env, c Command) (*Ended, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if len(c.Text()) > maxCommand {
		return nil, fmt.Errorf("the command has %d bytes, and at most %d are possible; pass long values with stdin", len(c.Text()), maxCommand)
	}
	s.setup.Do(func() { s.setupErr = s.prepare(ctx, env) })
	if s.setupErr != nil {
		return nil, s.setupErr
	}
	dir := env.Dir()
	if c.Dir != "" {
		if dir = c.Dir; !filepath.IsAbs(dir) {
			dir = filepath.Join(env.Dir(), dir)
		}
	}
	policy, err := s.policy(env)
	if err != nil {
		return nil, err
	}
	policy.Limits.Time = maxTimeout
	stdin, err := s.input(c.Stdin)
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	args := []string{shellPath, "-c", `exec "$@" 0<&4 1>&3 3>&- 4<&-`, "bash"}
	if c.Args == nil {
		args = append(args, shellPath, "-c", c.Script)
	} else {
		args = append(args, c.Args...)
	}
	var stderr output
	process, err := sandbox.Start(context.WithoutCancel(ctx), policy, sandbox.Command{
		Args: args, Dir: dir, Env: append(s.environ(env), c.Env...), Output: &stderr, Files: []*os.File{w, stdin},
	})
	w.Close()
	if err != nil {
		return nil, explain(err, dir)
	}
	stop := context.AfterFunc(ctx, process.End)
	defer stop()
	var stdout bytes.Buffer
	n, err := io.Copy(&stdout, io.LimitReader(r, maxStdout+1))
	if n > maxStdout || err != nil {
		process.End()
	}
	result, waitErr := process.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case n > maxStdout:
		return nil, fmt.Errorf("the command wrote more than %d MB to its standard output", maxStdout>>20)
	case err != nil || waitErr != nil:
		return nil, errors.Join(err, waitErr)
	}
	ended := &Ended{Stdout: stdout.Bytes(), Stderr: []byte(stderr.text()), ExitCode: result.ExitCode, Cause: result.Cause}
	if result.Signal != 0 {
		ended.ExitCode = 128 + result.Signal
	}
	return ended, nil
}

// input returns a file from which a command reads a text. It has no name, so that
// nothing is left of it.
func (s *Shell) input(text string) (*os.File, error) {
	f, err := os.CreateTemp(s.folders.tasks(), "stdin-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
