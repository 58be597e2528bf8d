package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
)

func (a *app) agents() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agents",
		Short: "List, show and check agents",
		Long: `Agents are Markdown files: the project's .claude/agents (nearest folder first),
then ~/.claude/agents, then those that come with the program. The format is
that of Claude Code's subagents.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.agentsList(), a.agentsShow(), a.agentsLint())
	return cmd
}

// agentJSON is an entry of `agents list --json`. Tools is null for an agent
// that may use all.
type agentJSON struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tools       []string `json:"tools"`
	Model       string   `json:"model"`
	Source      string   `json:"source"`
	Prompt      string   `json:"prompt,omitempty"`
}

func asJSON(ag *agent.Agent) agentJSON {
	j := agentJSON{Name: ag.Name, Description: ag.Description, Model: ag.Model, Source: ag.Source}
	if !ag.AllTools {
		j.Tools = append([]string{}, ag.Tools...)
	}
	return j
}

func (a *app) agentsList() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the agents that can be used here",
		Example: `  claude-force agents list
  claude-force agents list --json | jq -r '.[].name'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			set, warnings, err := claudeforce.Agents("")
			if err != nil {
				return err
			}
			for _, w := range warnings {
				a.say("warning: %s", w)
			}
			if json {
				list := []agentJSON{}
				for _, ag := range set.All() {
					list = append(list, asJSON(ag))
				}
				return printJSON(a.stdout, list)
			}
			rows := [][]string{{"NAME", "MODEL", "SOURCE", "DESCRIPTION"}}
			for _, ag := range set.All() {
				rows = append(rows, []string{ag.Name, ag.Model, shortPath(ag.Source), firstLine(ag.Description, 70)})
			}
			return table(a.stdout, rows)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON array")
	return cmd
}

func (a *app) agentsShow() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:               "show AGENT",
		Short:             "Show one agent and its system prompt",
		Example:           `  claude-force agents show code-reviewer`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeAgents,
		RunE: func(_ *cobra.Command, args []string) error {
			set, _, err := claudeforce.Agents("")
			if err != nil {
				return err
			}
			ag, err := set.Lookup(args[0])
			if err != nil {
				return inputError{err}
			}
			if json {
				j := asJSON(ag)
				j.Prompt = ag.Prompt
				return printJSON(a.stdout, j)
			}
			tools := strings.Join(ag.Tools, ", ")
			if ag.AllTools {
				tools = "all"
			}
			rows := [][]string{{"name", ag.Name}, {"description", firstLine(ag.Description, 100)}, {"model", ag.Model}, {"tools", tools}, {"source", ag.Source}}
			if err := table(a.stdout, rows); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "\n%s\n", ag.Prompt)
			return err
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON object")
	return cmd
}

func (a *app) agentsLint() *cobra.Command {
	var fix, json bool
	cmd := &cobra.Command{
		Use:   "lint [FILE|FOLDER]...",
		Short: "Find what is wrong in agent files",
		Long: `Check agent files (by default those of the project's .claude/agents): whether
Claude Code would read them, and how. --fix rewrites frontmatter that is not
valid YAML so that it is, and means the same. Exit code 2 if a file is not an
agent, or needs --fix.`,
		Example: `  claude-force agents lint
  claude-force agents lint --fix .claude/agents/reviewer.md`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{filepath.Join(".claude", "agents")}
				if _, err := os.Stat(args[0]); errors.Is(err, fs.ErrNotExist) {
					a.say("there is no %s here; name the files or folders to check", args[0])
					args = nil
				}
			}
			return a.lint(args, fix, json)
		},
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "rewrite frontmatter that is not valid YAML")
	cmd.Flags().BoolVar(&json, "json", false, "print findings as a JSON array")
	return cmd
}

// finding is an entry of `agents lint --json`.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
	Fixed   bool   `json:"fixed"`
}

func (a *app) lint(paths []string, fix, json bool) error {
	files, err := agentFiles(paths)
	if err != nil {
		return inputError{err}
	}
	findings := []finding{}
	bad := 0
	for _, file := range files {
		found, open, err := lintFile(file, fix)
		if err != nil {
			return err
		}
		findings = append(findings, found...)
		if open {
			bad++
		}
	}
	if json {
		if err := printJSON(a.stdout, findings); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			fmt.Fprintln(a.stdout, agent.Warning{File: f.File, Line: f.Line, Message: f.Message, Hint: f.Hint})
		}
		a.say("%d files, %d with problems that remain", len(files), bad)
	}
	if bad > 0 {
		return inputError{errReported}
	}
	return nil
}

// lintFile returns what is wrong in one file. open reports whether a problem
// that matters remains.
func lintFile(file string, fix bool) (found []finding, open bool, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, false, inputError{fmt.Errorf("reading agent file: %w", err)}
	}
	add := func(w agent.Warning) { found = append(found, finding{w.File, w.Line, w.Message, w.Hint, false}) }
	fixed, changed, err := agent.Fix(data)
	switch {
	case err == nil && changed && fix:
		if err := rewrite(file, fixed); err != nil {
			return nil, false, err
		}
		found = append(found, finding{file, 1, "frontmatter was not valid YAML; rewritten", "", true})
		data = fixed
	case err == nil && changed && !bytes.Equal(data, fixed):
		found = append(found, finding{file, 1, "frontmatter is not valid YAML; it is read with quotes added", "run agents lint --fix to write them", false})
		open = true
	}
	_, warnings, err := agent.Parse(file, data)
	for _, w := range warnings {
		add(w)
	}
	if bad, ok := errors.AsType[*agent.NotAgentError](err); ok {
		add(bad.Warning())
		open = true
	} else if err != nil {
		return nil, false, err
	}
	return found, open, nil
}

// rewrite replaces a file whole or not at all, and keeps its mode.
func rewrite(file string, data []byte) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("rewriting %s: %w", file, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".lint-*")
	if err != nil {
		return fmt.Errorf("rewriting %s: %w", file, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // of no effect once renamed
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("rewriting %s: %w", file, err)
	}
	return nil
}

// agentFiles returns the Markdown files that paths name, those in folders included.
func agentFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("looking for agents: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		err = filepath.WalkDir(path, func(p string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && filepath.Ext(p) == ".md" {
				files = append(files, p)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("looking for agents: %w", err)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// shortPath returns a path relative to the working directory, or with ~, if that
// is shorter.
func shortPath(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		if rel, err := filepath.Rel(home, path); err == nil && filepath.IsLocal(rel) {
			return filepath.Join("~", rel)
		}
	}
	return path
}
