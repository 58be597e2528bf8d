//go:build unix

// Command chaos runs workflows in processes of their own, kills these at random
// moments, resumes the runs until they are done, and counts on the
// simulator what was asked more than once.
//
//	go run ./bench/chaos                        # 100 rounds of a 30-step graph
//	go run ./bench/chaos -rounds 1000 -json     # the long one
//	go run ./bench/chaos -scenario foreach      # 5,000 files, interrupted and killed
//
// Each round has a random workflow that was never run before, and runs it without
// the response cache (but for the scenario cached), so that only the journal can
// save a call. The same
// workflow is first run undisturbed, for its results and its time. After every
// death the journal is read with the command, as users read it, and compared
// with the simulator's counts. The exit code is 1 if anything that is promised
// was not kept.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"text/tabwriter"
)

// options are the flags of the program.
type options struct {
	scenario string  // empty for all
	rounds   int     // of the kill scenario; the others have as many as they say
	steps    int     // of each graph
	items    int     // of the foreach
	parallel int     // rounds at once
	faster   float64 // than the real API: the factor on the speed of answers
	seed     uint64
	binary   string // of claude-force; empty to build it
}

func main() {
	opts := options{}
	var asJSON bool
	flag.StringVar(&opts.scenario, "scenario", "", "run only this one: kill, cached, encrypted, interrupt, rivals, failure or foreach")
	flag.IntVar(&opts.rounds, "rounds", 100, "rounds of the scenario kill; those of graphs beside it have a tenth")
	flag.IntVar(&opts.steps, "steps", 30, "steps of each graph")
	flag.IntVar(&opts.items, "items", 5000, "files of the scenario foreach")
	flag.IntVar(&opts.parallel, "parallel", 4, "rounds at once")
	flag.Float64Var(&opts.faster, "faster", 300, "how many times faster than the real API answers come; 300 is some 5 to 30 ms a call")
	flag.Uint64Var(&opts.seed, "seed", 1, "seed of the workflows and of the moments")
	flag.StringVar(&opts.binary, "binary", "", "the claude-force to use (default: build it)")
	flag.BoolVar(&asJSON, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	reports, err := torture(ctx, opts)
	if err == nil && asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(reports)
	} else if err == nil {
		err = printReports(reports)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	for _, r := range reports {
		if !r.kept() {
			os.Exit(1)
		}
	}
}

// torture runs the requested scenarios.
func torture(ctx context.Context, opts options) (reports []*report, err error) {
	dir, err := os.MkdirTemp("", "chaos-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if opts.binary == "" {
		opts.binary = filepath.Join(dir, "claude-force")
		if err := build(ctx, opts.binary); err != nil {
			return nil, err
		}
	}
	for _, s := range scenarios(opts) {
		if opts.scenario != "" && opts.scenario != s.name {
			continue
		}
		r, err := s.run(ctx, opts, filepath.Join(dir, s.name))
		if err != nil {
			return nil, fmt.Errorf("scenario %s: %w", s.name, err)
		}
		reports = append(reports, r)
	}
	if len(reports) == 0 {
		return nil, fmt.Errorf("there is no scenario %q; there are kill, cached, encrypted, interrupt, rivals, failure and foreach", opts.scenario)
	}
	return reports, nil
}

func build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/claude-force/claude-force/cmd/claude-force")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building claude-force: %w\n%s", err, out)
	}
	return nil
}

// report is what came of a scenario.
type report struct {
	Scenario string `json:"scenario"`
	Rounds   int    `json:"rounds"`
	counts
	InClear  int      `json:"in_clear"` // texts found in files of stores that are encrypted
	Problems []string `json:"problems"` // the first of what went wrong otherwise
	Failed   int      `json:"failed"`   // rounds with problems
}

// counts are what the rounds of a scenario add up to.
type counts struct {
	Units      int `json:"calls_needed"`
	Sent       int `json:"calls_sent"`
	Kills      int `json:"kills"`      // by SIGKILL, of a process that had not ended yet
	Interrupts int `json:"interrupts"` // by one or two SIGINTs
	Resumes    int `json:"resumes"`    // processes started to resume a run
	Unbegun    int `json:"unbegun"`    // deaths before there was a run; it was started again
	Late       int `json:"late"`       // runs that were seen only after they had been started again, with no step
	Refused    int `json:"refused"`    // processes that found the run owned by another, or completed

	// What is promised to be 0.
	Lost      int `json:"runs_lost"`
	Again     int `json:"finished_calls_sent_again"`
	Twice     int `json:"calls_sent_twice_by_one_process"`
	Early     int `json:"calls_sent_before_what_they_need_was_durable"`
	Unknown   int `json:"calls_an_undisturbed_run_does_not_make"`
	Differing int `json:"results_that_differ"`

	// What is not.
	Answered int `json:"answered_but_not_durable"` // calls whose answer was sent whole when the process died
	Cut      int `json:"cut_off"`                  // calls that were being answered then, and those that failed
	Repaid   int `json:"answered_again"`           // calls that were answered whole more than once, for that
}

func (c *counts) add(d counts) {
	c.Units, c.Sent = c.Units+d.Units, c.Sent+d.Sent
	c.Kills, c.Interrupts = c.Kills+d.Kills, c.Interrupts+d.Interrupts
	c.Resumes, c.Unbegun, c.Late, c.Refused = c.Resumes+d.Resumes, c.Unbegun+d.Unbegun, c.Late+d.Late, c.Refused+d.Refused
	c.Lost, c.Again, c.Twice, c.Early = c.Lost+d.Lost, c.Again+d.Again, c.Twice+d.Twice, c.Early+d.Early
	c.Unknown, c.Differing = c.Unknown+d.Unknown, c.Differing+d.Differing
	c.Answered, c.Cut, c.Repaid = c.Answered+d.Answered, c.Cut+d.Cut, c.Repaid+d.Repaid
}

// broken returns how often a promise was not kept.
func (c *counts) broken() int {
	return c.Lost + c.Again + c.Twice + c.Early + c.Unknown + c.Differing
}

func (rep *report) kept() bool { return rep.broken() == 0 && rep.InClear == 0 && rep.Failed == 0 }

// perThousand returns n for each 1,000 deaths.
func (rep *report) perThousand(n int) string {
	if rep.Kills+rep.Interrupts == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", 1000*float64(n)/float64(rep.Kills+rep.Interrupts))
}

func printReports(reports []*report) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, value func(*report) any) {
		fmt.Fprint(w, name)
		for _, r := range reports {
			fmt.Fprintf(w, "\t%v", value(r))
		}
		fmt.Fprintln(w, "\t")
	}
	row("scenario", func(r *report) any { return r.Scenario })
	row("rounds", func(r *report) any { return r.Rounds })
	row("calls needed", func(r *report) any { return r.Units })
	row("kill -9", func(r *report) any { return r.Kills })
	row("interrupts", func(r *report) any { return r.Interrupts })
	row("processes that went on", func(r *report) any { return r.Resumes })
	row("deaths before there was a run", func(r *report) any { return r.Unbegun })
	row("empty runs that came to light later", func(r *report) any { return r.Late })
	row("rivals that were refused", func(r *report) any { return r.Refused })
	row("promised: runs lost", func(r *report) any { return r.Lost })
	row("finished calls sent again", func(r *report) any { return r.Again })
	row("calls sent twice by one process", func(r *report) any { return r.Twice })
	row("calls sent before what they need was durable", func(r *report) any { return r.Early })
	row("calls an undisturbed run does not make", func(r *report) any { return r.Unknown })
	row("results that differ", func(r *report) any { return r.Differing })
	row("texts in clear in encrypted stores", func(r *report) any { return r.InClear })
	row("rounds that failed otherwise", func(r *report) any { return r.Failed })
	row("not promised: answered but not durable", func(r *report) any { return r.Answered })
	row("per 1,000 deaths", func(r *report) any { return r.perThousand(r.Answered) })
	row("and so answered again", func(r *report) any { return r.Repaid })
	row("per 1,000 deaths", func(r *report) any { return r.perThousand(r.Repaid) })
	row("cut off while being answered, or failed", func(r *report) any { return r.Cut })
	row("per 1,000 deaths", func(r *report) any { return r.perThousand(r.Cut) })
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	for _, r := range reports {
		for _, p := range r.Problems {
			fmt.Printf("%s: %s\n", r.Scenario, p)
		}
	}
	return nil
}
