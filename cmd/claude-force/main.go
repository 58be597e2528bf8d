// Command claude-force runs Claude agents and workflows of agents.
//
// The package holds flags and output; everything else is in the packages it
// calls. Each verb has its own file. Answers go to the standard output and
// everything else to the standard error, so that answers can be piped.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/telemetry"
)

// Exit codes, which scripts rely on.
const (
	exitDone        = 0
	exitFailed      = 1 // a task or step failed
	exitInput       = 2 // bad input or configuration
	exitBudget      = 3 // a budget had no room for what was left
	exitConflict    = 4 // changes could not be joined
	exitInterrupted = 130
)

func main() {
	sandbox.Main()
	os.Exit(run())
}

// run runs the program and returns its exit code.
func run() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	stopping, ask := context.WithCancel(ctx)
	defer ask()
	a := &app{
		stdin:             os.Stdin,
		drawing:           os.Stderr,
		stopping:          stopping.Done(),
		terminal:          term.IsTerminal(int(os.Stderr.Fd())),
		answersOnTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		typed:             term.IsTerminal(int(os.Stdin.Fd())),
	}
	a.interrupts = &interrupts{
		say: a.say, ask: ask, cancel: stop,
		exit: func(after time.Duration) { exitAfter(after) },
	}
	a.stdout = newOutput(os.Stdout, a.answersOnTerminal, func() { a.interrupts.interrupt(outputClosed) })
	a.stderr = messages{newOutput(os.Stderr, a.terminal, nil)}
	defer a.interrupts.listen()()
	return a.run(ctx, os.Args[1:])
}

// exitAfter ends the program after some time, whatever it does then.
var exitAfter = func(after time.Duration) { time.AfterFunc(after, func() { os.Exit(exitInterrupted) }) }

// app is what all verbs share.
type app struct {
	stdin          io.ReadCloser
	stdout, stderr io.Writer
	drawing        io.Writer       // the standard error as it is, for progress that is drawn; nil for stderr
	stopping       <-chan struct{} // closed by the first interrupt
	interrupts     *interrupts     // nil if nothing interrupts
	dataDir        string          // --data-dir
	server         string          // --server: the URL of one; empty for this machine
	telemetry      telemetryFlags

	quiet bool // no progress, notes and summaries

	// recording, if set, receives the result of a run before it is printed.
	recording func(*engine.Result) error

	terminal          bool // whether the standard error is one
	answersOnTerminal bool // whether the standard output is one
	typed             bool // whether the standard input is one

	promptOnce sync.Once
	tooling    tooling   // who shows calls of tools
	prompts    *prompter // see [app.prompter]
}

// errReported is a failure that was already printed.
var errReported = errors.New("failed")

// errOverBudget is a failure, already printed, because a budget left no room.
var errOverBudget = fault.New(fault.KindBudget, "a budget had no room")

// errInterrupted is the error of a command that the user interrupted.
var errInterrupted = fault.New(fault.KindInterrupted, "interrupted")

// inputError is a wrong command line.
type inputError struct{ err error }

func (e inputError) Error() string { return e.err.Error() }
func (e inputError) Unwrap() error { return e.err }

func (e inputError) FaultKind() fault.Kind { return fault.KindInput }

func badInput(format string, args ...any) error { return inputError{fmt.Errorf(format, args...)} }

func (a *app) run(ctx context.Context, args []string) int {
	root := a.command(args...)
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(telemetry.FromEnv(ctx, os.Getenv))
	a.endTelemetry(ctx)
	if out, ok := a.stdout.(*output); ok {
		if lost := out.end(); lost != nil && (err == nil || isClosed(err)) {
			err = lost
		}
	}
	code := exitCode(err)
	switch {
	case code == exitInterrupted && a.interrupts.wasQuiet():
	case code == exitInterrupted:
		a.say("claude-force: interrupted")
	case err != nil && !errors.Is(err, errReported) && !errors.Is(err, errOverBudget):
		a.say("claude-force: %s", withHint(err))
	}
	return code
}

// exits lists the exit codes of errors by kind. The first kind that an error
// has anywhere in its tree decides: a budget error beneath an input error exits
// with exitBudget. Kinds that are not listed exit with exitFailed.
var exits = []struct {
	kind fault.Kind
	code int
}{
	{fault.KindInterrupted, exitInterrupted},
	{fault.KindBudget, exitBudget},
	{fault.KindInput, exitInput},
	{fault.KindOutdated, exitInput},
	{fault.KindNotFound, exitInput},
	{fault.KindConflict, exitInput},
}

// exitCode returns the exit code for err.
func exitCode(err error) int {
	switch {
	case err == nil:
		return exitDone
	case isClosed(err), llm.CodeOf(err) == llm.CodeCanceled:
		return exitInterrupted
	}
	if _, ok := errors.AsType[conflictError](err); ok {
		return exitConflict
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return e.code
	}
	if errors.Is(err, journal.ErrLost) { // it was found in the middle of a run
		return exitFailed
	}
	for _, e := range exits {
		if fault.Has(err, e.kind) {
			return e.code
		}
	}
	if errors.Is(err, claudeforce.ErrNoCredentials) || postgres.OnlyReads(err) {
		return exitInput
	}
	return exitFailed
}

// command returns the command line. If the first argument names a verb, only that
// verb is built: building all of them would slow down every start.
func (a *app) command(args ...string) *cobra.Command {
	root := &cobra.Command{
		Use:   "claude-force",
		Short: "Run Claude agents fast, cheaply and without losing work",
		Long: `claude-force gives tasks to Claude agents: one, many at once, or a workflow
whose independent steps run in parallel. Answers are cached, identical calls
are made once, failed ones are retried.

Exit codes: 0 done, 1 a task or step failed, 2 bad input or configuration, 3 a
budget left no room for what was to be done, 4 changes could not be joined (runs
apply), 130 interrupted. A workflow that exits may give another one.`,
		Example: `  claude-force demo                                   # see it work, without a key
  claude-force init                                   # write a first agent and workflow
  claude-force execute python-expert "Explain decorators"
  claude-force run workflow.yaml`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Version:       version(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return cmp.Or(checkFlags(cmd), a.checkServer(cmd))
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return badInput("%w; see %s --help", err, cmd.CommandPath())
	})
	root.PersistentFlags().StringVar(&a.dataDir, "data-dir", "", "folder of the store (default: CLAUDE_FORCE_HOME, else the user's data folder)")
	root.PersistentFlags().StringVar(&a.server, "server", "", "URL of a claude-force server that is meant, for run, runs, keys and schedules (default: "+config.ServerVar+")")
	a.telemetry.register(root)
	verbs := []struct {
		name string
		make func() *cobra.Command
	}{
		{"execute", a.execute}, {"run", a.runCommand}, {"plan", a.plan}, {"runs", a.runs}, {"workflow", a.workflow},
		{"agents", a.agents}, {"tools", a.tools}, {"mcp", a.mcp}, {"skills", a.skills}, {"plugins", a.plugins}, {"models", a.models}, {"cache", a.cache}, {"store", a.store}, {"config", a.config}, {"limits", a.limitsCommand},
		{"serve", a.serve}, {"keys", a.keys}, {"schedules", a.schedules}, {"webhooks", a.webhooks}, {"analytics", a.analytics}, {"metrics", a.metrics}, {"doctor", a.doctor}, {"simulate", a.simulate},
		{"demo", a.demo}, {"bench", a.bench}, {"init", a.init}, {"version", a.versionCommand},
	}
	for _, v := range verbs {
		if len(args) > 0 && args[0] == v.name {
			root.AddCommand(v.make())
		}
	}
	if !root.HasSubCommands() {
		for _, v := range verbs {
			root.AddCommand(v.make())
		}
	}
	checkArgs(root)
	if len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd) {
		a.addCompletions(root)
	}
	return root
}

// checkArgs turns wrong numbers of arguments into input errors with a hint, for a
// command and all below it.
func checkArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return badInput("%w; see %s --help", err, cmd.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		checkArgs(sub)
	}
}

// settings returns the configuration, overridden by the flags.
func (a *app) settings() (*config.Config, error) { return a.settingsIn("") }

// settingsIn returns the settings for a folder; empty means the working directory.
func (a *app) settingsIn(dir string) (*config.Config, error) {
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	if a.dataDir != "" {
		if err := cfg.Set("data_dir", a.dataDir, "--data-dir"); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// note tells the user what happened to what was read.
func (a *app) note(text string) {
	if !a.quiet {
		a.say("note: %s", text)
	}
}

// say writes a line for the user, not for programs.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }
