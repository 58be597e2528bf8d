package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/internal/nearest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/toolset"
)

func (a *app) tools() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "Show the tools that agents get, and call one by hand",
		Long: `Agents act with tools: they read, search and change files, and run
commands in a sandbox. This shows them as an
agent gets them, and runs one by hand, under the permissions that an agent would
have.

Without rules, tools read and search in the project's folder, and nothing else.
Rules have the syntax of Claude Code: Write, Edit(src/**), Read(//etc/**),
Bash(go test:*), WebFetch(domain:example.com), mcp__server__tool. A rule that denies
comes before one that allows.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.toolsList(), a.toolsShow(), a.toolsCall(), a.toolsSandbox())
	return cmd
}

// allTools is the agent that tools are shown and called by hand for.
var allTools = &agent.Agent{Name: "tools", AllTools: true}

// toolsOf returns what an agent in a folder gets that may use all tools.
func (a *app) toolsOf(ctx context.Context, dir, model string, f *permissionFlags, mcp *mcpFlags) (*task.Tools, error) {
	project, err := a.openTools(ctx, dir, f, claudeforce.Options{
		MCP: mcp.sources(), OnNotice: func(_ context.Context, text string) { a.say("note: %s", text) },
	})
	if err != nil {
		return nil, err
	}
	tools, err := project.For(ctx, allTools, task.Task{Model: model})
	if err == nil && tools == nil {
		err = badInput("no tool is left: all of them are denied")
	}
	return tools, err
}

// openTools returns what agents in a folder act with.
func (a *app) openTools(ctx context.Context, dir string, f *permissionFlags, opts claudeforce.Options) (*toolset.Project, error) {
	cfg, err := a.settingsIn(dir)
	if err != nil {
		return nil, err
	}
	if err := f.configure(cfg); err != nil {
		return nil, err
	}
	opts.Dir, opts.Config = dir, cfg
	if opts.Toolset, err = f.toolbox(); err != nil {
		return nil, err
	}
	return claudeforce.OpenTools(ctx, opts)
}

func (a *app) toolsList() *cobra.Command {
	var asJSON bool
	var mcp mcpFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tools",
		Example: `  claude-force tools list
  claude-force tools list --json | jq -r '.[].name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tools, err := a.toolsOf(cmd.Context(), "", "", &permissionFlags{}, &mcp)
			if err != nil {
				return err
			}
			defer func() { _ = tools.Close() }()
			set := tools.Set
			if asJSON {
				return printJSON(a.stdout, set.Definitions())
			}
			var rows [][]string
			for _, def := range set.Definitions() {
				first, _, _ := strings.Cut(def.Description, "\n")
				rows = append(rows, []string{def.Name, first})
			}
			return table(a.stdout, rows)
		},
	}
	mcp.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array of the definitions, as the model gets them")
	return cmd
}

func (a *app) toolsShow() *cobra.Command {
	var asJSON bool
	var mcp mcpFlags
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show the definition of a tool, as the model gets it",
		Example: `  claude-force tools show Grep
  claude-force tools show Grep --json | jq .input_schema`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tools, err := a.toolsOf(cmd.Context(), "", "", &permissionFlags{}, &mcp)
			if err != nil {
				return err
			}
			defer func() { _ = tools.Close() }()
			set := tools.Set
			t, ok := set.Tool(args[0])
			if !ok {
				return unknownTool(args[0], set.Names())
			}
			def := t.Definition()
			if asJSON {
				return printJSON(a.stdout, def)
			}
			fmt.Fprintf(a.stdout, "%s\n\n%s\n\nInput:\n", def.Name, def.Description)
			return printJSON(a.stdout, def.InputSchema)
		},
	}
	mcp.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the definition, as the model gets it")
	return cmd
}

func unknownTool(name string, known []string) error {
	if near := nearest.Name(name, known); near != "" {
		return badInput("there is no tool %q; did you mean %s?", name, near)
	}
	return badInput("there is no tool %q; known are %s", name, strings.Join(known, ", "))
}

// callJSON is the result of `tools call --json`.
type callJSON struct {
	Tool    string      `json:"tool"`
	Result  string      `json:"result"`
	IsError bool        `json:"is_error"`
	Blocks  []llm.Block `json:"blocks,omitempty"` // a result that is not one text
	Notes   []llm.Block `json:"notes,omitempty"`  // what the model gets beside the result
}

func (a *app) toolsCall() *cobra.Command {
	var (
		f           permissionFlags
		mcp         mcpFlags
		asJSON      bool
		dir, model  string
		description = `Runs a tool as an agent would: the input is checked, then the permission, and the
result is what the model would get. The input is a JSON object, or - to read it from
standard input. More pairs of a name and an input are calls that follow, in the same
environment: what one has read, the next may change.

Exit code 1 says that a call failed; its result says why.`
	)
	cmd := &cobra.Command{
		Use:   "call NAME INPUT [NAME INPUT]…",
		Short: "Run a tool by hand",
		Long:  description,
		Example: `  claude-force tools call Grep '{"pattern": "TODO", "glob": "*.go"}'
  claude-force tools call Write '{"file_path": "a.txt", "content": "hi"}' --allow Write
  claude-force tools call Read '{"file_path": "a.txt"}' --json | jq -r .result`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args)%2 != 0 {
				return badInput("a call is a name and an input, such as Read '{\"file_path\": \"a.txt\"}'")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			folder, err := filepath.Abs(dir)
			if err != nil {
				return badInput("--dir: %w", err)
			}
			if info, err := os.Stat(folder); err != nil || !info.IsDir() {
				return badInput("--dir: %s is not a folder", folder)
			}
			tools, err := a.toolsOf(cmd.Context(), folder, model, &f, &mcp)
			if err != nil {
				return err
			}
			env, err := tools.Env()
			if err != nil {
				return err
			}
			failed, err := a.callAll(cmd.Context(), tools.Set, env, args, asJSON)
			if err := errors.Join(err, tools.Close(), env.Close()); err != nil {
				return err
			}
			if failed {
				return errReported
			}
			return nil
		},
	}
	f.register(cmd)
	mcp.register(cmd)
	cmd.Flags().StringVar(&dir, "dir", ".", "the project's `folder`")
	cmd.Flags().StringVar(&model, "model", "", "the `model` of the agent: some must read a file before they change it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each call: tool, result, is_error")
	return cmd
}

// callAll runs the calls of pairs of a name and an input, and reports whether one
// failed.
func (a *app) callAll(ctx context.Context, set *tool.Set, env *tool.Env, args []string, asJSON bool) (failed bool, err error) {
	for pair := range slices.Chunk(args, 2) {
		name, input := pair[0], pair[1]
		if input == "-" {
			file, err := attach.ReadAll(a.stdin, "the input", attach.Limits{OnNote: a.note})
			if err != nil {
				return false, err
			}
			input = file.Content
		}
		result := set.Call(ctx, env, llm.Block{Type: llm.BlockToolUse, Name: name, Input: json.RawMessage(input)})
		failed = failed || result.IsError
		if err := a.printResult(name, result, asJSON); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

func (a *app) printResult(name string, r tool.Result, asJSON bool) error {
	j := callJSON{Tool: name, Result: r.Text, IsError: r.IsError, Blocks: r.Blocks, Notes: r.Notes}
	for _, b := range r.Blocks {
		if b.Text != "" && j.Result != "" {
			j.Result += "\n"
		}
		j.Result += b.Text
	}
	if asJSON {
		return printJSON(a.stdout, j)
	}
	fmt.Fprintln(a.stdout, j.Result)
	for _, b := range r.Blocks {
		if b.Type != llm.BlockText {
			fmt.Fprintf(a.stdout, "(a block of type %s with %d bytes)\n", b.Type, len(b.Raw))
		}
	}
	for _, b := range r.Notes {
		a.say("note: %s", b.Text)
	}
	return nil
}
