package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"
)

// starter holds the files that init writes.
//
//go:embed starter
var starter embed.FS

// starterFiles are the paths in a project, with slashes, of the files in starter.
var starterFiles = []string{"claude-force.yaml", "first-workflow.yaml", ".claude/agents/writing-coach.md"}

func (a *app) init() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Set up a project: settings, a first agent and a first workflow",
		Long: `Write claude-force.yaml, a first agent (.claude/agents/writing-coach.md) and a
first workflow (first-workflow.yaml) into FOLDER, by default the working
directory, and print what to run next. A file that exists is never overwritten.

With --json, prints an object: written and left (lists of paths), and next (a
list of commands).`,
		Example: `  claude-force init
  claude-force init --json | jq -r '.written[]'`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error {
			folder := "."
			if len(args) > 0 {
				folder = args[0]
			}
			return a.initProject(folder, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object: files written and left, commands to run next")
	return cmd
}

// initResult is the JSON of `init`.
type initResult struct {
	Written []string `json:"written"`
	Left    []string `json:"left"` // existed already
	Next    []string `json:"next"`
}

func (a *app) initProject(folder string, asJSON bool) error {
	res := initResult{Written: []string{}, Left: []string{}, Next: []string{
		"claude-force run first-workflow.yaml --simulate",
		`claude-force execute writing-coach "Explain workflows" --simulate`,
	}}
	for _, name := range starterFiles {
		file := filepath.Join(folder, filepath.FromSlash(name))
		written, err := writeStarter(path.Base(name), file)
		if err != nil {
			return err
		}
		if written {
			res.Written = append(res.Written, file)
		} else {
			res.Left = append(res.Left, file)
		}
	}
	if asJSON {
		return printJSON(a.stdout, res)
	}
	for _, file := range res.Written {
		a.say("wrote %s", file)
	}
	for _, file := range res.Left {
		a.say("left %s as it is: it exists", file)
	}
	if folder != "." {
		a.say("\nNext, in %s (without --simulate once ANTHROPIC_API_KEY is set):", folder)
	} else {
		a.say("\nNext (without --simulate once ANTHROPIC_API_KEY is set):")
	}
	for _, command := range res.Next {
		a.say("  %s", command)
	}
	return nil
}

// writeStarter writes a file of starter to a path, with its folders. It reports
// whether it did: a file that exists is left as it is.
func writeStarter(name, to string) (bool, error) {
	data, err := starter.ReadFile("starter/" + name)
	if err != nil {
		return false, fmt.Errorf("reading the built-in %s: %w", name, err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // a project's folders are for everyone who works on it
		return false, inputError{fmt.Errorf("writing %s: %w", to, err)}
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // as the folders
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, inputError{fmt.Errorf("writing %s: %w", to, err)}
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return false, fmt.Errorf("writing %s: %w", to, err)
	}
	return true, nil
}
