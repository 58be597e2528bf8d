package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/csvtext"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/workflow"
)

func (a *app) plan() *cobra.Command {
	var f runFlags
	var asCSV bool
	cmd := &cobra.Command{
		Use:   "plan FILE|NAME",
		Short: "Estimate what a workflow will cost and how long it will take, without running it",
		Long: `Show for each step of a workflow whether its answers are in the cache, how many
calls it makes, their cost and their time, and the totals. Nothing is sent and
nothing is stored.

Prompts that depend on no other answer are looked up in the cache. The rest is
estimated: from previous runs of the same step, else from other calls of the same
agent, else from the number of tokens; FROM shows which. The bounds in brackets
are wide where little is known. A step is "unknown" if the number of its calls
depends on answers that do not exist yet.

"claude-force run FILE --plan" prints the plan and asks whether to run. The run
then reports how far off the plan was, and so do later plans.

For an agent with tools, a call is its whole loop: TURNS is how many calls of the model
that was in half of the earlier loops, and in brackets in a tenth and in nine tenths.
Without any, six turns are assumed, and FROM says so.

Times are those of the service for as many calls at once as there are slots. Waiting
for limits, in this run or earlier ones, is no part of them.

It also names what will stop the run before anything is spent: a file that cannot be
read or is no text, a prompt that is larger than its model takes, a budget without
room for the first call.

Exit codes: 0 done, 1 the expected cost is above --budget or the workflow's own, or
something will stop the run, 2 bad input or configuration.`,
		Example: `  claude-force plan workflow.yaml
  claude-force plan review.yaml --param path=./src --budget 0.50
  claude-force plan workflow.json --json | jq .cost_usd.expected
  claude-force plan workflow.yaml --simulate
  claude-force run workflow.yaml --plan`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.planWorkflow(cmd.Context(), &f, args[0], asCSV)
		},
	}
	f.register(cmd)
	f.tools.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&asCSV, "csv", false, "print the steps as CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	f.params.register(flags)
	flags.StringArrayVar(&f.env, "allow-env", nil, "environment variable that expressions may read; may be repeated")
	flags.IntVar(&f.parallel, "max-parallel", 0, "most steps at once, instead of the workflow's own limit")
	f.registerAttach(flags)
	flags.StringVar(&f.from, "from", "", "plan a run of this step and what depends on it")
	flags.StringVar(&f.only, "only", "", "plan a run of only this step")
	return cmd
}

func (a *app) planWorkflow(ctx context.Context, f *runFlags, path string, asCSV bool) error {
	wf, opts, err := a.runOptions(ctx, f, path)
	if err != nil {
		return err
	}
	ctx, stop := a.soft(ctx)
	defer stop()
	orch, err := a.openIn(ctx, &f.callFlags, claudeforce.Options{KeyOptional: true})
	if err != nil {
		return err
	}
	p, err := orch.Plan(ctx, wf, opts)
	if err := closing(err, orch); err != nil {
		return err
	}
	if asCSV {
		err = csvtext.WriteTable(a.stdout, p.Steps)
		if p.BudgetUSD != nil {
			a.say("%s", budgetLine(p))
		}
		for _, problem := range p.Problems {
			a.say("%s", problemLine(problem))
		}
	} else {
		err = a.printPlan(a.stdout, p, f.json)
	}
	if err != nil {
		return err
	}
	if p.OverBudget() || p.Blocked() {
		return errReported
	}
	return nil
}

// planFirst shows the plan of a run before the run starts. goOn reports whether
// to start it.
func (a *app) planFirst(ctx context.Context, orch *claudeforce.Orchestrator, wf *workflow.Workflow, f *runFlags, opts claudeforce.RunOptions) (p *plan.Plan, goOn bool, err error) {
	if p, err = orch.Plan(ctx, wf, opts); err != nil {
		return nil, false, err
	}
	if !f.yes && !a.canAsk() {
		return p, false, blocked(p, a.printPlan(a.stdout, p, f.json))
	}
	if p.Blocked() {
		return p, false, blocked(p, a.printPlan(a.stderr, p, false))
	}
	if err := a.printPlan(a.stderr, p, false); err != nil || f.yes {
		return p, err == nil, err
	}
	yes, err := a.confirm(ctx, "Run it?")
	return p, yes, err
}

// blocked returns err, or else that the run was not started because the plan names
// what will stop it.
func blocked(p *plan.Plan, err error) error {
	if err == nil && p.Blocked() {
		return errReported
	}
	return err
}

func (a *app) printPlan(w io.Writer, p *plan.Plan, asJSON bool) error {
	if asJSON {
		return printJSON(w, p)
	}
	rows := [][]string{{"STEP", "AGENT", "MODEL", "SOURCE", "CALLS", "COST", "TIME", "FROM"}}
	for _, s := range p.Steps {
		rows = append(rows, planRow(s))
	}
	if slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Turns != nil }) {
		rows[0] = slices.Insert(rows[0], 5, "TURNS")
		for i, s := range p.Steps {
			rows[i+1] = slices.Insert(rows[i+1], 5, turnRange(s.Turns))
		}
	}
	if err := table(w, rows); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	var lines []string
	for _, s := range p.Steps {
		if s.CallsBasis != "" {
			lines = append(lines, "calls of "+s.ID+": "+s.CallsBasis)
		}
	}
	if len(lines) > 0 {
		lines[0] = "\n" + lines[0]
	}
	lines = append(lines, fmt.Sprintf("\nExpected: %s · %s · longest path: %s", costRange(&p.CostUSD), secondsRange(p.Seconds), stepNames(p.CriticalPath)))
	if len(p.Unpriced) > 0 {
		lines = append(lines, "without a price, and not in the sum: "+strings.Join(p.Unpriced, ", "))
	}
	if p.BudgetUSD != nil {
		lines = append(lines, budgetLine(p))
	}
	for _, problem := range p.Problems {
		lines = append(lines, problemLine(problem))
	}
	if b := p.Before; b.Plans > 0 {
		last := "The last plan of this workflow was"
		if b.Plans > 1 {
			last = fmt.Sprintf("The last %d plans of this workflow were", b.Plans)
		}
		lines = append(lines, fmt.Sprintf("%s off by %.0f %% in cost and %.0f %% in time.", last, 100*b.Cost, 100*b.Seconds))
	}
	if _, err := fmt.Fprintln(w, strings.Join(lines, "\n")); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	return nil
}

func planRow(s plan.Step) []string {
	row := []string{s.ID, orDash(s.Agent), orDash(s.Model), string(s.Source), callRange(s.Calls), "", "", orDash(s.Basis)}
	if s.Cached > 0 && s.Source != plan.SourceCached {
		row[4] += fmt.Sprintf(", %d cached", s.Cached)
	}
	if s.Source == plan.SourceLive || s.Source == plan.SourceUnknown {
		row[5], row[6] = costRange(s.CostUSD), secondsRange(s.Seconds)
	}
	if s.Source == plan.SourceCommand {
		row[5] = "$0"
		if s.Basis != "" {
			row[6] = secondsRange(s.Seconds)
		}
	}
	if s.Source == plan.SourceValue {
		row[5] = "$0"
	}
	if s.Source == plan.SourceCached {
		row[5], row[7] = "$0", "the cache"
	}
	return row
}

// problemLine says what will stop a run, or a step of it.
func problemLine(p plan.Problem) string {
	where := "The run"
	if p.Step != "" {
		where = "Step " + p.Step
		if p.Item != "" {
			where += "[" + p.Item + "]"
		}
	}
	text := where + " will fail: " + p.Message
	if p.Tolerated {
		text += " (the run goes on without it)"
	}
	if p.File != "" {
		text = fmt.Sprintf("%s:%d: %s", p.File, p.Line, text)
	}
	return text
}

func budgetLine(p *plan.Plan) string {
	budget := dollars(p.BudgetUSD)
	switch c := p.CostUSD; {
	case p.OverBudget():
		return "More than the budget of " + budget + "."
	case c.High > *p.BudgetUSD:
		return "Within the budget of " + budget + " if it goes as expected; it may be more."
	}
	return "Within the budget of " + budget + "."
}

// turnRange writes the turns of one call; a dash if its agent has no tools.
func turnRange(r *plan.Range) string {
	if r == nil {
		return "-"
	}
	return callRange(*r)
}

// callRange writes a number of calls, which is a fraction if some runs make fewer.
func callRange(r plan.Range) string {
	text := strings.TrimSuffix(fmt.Sprintf("%.1f", r.Expected), ".0")
	if r.Low == r.High {
		return text
	}
	return fmt.Sprintf("%s (%.0f-%.0f)", text, math.Floor(r.Low), math.Ceil(r.High))
}

func costRange(r *plan.Range) string {
	if r == nil {
		return dollars(nil)
	}
	if r.Low == r.High {
		return dollars(&r.Expected)
	}
	return fmt.Sprintf("%s (%s-%s)", dollars(&r.Expected), dollars(&r.Low), dollars(&r.High))
}

func secondsRange(r plan.Range) string {
	if r.Low == r.High {
		return amount.Seconds(r.Expected)
	}
	return fmt.Sprintf("%s (%s-%s)", amount.Seconds(r.Expected), amount.Seconds(r.Low), amount.Seconds(r.High))
}

// sayAccuracy prints how far off the plan of a run was.
func (a *app) sayAccuracy(p *plan.Plan, res *engine.Result) {
	if a.quiet || p == nil || res.Status != engine.StatusCompleted {
		return
	}
	actual := plan.Actual{Seconds: res.TotalTimeSeconds}
	cost := "unknown"
	if res.CostUSD != nil && len(p.Unpriced) == 0 {
		actual.CostUSD = *res.CostUSD
		cost = offBy(p.Promise().Against(actual).Cost)
	}
	a.say("planned %s and %s: the cost was %s, the time %s", dollars(&p.CostUSD.Expected), amount.Seconds(p.Seconds.Expected),
		cost, offBy(p.Promise().Against(actual).Seconds))
}

func offBy(e float64) string {
	switch percent := math.Round(100 * e); {
	case math.IsNaN(e):
		return "more"
	case percent == 0:
		return "as planned"
	case e < 0:
		return fmt.Sprintf("%.0f %% less", -percent)
	default:
		return fmt.Sprintf("%.0f %% more", percent)
	}
}

// stepNames returns ids of steps as text that no id makes look like another word.
func stepNames(ids []string) string {
	if len(ids) == 1 {
		return "step " + ids[0]
	}
	return "steps " + strings.Join(ids, ", ")
}
