package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/compare/sets"
	"github.com/claude-force/claude-force/internal/csvtext"
	"github.com/claude-force/claude-force/internal/openfile"
)

// changeFlags are the flags of `analytics compare`.
type changeFlags struct {
	baseline, current string
	failIf            string
	markdown          string
	json, csv         bool
	alpha, noise      float64
}

func (a *app) analyticsCompare() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "compare {--baseline A --current B | A B}",
		Short: "Report whether B is better or worse than A, or not significantly different",
		Long: `Compare two benchmark files, two runs (or files of runs export), or two periods of
recorded calls (such as 2026-11-01..07): medians, their ratio with its interval, and whether the
difference is more than noise. See docs/performance.md for the method.

--fail-if gives conditions, METRIC OP CHANGE%, separated by commas. If one is
met, by a change that is significant, the exit code is 1. Metrics are cost, p50,
p95, p99, total_time, throughput, speedup, cache_hit_rate, tokens, errors, and all
that the table names.`,
		Example: `  claude-force analytics compare --baseline baseline.json --current current.json
  claude-force analytics compare --baseline main.json --current branch.json \
      --fail-if 'cost > +10%, p95 > +15%' --markdown summary.md
  claude-force analytics compare run_3fa9 latest`,
		Args: func(cmd *cobra.Command, args []string) error {
			named := f.baseline != "" || f.current != ""
			switch {
			case named && len(args) > 0, !named && len(args) != 2, named && (f.baseline == "" || f.current == ""):
				return errors.New("give two things to compare, as --baseline A --current B or as A B")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				f.baseline, f.current = args[0], args[1]
			}
			return a.compare(cmd.Context(), &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.baseline, "baseline", "", "what to compare with: a file, a run or a period")
	flags.StringVar(&f.current, "current", "", "what to judge: a file, a run or a period")
	flags.StringVar(&f.failIf, "fail-if", "", "conditions for exit code 1, such as 'cost > +10%, p95 > +15%'")
	flags.StringVar(&f.markdown, "markdown", "", "write a summary for a pull request to this file; - is the standard output")
	flags.BoolVar(&f.json, "json", false, "print the comparison as JSON")
	flags.BoolVar(&f.csv, "csv", false, "print the table as CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	flags.Float64Var(&f.alpha, "alpha", compare.DefaultAlpha, "how probable it may be that any change is found where there is none")
	flags.Float64Var(&f.noise, "noise", compare.DefaultNoise, "share by which times in files may differ without a change")
	return cmd
}

// changes is the JSON of `analytics compare`.
type changes struct {
	*compare.Report
	Gate   []compare.Outcome `json:"gate,omitempty"`
	Failed bool              `json:"failed"`
}

func (a *app) compare(ctx context.Context, f *changeFlags) error {
	if f.alpha <= 0 || f.alpha >= 1 {
		return badInput("--alpha must be between 0 and 1")
	}
	if f.noise < 0 {
		return badInput("--noise must not be below 0")
	}
	var gate compare.Gate
	if f.failIf != "" {
		var err error
		if gate, err = compare.ParseGate(f.failIf); err != nil {
			return badInput("--fail-if: %w", err)
		}
	}
	baseline, err := a.compareSet(ctx, f.baseline, f.noise)
	if err != nil {
		return a.withoutCalls(f, err)
	}
	current, err := a.compareSet(ctx, f.current, f.noise)
	if err != nil {
		return a.withoutCalls(f, err)
	}
	report, err := compare.Compare(baseline, current, compare.Options{Alpha: f.alpha})
	if err != nil {
		return badInput("comparing %s with %s: %w", f.baseline, f.current, err)
	}
	c := changes{Report: report}
	if c.Gate, err = gate.Check(report); err != nil {
		return badInput("--fail-if: %w", err)
	}
	for _, o := range c.Gate {
		c.Failed = c.Failed || o.Failed
	}
	if err := a.printChanges(f, &c); err != nil {
		return err
	}
	if c.Failed {
		return errReported
	}
	return nil
}

// withoutCalls returns err, unless it is that a period has no calls: then there is
// nothing to compare, which a gate does not refuse.
func (a *app) withoutCalls(f *changeFlags, err error) error {
	if !errors.Is(err, compare.ErrNoCalls) || f.failIf == "" {
		return err
	}
	a.say("not compared: %v; the conditions of --fail-if are not applied", err)
	if f.json {
		return printJSON(a.stdout, map[string]any{"failed": false, "not_compared": err.Error()})
	}
	return nil
}

func (a *app) printChanges(f *changeFlags, c *changes) error {
	if f.markdown != "" && f.markdown != "-" {
		var sb strings.Builder
		if err := c.WriteMarkdown(&sb, c.Gate); err != nil {
			return err
		}
		if err := os.WriteFile(f.markdown, []byte(sb.String()), 0o644); err != nil {
			return fmt.Errorf("writing the summary: %w", err)
		}
	}
	switch {
	case f.json:
		return printJSON(a.stdout, c)
	case f.csv:
		return csvtext.WriteTable(a.stdout, c.Rows)
	case f.markdown == "-" || f.markdown == "" && f.failIf != "":
		return c.WriteMarkdown(a.stdout, c.Gate)
	}
	if err := c.WriteText(a.stdout); err != nil {
		return err
	}
	for _, o := range c.Gate {
		mark := "passed"
		if o.Failed {
			mark = "FAILED"
		}
		fmt.Fprintf(a.stdout, "%s: %s: %s\n", mark, o.Condition, o.Why)
	}
	return nil
}

// maxExport bounds the file of an exported run.
const maxExport = 256 << 20

// compareSet reads one side of a comparison: a period, a file with an exported run or
// with results of a benchmark, whose times have some noise, or else a run.
func (a *app) compareSet(ctx context.Context, name string, noise float64) (compare.Set, error) {
	if compare.IsPeriod(name) {
		return a.periodSet(ctx, name)
	}
	info, err := os.Stat(name)
	if err == nil || strings.HasSuffix(name, ".json") || strings.ContainsAny(name, `/\`) {
		if err == nil && info.Mode().IsRegular() { // a pipe can be read only once
			if data, err := openfile.ReadTyped(name, maxExport); err == nil {
				set, exported, err := sets.OfExport(name, data)
				if err != nil {
					return set, inputError{err}
				}
				if exported {
					return set, nil
				}
			}
		}
		file, err := benchfile.Read(name)
		if err != nil {
			return compare.Set{}, inputError{err}
		}
		set := compare.FromFile(name, file)
		set.Noise = noise
		return set, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return compare.Set{}, inputError{err}
	}
	return a.runSet(ctx, name)
}
