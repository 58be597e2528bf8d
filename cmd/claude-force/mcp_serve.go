package main

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/mcpserver"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/server"
)

// ofRuns are the flags of calls that a server takes in the request of a run.
var ofRuns = []string{"model", "auto-select-model", "refresh", "budget", "on-exceed", "batch", "json"}

func (a *app) mcpServe() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the agents and workflows of this project over MCP",
		Long: `Serve the agents and workflows of the project in this folder as an MCP server, on
the standard input and output, for a client such as Claude Code that starts it.
"claude-force serve" serves the same at /mcp over HTTP.

Every run is a process of its own, which continues when the client ends the server.
Only workflows of the project run, with the permissions that are given here.`,
		Example: `  claude mcp add force -- claude-force mcp serve
  claude-force mcp serve --simulate
  npx @modelcontextprotocol/inspector --cli claude-force mcp serve --method tools/list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serveMCP(cmd.Context(), &f) },
	}
	registerServing(cmd, &f)
	return cmd
}

// registerServing adds the flags of a server to its command.
func registerServing(cmd *cobra.Command, f *callFlags) {
	f.register(cmd)
	f.tools.register(cmd)
	f.approvals.register(cmd)
	for _, name := range ofRuns {
		if err := cmd.Flags().MarkHidden(name); err != nil {
			panic(err) // registered above
		}
	}
}

// checkServing finds flags that are not of a server, and sets how its runs ask.
func (f *callFlags) checkServing() error {
	for _, name := range ofRuns {
		if f.given(name) {
			return badInput("--%s is of a run; give it in the request that starts one", name)
		}
	}
	return f.askDurably()
}

// askDurably has calls of tools be asked about so that any process may answer, if nothing
// else is said.
func (f *callFlags) askDurably() error {
	if f.approvals.mode == "" {
		f.approvals.mode = runs.ApprovalsDurable
	}
	_, _, err := f.approvals.resolve(true)
	return err
}

// serveMCP serves one client on the standard input and output.
func (a *app) serveMCP(ctx context.Context, f *callFlags) error {
	if err := f.checkServing(); err != nil {
		return err
	}
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	// What is wrong with flags and settings is said now, not at the first run.
	orch, err := a.openIn(ctx, f, claudeforce.Options{KeyOptional: true})
	if err != nil {
		return err
	}
	if err := orch.Close(); err != nil {
		return err
	}
	logger, err := a.logger()
	if err != nil {
		return err
	}
	srv, err := server.New(ctx, server.Options{
		Config: cfg, Key: keys.New(), Version: version(), Settings: f.runSettings(), Logger: logger, Open: a.opener(logger, nil),
		Drive: func(_ context.Context, id string, opts claudeforce.ResumeOptions) error {
			return a.startAlone(id, resumeArgs(opts)...)
		},
	})
	if err != nil {
		return err
	}
	serving, stop := a.soft(ctx)
	defer stop()
	err = mcpserver.ServeStream(serving, mcpserver.New(srv, version()), a.stdin, noClose{a.stdout})
	if a.interrupted() {
		err = nil // clients end it by a signal if not by the end of its input
	}
	return closing(err, srv)
}

// resumeArgs returns the flags of the command that resumes a run.
func resumeArgs(opts claudeforce.ResumeOptions) (args []string) {
	if opts.AcceptChanges {
		args = append(args, "--accept-changes")
	}
	if opts.Failed {
		args = append(args, "--failed")
	}
	for _, step := range opts.RerunOnce {
		args = append(args, "--again", step)
	}
	if opts.MaxParallel > 0 {
		args = append(args, "--max-parallel", strconv.Itoa(opts.MaxParallel))
	}
	if usd := opts.Budget.USD; usd != nil {
		args = append(args, "--budget", strconv.FormatFloat(*usd, 'f', -1, 64))
	}
	return args
}

// noClose is a writer that stays open.
type noClose struct{ io.Writer }

func (noClose) Close() error { return nil }
