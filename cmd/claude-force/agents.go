package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/lint"
)

func (a *app) agents() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agents",
		Short: "List, show and check agents",
		Long: `Agents are Markdown files: the project's .claude/agents (nearest folder first),
then ~/.claude/agents, then those that come with the program. The format is
that of Claude Code's subagents. Agents that a workflow's file defines are its own
and not listed; workflow graph shows them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.agentsList(), a.agentsShow(), a.agentsLint())
	return cmd
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
				list := []agent.Info{}
				for _, ag := range set.All() {
					list = append(list, ag.Info())
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
				return printJSON(a.stdout, ag.Detail())
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
Claude Code would read them, and how, whether their models, tools and MCP servers
exist, and whether a permission rule in them can match anything. Findings of one kind
are summed up; --json has all. --fix rewrites frontmatter that is not
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

func (a *app) lint(paths []string, fix, json bool) error {
	files, folders, err := agentFiles(paths)
	if err != nil {
		return inputError{err}
	}
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	against, err := claudeforce.LintOptions("", cfg)
	if err != nil {
		return err
	}
	against.Fix, against.Advice = fix, lintAdvice
	bad := 0
	var inside []lint.Finding
	for _, file := range files {
		found, open := lint.File(file, against)
		inside = append(inside, found...)
		if open {
			bad++
		}
	}
	if fix { // what is wrong after that
		if _, folders, err = agentFiles(paths); err != nil {
			return inputError{err}
		}
	}
	findings := lint.Distinct(append(folders, inside...))
	for _, f := range folders {
		if strings.Contains(f.Message, "cannot be read") && !slices.Contains(files, f.File) {
			bad++
		}
	}
	if json {
		if err := printJSON(a.stdout, findings); err != nil {
			return err
		}
	} else {
		for _, f := range summed(findings) {
			fmt.Fprintln(a.stdout, f)
		}
		a.say("%s, %s, %d with problems that remain", plural(len(files), "file"), plural(len(findings), "finding"), bad)
	}
	if bad > 0 {
		return inputError{errReported}
	}
	return nil
}

// lintAdvice returns which command helps with a problem.
func lintAdvice(k lint.Kind) string {
	return map[lint.Kind]string{
		lint.BadYAML:       "run agents lint --fix to write them",
		lint.UnknownModel:  "the models are in `claude-force models list`",
		lint.UnknownServer: "the servers are in `claude-force mcp list`",
		lint.UnknownTool:   "the tools are in `claude-force tools list`",
	}[k]
}

// shownAlike is how many findings of one kind are printed.
const shownAlike = 5

// quotedParts are the parts of a message that differ between findings of one kind.
var quotedParts = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`"[^"]*"|[0-9]+|\S*[/\\]\S*`) })

// summed returns the findings with those of one kind beyond the first few in one line.
func summed(findings []lint.Finding) []lint.Finding {
	kind := func(f lint.Finding) string { return quotedParts().ReplaceAllString(f.Message, "") }
	count := map[string]int{}
	for _, f := range findings {
		count[kind(f)]++
	}
	var shown []lint.Finding
	seen := map[string]int{}
	for _, f := range findings {
		k := kind(f)
		seen[k]++
		switch {
		case seen[k] <= shownAlike || count[k] == shownAlike+1:
			shown = append(shown, f)
		case seen[k] == count[k]:
			f.File, f.Line, f.Hint = fmt.Sprintf("and %d more", count[k]-shownAlike), 0, "--json has all"
			shown = append(shown, f)
		}
	}
	return shown
}

// agentFiles returns the Markdown files that paths name, those in folders included,
// and what is wrong with the folders. The project's own folder has the warnings of all
// places where agents are looked for.
func agentFiles(paths []string) (files []string, found []lint.Finding, err error) {
	add := func(warnings []agent.Warning) {
		for _, w := range warnings {
			w.File = shortPath(w.File)
			found = append(found, lint.Of(w))
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, fmt.Errorf("looking for agents: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		inside, warnings := agent.Scan(path)
		files = append(files, inside...)
		add(warnings)
	}
	if len(paths) == 0 || len(paths) == 1 && filepath.Clean(paths[0]) == filepath.Join(".claude", "agents") {
		_, warnings, err := claudeforce.Agents("")
		if err != nil {
			return nil, nil, err
		}
		add(warnings)
	}
	slices.Sort(files)
	return slices.Compact(files), lint.Distinct(found), nil
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
