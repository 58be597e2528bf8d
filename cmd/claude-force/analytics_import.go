package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/pipeline"
)

func (a *app) analyticsImport() *cobra.Command {
	var project string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import PATH...",
		Short: "Take over the metrics of the first implementation",
		Long: `Add the calls in .claude/metrics/*.jsonl of a project, a folder or a file. Each
line is added once, however often it is imported. Their times are read in this
machine's zone, since they name none, and their costs are computed again, since
they are too low by a factor of a thousand. Lines that cannot be read are named
and skipped.`,
		Example: `  claude-force analytics import .
  claude-force analytics import old/.claude/metrics/executions.jsonl --project old`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			type result struct {
				Added   int `json:"added"`
				Known   int `json:"known"`
				Skipped int `json:"skipped"`
			}
			var sum result
			err := a.withCalls(cmd.Context(), func(ctx context.Context, store analytics.Store) error {
				list, err := store.Projects(ctx)
				if err != nil {
					return err
				}
				to := ""
				if project != "" {
					if to, err = findProject(list, project); err != nil {
						return err
					}
					to = named(to, project)
				}
				for _, arg := range args {
					files, err := metricsFiles(arg)
					if err != nil {
						return err
					}
					for _, file := range files {
						added, known, err := a.importFile(ctx, store, file, named(to, projectOf(file)), &sum.Skipped)
						sum.Added, sum.Known = sum.Added+added, sum.Known+known
						if err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.stdout, sum)
			}
			a.say("added %s; %s were there already; lines skipped: %s", plural(sum.Added, "call"), amount.Thousands(sum.Known), amount.Thousands(sum.Skipped))
			return nil
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "project to add the calls to: a name or a folder (default: that of the file)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was done as JSON")
	return cmd
}

func (a *app) importFile(ctx context.Context, store analytics.Store, file, project string, skipped *int) (added, known int, err error) {
	f, err := openfile.Typed(file)
	if err != nil {
		return 0, 0, inputError{fmt.Errorf("importing: %w", err)}
	}
	defer f.Close()
	calls := analytics.ReadUpstream(file, f, analytics.UpstreamOptions{Project: project})
	return store.Import(ctx, calls, func(err error) error {
		if _, ok := errors.AsType[*analytics.LineError](err); !ok {
			return err
		}
		*skipped++
		a.say("skipped %v", err)
		return nil
	})
}

// metricsFiles returns the files that a path names: a file, or those of a folder, or
// of the project in it.
func metricsFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, inputError{fmt.Errorf("importing: %w", err)}
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	for _, dir := range []string{filepath.Join(path, ".claude", "metrics"), path} {
		files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		if err == nil && len(files) > 0 {
			return files, nil
		}
	}
	return nil, badInput("there are no files .claude/metrics/*.jsonl in %s, nor *.jsonl", path)
}

// projectOf returns the project that a file in .claude/metrics, or elsewhere, is of.
func projectOf(file string) string {
	path, err := filepath.Abs(file)
	if err != nil {
		return ""
	}
	dir := filepath.Dir(path)
	if filepath.Base(dir) == "metrics" && filepath.Base(filepath.Dir(dir)) == ".claude" {
		dir = filepath.Dir(filepath.Dir(dir))
	}
	return pipeline.Project(dir)
}
