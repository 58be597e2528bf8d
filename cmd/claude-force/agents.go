package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
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
Claude Code would read them, and how, and whether their models exist. Findings of
one kind are summed up; --json has all. --fix rewrites frontmatter that is not
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
	files, folders, err := agentFiles(paths)
	if err != nil {
		return inputError{err}
	}
	bad := 0
	var inside []finding
	for _, file := range files {
		found, open := lintFile(file, fix)
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
	findings := []finding{}
	for _, f := range append(folders, inside...) {
		if !slices.Contains(findings, f) {
			findings = append(findings, f)
		}
	}
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
			fmt.Fprintln(a.stdout, agent.Warning{File: f.File, Line: f.Line, Message: f.Message, Hint: f.Hint})
		}
		a.say("%s, %s, %d with problems that remain", plural(len(files), "file"), plural(len(findings), "finding"), bad)
	}
	if bad > 0 {
		return inputError{errReported}
	}
	return nil
}

// shownAlike is how many findings of one kind are printed.
const shownAlike = 5

// quotedParts are the parts of a message that differ between findings of one kind.
var quotedParts = regexp.MustCompile(`"[^"]*"|[0-9]+|\S*[/\\]\S*`)

// summed returns the findings with those of one kind beyond the first few in one line.
func summed(findings []finding) []finding {
	kind := func(f finding) string { return quotedParts.ReplaceAllString(f.Message, "") }
	count := map[string]int{}
	for _, f := range findings {
		count[kind(f)]++
	}
	var shown []finding
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

// lintFile returns what is wrong in one file. open reports whether a problem
// that matters remains.
func lintFile(file string, fix bool) (found []finding, open bool) {
	add := func(w agent.Warning) { found = append(found, finding{w.File, w.Line, w.Message, w.Hint, false}) }
	data, err := readAgentFile(file)
	if err != nil {
		add(agent.Warning{File: file, Message: "cannot be read: " + err.Error(), Hint: "it is left out"})
		return found, true
	}
	fixed, changed, err := agent.Fix(data)
	switch {
	case err == nil && changed && fix:
		if err := rewrite(file, fixed); err != nil {
			add(agent.Warning{File: file, Line: 1, Message: "the frontmatter is not valid YAML and could not be rewritten: " + err.Error()})
			open = true
			break
		}
		found = append(found, finding{file, 1, "frontmatter was not valid YAML; rewritten", "", true})
		data = fixed
	case err == nil && changed && !bytes.Equal(data, fixed):
		found = append(found, finding{file, 1, "frontmatter is not valid YAML; it is read with quotes added", "run agents lint --fix to write them", false})
		open = true
	}
	ag, warnings, err := agent.Parse(file, data)
	for _, w := range warnings {
		add(w)
	}
	if bad, ok := errors.AsType[*agent.NotAgentError](err); ok {
		add(bad.Warning())
		open = true
	} else if err != nil {
		add(agent.Warning{File: file, Message: err.Error()})
		open = true
	}
	if ag != nil {
		found = append(found, lintModels(ag)...)
	}
	return found, open
}

// lintModels returns what is wrong with the models that an agent names.
func lintModels(ag *agent.Agent) []finding {
	var found []finding
	prices := llm.Prices()
	for _, name := range []string{ag.Model, ag.ModelFloor, ag.ModelCeiling} {
		if name == "" || name == "auto" {
			continue
		}
		id, retired := prices.Resolve(name)
		if retired != "" {
			found = append(found, finding{File: ag.Source, Message: retired, Hint: "write " + id})
		} else if _, known := prices.Info(id); !known {
			found = append(found, finding{File: ag.Source, Message: fmt.Sprintf("unknown model %q", name), Hint: "the models are in `claude-force models list`"})
		}
	}
	return found
}

// maxAgentFile bounds the size of an agent file.
const maxAgentFile = 1 << 20

func readAgentFile(file string) ([]byte, error) {
	data, err := openfile.ReadTyped(file, maxAgentFile)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return data, err
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

// agentFiles returns the Markdown files that paths name, those in folders included,
// and what is wrong with the folders. The project's own folder has the warnings of all
// places where agents are looked for.
func agentFiles(paths []string) (files []string, found []finding, err error) {
	found = []finding{}
	add := func(warnings []agent.Warning) {
		for _, w := range warnings {
			f := finding{shortPath(w.File), w.Line, w.Message, w.Hint, false}
			if !slices.Contains(found, f) {
				found = append(found, f)
			}
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
	return slices.Compact(files), found, nil
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
