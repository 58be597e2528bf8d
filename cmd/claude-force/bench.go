package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/bench/suite"
	"github.com/claude-force/claude-force/benchfile"
)

// benchFlags are the flags of all benchmarks.
type benchFlags struct {
	samples int
	latency time.Duration
	small   bool
	output  string
	report  bool
	json    bool
	live    bool
	budget  float64
}

func (a *app) bench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what parallel work, the cache and the scheduling gain on this machine",
		Long: `Measure each thing beside what it replaces and beside its floor: the least that
the same work can take, measured in the same moment. Calls are answered by the
built-in simulator, so no key is needed and nothing is paid.

--output keeps every sample in a file for "claude-force analytics compare".
--live makes a few short calls to the real API instead, and stops before they
cost more than --budget.`,
		Example: `  claude-force bench all --output baseline.json --report
  claude-force bench async --latency 1s
  claude-force bench all --live --budget 0.05`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.IntVar(&f.samples, "samples", suite.DefaultSamples, "samples of each metric; 20 show a change of a fifth on most machines")
	flags.DurationVar(&f.latency, "latency", suite.DefaultLatency, "how long a simulated call takes")
	flags.BoolVar(&f.small, "small", false, "leave the largest sizes out")
	flags.StringVarP(&f.output, "output", "o", "", "file to write all samples to")
	flags.BoolVar(&f.report, "report", false, "print bars beside the figures, and the summary")
	flags.BoolVar(&f.json, "json", false, "print what the file would hold")
	flags.BoolVar(&f.live, "live", false, "make a few short calls to the real API instead")
	f.budget = suite.DefaultBudget
	flags.Var(dollarsValue{&f.budget}, "budget", "with --live: most US dollars to spend")
	for _, b := range suite.All() {
		cmd.AddCommand(a.benchmark(&f, b.Name, "Measure "+b.Short, []suite.Benchmark{b}))
	}
	cmd.AddCommand(a.benchmark(&f, "all", "Run all benchmarks", suite.All()))
	return cmd
}

func (a *app) benchmark(f *benchFlags, name, short string, list []suite.Benchmark) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		Example: "  claude-force bench " + name + " --samples 10 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.soft(cmd.Context())
			defer cancel()
			file, err := a.measure(ctx, f, name, list)
			if a.interrupted() {
				return errInterrupted
			}
			if err != nil {
				return err
			}
			if f.output != "" {
				if err := benchfile.Write(f.output, file); err != nil {
					return err
				}
				a.say("wrote %s", f.output)
			}
			if f.json {
				return printJSON(a.stdout, file)
			}
			return a.printBench(file, f.report)
		},
	}
}

// measure runs benchmarks.
func (a *app) measure(ctx context.Context, f *benchFlags, name string, list []suite.Benchmark) (*benchfile.File, error) {
	if f.samples <= 0 {
		return nil, badInput("--samples must be above 0")
	}
	if f.latency <= 0 {
		return nil, badInput("--latency must be above 0")
	}
	file := &benchfile.File{
		Version: benchfile.Version,
		Program: "claude-force " + version(), Commit: commit(ctx), Time: time.Now().UTC().Truncate(time.Second),
		Machine: benchfile.ThisMachine(),
		Settings: map[string]string{
			"benchmark": name, "samples": fmt.Sprint(f.samples), "latency": f.latency.String(), "small": fmt.Sprint(f.small),
		},
	}
	if f.live {
		return file, a.measureLive(ctx, f, file)
	}
	opts := suite.Options{Samples: f.samples, Latency: f.latency, Small: f.small}
	if a.terminal {
		opts.Progress = func(text string) { fmt.Fprintf(a.draw(), "\r\x1b[K%s", text) }
		defer fmt.Fprint(a.draw(), "\r\x1b[K")
	}
	for _, b := range list {
		res, err := b.Run(ctx, opts)
		if err != nil {
			return nil, fmt.Errorf("bench %s: %w", b.Name, err)
		}
		file.Metrics = append(file.Metrics, res.Metrics...)
		file.Summary = file.Summary.With(res.Summary)
	}
	return file, nil
}

// measureLive makes calls to the real API.
func (a *app) measureLive(ctx context.Context, f *benchFlags, file *benchfile.File) error {
	if f.budget <= 0 {
		return badInput("--budget must be above 0")
	}
	orch, err := a.open(ctx, &callFlags{model: "haiku"})
	if err != nil {
		return err
	}
	res, err := suite.Live(ctx, orch, suite.LiveOptions{BudgetUSD: f.budget, Samples: f.samples})
	if errors.Is(err, suite.ErrBudget) {
		err = inputError{err}
	}
	if err = closing(err, orch); err != nil {
		return fmt.Errorf("bench --live: %w", err)
	}
	a.say("spent %s of %s", dollars(&res.SpentUSD), dollars(&f.budget))
	if res.Stopped {
		a.say("note: the budget ended before all samples were taken; --budget allows more")
	}
	file.Settings = map[string]string{"benchmark": "live", "budget": fmt.Sprint(f.budget)}
	file.Metrics, file.Summary = res.Metrics, res.Summary
	return nil
}

// commit returns the commit this program was built from, else the one checked
// out in the working directory; empty if neither is known.
func commit(ctx context.Context) string {
	if c := readBuild().Commit; c != "" {
		return c
	}
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
