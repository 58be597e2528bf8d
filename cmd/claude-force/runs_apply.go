package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/worktree"
)

// changesOf returns the changes of a step, if name is that of a step of the run which
// has some and does not name a run without a doubt.
func changesOf(d *runs.Detail, name, item string) (*llm.Changes, bool, error) {
	if name == journal.Latest || strings.HasPrefix(name, "run_") {
		return nil, false, nil
	}
	return d.Changes(name, item)
}

// repositoryOf returns the repository that a run worked in.
func repositoryOf(ctx context.Context, d *runs.Detail) (*worktree.Repository, error) {
	if _, err := os.Stat(d.Spec.Dir); err != nil {
		return worktree.Find(ctx, ".")
	}
	return worktree.Find(ctx, d.Spec.Dir)
}

func (a *app) printPatch(ctx context.Context, d *runs.Detail, c *llm.Changes, asJSON bool) error {
	if asJSON {
		return printJSON(a.stdout, c)
	}
	if a.server != "" {
		return errNotHere
	}
	repo, err := repositoryOf(ctx, d)
	if err != nil {
		return err
	}
	return repo.Patch(ctx, c, a.stdout)
}

// conflictError is an error with an exit code of its own.
type conflictError struct{ error }

// Unwrap returns the error.
func (e conflictError) Unwrap() error { return e.error }

func (a *app) runsApply() *cobra.Command {
	var asJSON bool
	var item string
	var opts worktree.ApplyOptions
	cmd := &cobra.Command{
		Use:   "apply RUN STEP",
		Short: "Merge what a step changed in its worktree into the project's folder",
		Long: `Merge what a step with isolation: worktree changed into the project's folder, with
what that has now, committed or not. It changes files only: nothing is committed or
staged.

If both sides changed the same lines, both are shown, nothing is changed, and the exit
code is 4. With --markers, the files are changed all the same, with both sides between
markers where they are in conflict.`,
		Example: `  claude-force runs diff latest fix
  claude-force runs apply latest fix
  claude-force runs apply latest review --item src/a.go --json`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
				changes, ok, err := d.Changes(args[1], item)
				if err != nil {
					return err
				}
				if !ok {
					return badInput("step %q of run %s changed nothing in a worktree of its own", args[1], d.Run.ID)
				}
				repo, err := repositoryOf(cmd.Context(), d)
				if err != nil {
					return err
				}
				applied, err := repo.Apply(cmd.Context(), changes, opts)
				if err != nil {
					return err
				}
				if asJSON {
					if err := printJSON(a.stdout, applied); err != nil {
						return err
					}
				} else {
					a.printApplied(applied)
				}
				if len(applied.Conflicts) > 0 {
					return conflictError{errors.New(conflictText(applied))}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object: files, conflicts")
	cmd.Flags().StringVar(&item, "item", "", "the item of the step's foreach")
	cmd.Flags().BoolVar(&opts.Markers, "markers", false, "write files with conflicts too, with both sides between markers")
	return cmd
}

func conflictText(applied *worktree.Applied) string {
	n := len(applied.Conflicts)
	if len(applied.Files) > 0 {
		return fmt.Sprintf("%s in conflict; both sides are in the files, between markers", plural(n, "file"))
	}
	return fmt.Sprintf("%s in conflict; nothing was changed. Use --markers to get both sides into the files", plural(n, "file"))
}

func (a *app) printApplied(applied *worktree.Applied) {
	for _, c := range applied.Conflicts {
		fmt.Fprintf(a.stdout, "conflict in %s: %s\n", c.File, c.Reason)
		if hunks := c.Hunks(); hunks != "" {
			fmt.Fprint(a.stdout, hunks)
			continue
		}
		for _, side := range []struct {
			name string
			text *string
		}{{"checkout", c.Ours}, {"worktree", c.Theirs}} {
			if side.text == nil {
				fmt.Fprintf(a.stdout, "--- %s: has no such file\n", side.name)
				continue
			}
			fmt.Fprintf(a.stdout, "--- %s:\n%s\n", side.name, strings.TrimRight(*side.text, "\n"))
		}
	}
	for _, file := range applied.Files {
		fmt.Fprintf(a.stdout, "changed %s\n", file)
	}
	if len(applied.Files)+len(applied.Conflicts) == 0 {
		fmt.Fprintln(a.stdout, "nothing to change: the project's folder has it all")
	}
}
