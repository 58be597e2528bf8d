// Package bash holds the tool that runs shell commands, isolated by package
// sandbox, and the tool that stops those in the background.
package bash

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/internal/tempfolder"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/tool"
)

// Options are what a caller decides about a [Shell]. The zero value isolates
// commands and grants them the folders of the environment.
type Options struct {
	// Policy is what commands are granted beside the folders of the environment.
	Policy sandbox.Policy
	// Hidden returns what else commands must not see. It is called before the first
	// command. May be nil.
	Hidden func(ctx context.Context) ([]string, error)
	// Narrow lets commands change no more of the repository, of which the working
	// folder is a worktree, than committing there takes: not the branches, the index
	// and the settings of the checkout.
	Narrow bool
	// Pass names variables of this process that commands get, beside the
	// harmless ones. Set are variables ("NAME=value") that they get.
	Pass, Set []string
	// Cache is a folder that commands of later runs see too, as the .cache of
	// their home folder. Without it, nothing is cached from run to run.
	Cache string
	// Timeout is how long a command may run before it continues in the
	// background, if the call does not say. The default is two minutes, or what
	// BASH_DEFAULT_TIMEOUT_MS says.
	Timeout time.Duration
	// MaxOutput is how many characters of output the model gets. The default is
	// 30,000, or what BASH_MAX_OUTPUT_LENGTH says.
	MaxOutput int
	// ResetDir starts each command in the working folder, as for a sub-agent.
	ResetDir bool
	// OnlyReads reports whether a command changes nothing, so that it may run beside
	// other calls that only read. Nil means that none does.
	OnlyReads func(command string) bool
	// Stop ends what other tools run in the background, for TaskStop. It returns what
	// the model reads, and false if the id is of nothing that it knows. May be nil.
	Stop func(id string) (text string, ok bool)
	// Warn is called at most once, with what this system cannot prevent.
	Warn func(text string)
}

// Shell runs the commands of one agent. Its tools are for one [tool.Env].
type Shell struct {
	options Options

	setup    sync.Once
	setupErr error
	made     *tempfolder.Folder
	folders  folders // in made
	snapshot bool    // the user's functions and aliases are in folders.snapshot()

	mu    sync.Mutex
	tasks map[string]*task
}

// New returns a shell. Close releases it.
func New(options Options) *Shell {
	if options.Timeout <= 0 {
		options.Timeout = milliseconds(os.Getenv("BASH_DEFAULT_TIMEOUT_MS"), 2*time.Minute)
	}
	if options.MaxOutput <= 0 {
		options.MaxOutput = 30_000
		if n, err := strconv.Atoi(os.Getenv("BASH_MAX_OUTPUT_LENGTH")); err == nil && n > 0 {
			options.MaxOutput = n
		}
	}
	return &Shell{options: options, tasks: map[string]*task{}}
}

func milliseconds(text string, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > int64(maxTimeout/time.Millisecond) {
		return otherwise
	}
	return time.Duration(n) * time.Millisecond
}

// Tools returns the tools Bash and TaskStop.
func (s *Shell) Tools() []tool.Tool { return []tool.Tool{bashTool{s}, stopTool{s}} }

// Close ends the commands in the background and removes the shell's folders.
func (s *Shell) Close() error {
	s.mu.Lock()
	var running []*task
	for _, t := range s.tasks {
		running = append(running, t)
	}
	s.mu.Unlock()
	for _, t := range running {
		t.process.End()
		<-t.done
	}
	s.setup.Do(func() { s.setupErr = errors.New("the shell is closed") })
	return s.made.Remove()
}

// Limits on the time that a call may ask for.
const (
	defaultBackground = 10 * time.Minute
	maxTimeout        = 2 * time.Hour
	// sleepAllowed is the longest sleep that a call may wait for.
	sleepAllowed = 15 * time.Second
	// maxCommand is the longest command; the system limits an argument.
	maxCommand = 100 << 10
)

type bashInput struct {
	Command    string   `json:"command"`
	Timeout    *float64 `json:"timeout"`
	Background bool     `json:"run_in_background"`
}

// timeout returns how long a call may take.
func (in bashInput) timeout(otherwise time.Duration) time.Duration {
	if in.Timeout == nil || *in.Timeout <= 0 {
		return otherwise
	}
	return time.Duration(min(*in.Timeout, float64(maxTimeout/time.Millisecond)) * float64(time.Millisecond))
}

type bashTool struct{ shell *Shell }

func (b bashTool) Definition() llm.Tool {
	return llm.Tool{
		Name: "Bash",
		Description: "Runs a command in Bash and returns its output, standard output and standard error together. " +
			"The current folder is kept between calls as long as it stays inside the working folders; variables, functions and aliases are not. " +
			"Standard input is empty. Commands are isolated: they see the working folders, a /tmp and a home folder of their own and the system's programs, and no network unless it was granted. " +
			"A command that exceeds its timeout continues in the background. Processes that a command leaves behind are ended with it; use run_in_background for servers.",
		InputSchema: json.RawMessage(`{"type":"object","properties":{` +
			`"command":{"type":"string","description":"The command to run"},` +
			`"description":{"type":"string","description":"What the command does, in a few words"},` +
			`"timeout":{"type":"number","description":"Milliseconds to wait, 120000 if not given"},` +
			`"run_in_background":{"type":"boolean","description":"Return at once; the output goes to a file that Read can read"},` +
			`"dangerouslyDisableSandbox":{"type":"boolean","description":"Has no effect: only the user can run commands without isolation"}` +
			`},"required":["command"],"additionalProperties":false}`),
	}
}

// Concurrent reports whether the command only reads, and is waited for.
func (b bashTool) Concurrent(input json.RawMessage) bool {
	var in bashInput
	return b.shell.options.OnlyReads != nil && json.Unmarshal(input, &in) == nil && !in.Background && b.shell.options.OnlyReads(in.Command)
}

// Sight says that a command sees the working folder, if it sees nothing that changes
// beside it, and ends with the call.
func (b bashTool) Sight(input json.RawMessage) tool.Sight {
	var in bashInput
	o := &b.shell.options
	if json.Unmarshal(input, &in) != nil || in.Background || o.Policy.Off || o.Policy.Network != sandbox.NoNetwork || len(o.Policy.Read)+len(o.Policy.Write) > 0 {
		return tool.SightAnything
	}
	return tool.SightTree
}

func (b bashTool) Call(ctx context.Context, env *tool.Env, input json.RawMessage) (tool.Result, error) {
	var in bashInput
	if err := json.Unmarshal(input, &in); err != nil {
		return tool.Result{}, fmt.Errorf("reading the input: %w", err)
	}
	return b.shell.call(ctx, env, in)
}

func (s *Shell) call(ctx context.Context, env *tool.Env, in bashInput) (tool.Result, error) {
	if err := ctx.Err(); err != nil {
		return tool.Result{}, err
	}
	if len(in.Command) > maxCommand {
		return tool.Failed(fmt.Sprintf("The command has %d bytes, and at most %d are possible. Write it to a file and run that.", len(in.Command), maxCommand)), nil
	}
	about := parse(in.Command)
	if !in.Background && about.sleep > sleepAllowed {
		return tool.Failed(fmt.Sprintf("A call cannot wait for a sleep of %v. Use run_in_background, or check for what you wait for in shorter intervals.", about.sleep)), nil
	}
	s.setup.Do(func() { s.setupErr = s.prepare(ctx, env) })
	if s.setupErr != nil {
		return tool.Result{}, s.setupErr
	}
	dir := env.Cwd()
	if s.options.ResetDir {
		dir = env.Dir()
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		if err := env.Chdir(env.Dir()); err != nil {
			return tool.Result{}, err
		}
		return tool.Failed(fmt.Sprintf("The command was not run: the current folder %s does not exist any more. The current folder is now %s.", dir, env.Dir())), nil
	}

	t, err := s.start(ctx, env, dir, in)
	if err != nil {
		return tool.Result{}, err
	}
	if in.Background {
		if err := s.background(t); err != nil {
			return tool.Result{}, err
		}
		return tool.Text(fmt.Sprintf("The command runs in the background with ID %s. Its output goes to %s, which Read can read; TaskStop ends it.", t.id, t.file)), nil
	}
	timeout := in.timeout(s.options.Timeout)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-t.done:
	case <-ctx.Done():
		t.process.End()
		<-t.done
		return tool.Result{}, ctx.Err()
	case <-timer.C:
		if about.sleeps {
			t.process.End()
			<-t.done
			return tool.Failed(s.failure(143, fmt.Sprintf("Command timed out after %v", timeout), t.output.text())), nil
		}
		env.NoteAnything("Bash") // what it sees from here on
		if err := s.background(t); err != nil {
			return tool.Result{}, err
		}
		text := fmt.Sprintf("The command did not finish within %v. It continues in the background with ID %s. Its output goes to %s, which Read can read; TaskStop ends it.", timeout, t.id, t.file)
		if out := trim(t.output.text()); out != "" {
			text += "\nOutput so far:\n" + env.Bound("Bash", out, s.options.MaxOutput)
		}
		return tool.Text(text), nil
	}
	return s.finished(env, t, about)
}

// finished returns the result of a command that has ended.
func (s *Shell) finished(env *tool.Env, t *task, about analysis) (tool.Result, error) {
	if t.err != nil {
		return tool.Result{}, t.err
	}
	text := trim(t.output.text())
	notice := s.follow(env, t)
	code := t.result.ExitCode
	switch {
	case t.result.Cause != "":
		return tool.Failed(s.failure(137, "The command was ended: "+string(t.result.Cause), text)), nil
	case t.result.Signal != 0:
		code = 1 // the shell itself was killed
	}
	if code != 0 && (code != 1 || !about.oneIsAnAnswer) {
		return tool.Failed(s.failure(code, "", text) + notice), nil
	}
	if code == 0 {
		for _, name := range about.shows {
			env.NoteRead(name)
		}
	}
	text = env.Bound("Bash", text, s.options.MaxOutput)
	switch {
	case text == "" && notice == "":
		text = "(Bash completed with no output)"
	case text == "":
		notice = strings.TrimPrefix(notice, "\n")
	}
	return tool.Text(text + notice), nil
}

// follow makes the folder in which a command ended the current one. It returns
// a notice if that is outside the working folders.
func (s *Shell) follow(env *tool.Env, t *task) string {
	if t.dir == "" || s.options.ResetDir {
		return ""
	}
	if !slices.ContainsFunc(s.working(env), func(dir string) bool { return within(t.dir, dir) }) || env.Chdir(t.dir) != nil {
		return "\nShell cwd was reset to " + env.Cwd()
	}
	return ""
}

// failure returns the text of a command that failed. The middle of a long one is
// left out.
func (s *Shell) failure(code int, why, output string) string {
	text := "Exit code " + strconv.Itoa(code)
	if why != "" {
		text += "\n" + why
	}
	if output != "" {
		text += "\n" + firstChars(output, s.options.MaxOutput)
	}
	return shorten(text)
}

// start starts a command.
func (s *Shell) start(ctx context.Context, env *tool.Env, dir string, in bashInput) (*task, error) {
	policy, err := s.policy(env)
	if err != nil {
		return nil, err
	}
	policy.Limits.Time = maxTimeout
	if in.Background {
		policy.Limits.Time = in.timeout(defaultBackground)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t := &task{id: "b" + strings.ToLower(rand.Text()[:8]), command: in.Command, done: make(chan struct{})}
	// The command outlives the call if it continues in the background.
	t.process, err = sandbox.Start(context.WithoutCancel(ctx), policy, sandbox.Command{
		Args:   []string{shellPath, "-c", s.script(in.Command)},
		Dir:    dir,
		Env:    s.environ(env),
		Output: &t.output,
		Files:  []*os.File{w},
	})
	w.Close()
	if err != nil {
		r.Close()
		return nil, explain(err, dir)
	}
	where := make(chan string, 1)
	go func() {
		// The end of the command closes the pipe, since nothing survives it.
		text, err := io.ReadAll(io.LimitReader(r, 8<<10))
		if err != nil {
			text = nil
		}
		where <- strings.TrimSuffix(string(text), "\n")
	}()
	go func() {
		defer close(t.done)
		t.result, t.err = t.process.Wait()
		// A process without isolation may have left its group with the pipe.
		_ = r.SetReadDeadline(time.Now().Add(time.Second))
		t.dir = <-where
		r.Close()
		t.output.close()
	}()
	return t, nil
}

const shellPath = "/bin/bash"

// explain adds what a user can do to an error of the sandbox.
func explain(err error, dir string) error {
	if errors.Is(err, os.ErrNotExist) {
		if _, statErr := os.Stat(shellPath); statErr != nil {
			return fmt.Errorf("commands need %s, which this system does not have", shellPath)
		}
		return fmt.Errorf("running a command in %s: %w", dir, err)
	}
	return err
}

// script returns what the shell runs for a command. The command cannot see the
// descriptor to which the shell writes where it ended.
func (s *Shell) script(command string) string {
	var b strings.Builder
	if s.snapshot {
		fmt.Fprintf(&b, "shopt -s expand_aliases\n. %s\n", quote(s.folders.snapshot()))
	}
	fmt.Fprintf(&b, "eval %s </dev/null 3>&- && pwd -P >&3", quote(command))
	return b.String()
}

// quote quotes a word for the shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}
