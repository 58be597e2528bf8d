package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// ending sets how the end of a run is printed.
type ending struct {
	json, all, explain bool
	noOutputs          bool
	replayed           bool // from a cassette
	why                []claudeforce.Explanation
	plan               *plan.Plan // nil if there was none
	reports            reportFlags
	output             outputFlag
}

// endRun records a run that has ended, writes its reports and outputs, and prints its end: its outputs
// on the standard output, the rest on the standard error. It returns the error of the
// command.
func (a *app) endRun(wf *workflow.Workflow, res *engine.Result, failed error, how ending) error {
	if _, ok := errors.AsType[*claudeforce.RunError](failed); ok {
		failed = nil // the status says it
	}
	if a.recording != nil {
		if err := a.recording(res); err != nil {
			return fmt.Errorf("recording the run: %w", err)
		}
	}
	writeErr := how.reports.write(wf, res)
	how.noOutputs = how.noOutputs || how.output.given()
	if err := a.writeOutput(how.output, wf, res, how.all); err != nil {
		writeErr = errors.Join(writeErr, err)
	}
	err := a.printEnd(wf, res, failed, how)
	if err == nil {
		return writeErr
	}
	if writeErr != nil {
		a.say("claude-force: %v", writeErr)
	}
	return err
}

// printEnd prints the end of a run, and returns the error of the command.
func (a *app) printEnd(wf *workflow.Workflow, res *engine.Result, failed error, how ending) error {
	var err error
	switch {
	case how.json && how.explain:
		err = printJSON(a.stdout, struct {
			*engine.Result
			Explanations []claudeforce.Explanation `json:"explanations"`
		}{res, how.why})
	case how.json:
		err = printJSON(a.stdout, res)
	case how.noOutputs:
	default:
		err = runs.WriteOutputs(a.stdout, wf, res, how.all)
	}
	if err != nil {
		return err
	}
	if a.quiet {
		a.sayFailures(wf, res)
	} else if err := a.printSummary(wf, res); err != nil {
		return err
	}
	a.sayAccuracy(how.plan, res)
	if how.explain {
		if err := a.printExplanations(how.why); err != nil {
			return err
		}
	}
	switch {
	case failed != nil:
		return fmt.Errorf("the run was stopped: %w", failed)
	case res.Status == engine.StatusInterrupted:
		a.say("interrupted; resume with: claude-force runs resume %s", res.RunID)
		return errInterrupted
	case res.Status == engine.StatusCancelled:
		a.say("cancelled")
		return errReported
	case exitedAs(res):
		return a.sayExited(res.Exited)
	case res.Status == engine.StatusPartial:
		a.say("the budget left no room for %s: %s", plural(len(res.NotDone), "step"), notDone(res))
		return nil
	case res.Status == engine.StatusFailed && !res.FailWhen && res.OverBudget():
		a.say("the budget left no room for %s: %s", plural(len(res.NotDone), "step"), notDone(res))
		a.sayAdvice(res, how.replayed)
		return errOverBudget
	case res.Status == engine.StatusFailed:
		if res.Error != nil {
			a.say("claude-force: %s", *res.Error)
		}
		a.sayAdvice(res, how.replayed)
		return errReported
	}
	return nil
}

// sayAdvice says how a run that has failed can be completed. A replay is not kept as a
// run, and does the same again.
func (a *app) sayAdvice(res *engine.Result, replayed bool) {
	if replayed {
		a.say("a replay cannot be resumed; undo what differs from the recording, or record again with: claude-force run WORKFLOW --record FOLDER")
		return
	}
	a.say("%s", resumeAdvice(res))
}

// exitedAs reports whether the run is what the step says that ended it.
func exitedAs(res *engine.Result) bool {
	return res.Exited != nil && res.Status == engine.Status(res.Exited.Status)
}

// sayExited says which step ended a run, and returns the error of the command, with the
// exit code that the step gives.
func (a *app) sayExited(end *journal.Exited) error {
	if !a.quiet || end.Status == journal.StatusFailed {
		a.say("the run exited at %s: %s", end.Step, firstLine(end.Message, 200))
	}
	if end.Code == exitDone {
		return nil
	}
	return exitError{errReported, end.Code}
}

// exitError is the error of a command with an exit code of its own.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

// notDone names what a run did not do.
func notDone(res *engine.Result) string {
	names := make([]string, len(res.NotDone))
	for i, n := range res.NotDone {
		names[i] = n.Step
	}
	return firstLine(strings.Join(names, ", "), 200)
}

func (a *app) printExplanations(why []claudeforce.Explanation) error {
	rows := [][]string{{"STEP", "SOURCE", "WHY"}}
	for _, x := range why {
		name := x.Step
		if x.Item != "" {
			name += "[" + x.Item + "]"
		}
		rows = append(rows, []string{name, string(x.Source), x.Reason})
	}
	fmt.Fprintln(a.stderr)
	return table(a.stderr, rows)
}

// failures counts what failed in a run, also what the run tolerated; empty for
// nothing.
func failures(res *engine.Result) string {
	steps, items := 0, 0
	for _, s := range res.Steps {
		if s.Status == engine.StatusFailed {
			steps++
		}
		for _, item := range s.Items {
			if item.Status == engine.StatusFailed {
				items++
			}
		}
	}
	text := ""
	if steps > 0 {
		text += " · " + plural(steps, "step") + " failed"
	}
	if items > 0 {
		text += " · " + plural(items, "item") + " failed"
	}
	return text
}

func (a *app) printSummary(wf *workflow.Workflow, res *engine.Result) error {
	rows := [][]string{{"STEP", "AGENT", "STATUS", "SOURCE", "TIME", "WAITED", "TOKENS", "COST"}}
	for _, s := range wf.Steps {
		step := res.Steps[s.ID]
		row := []string{s.ID, s.Agent, string(step.Status), string(step.Source), "", "", "", ""}
		if step.StartedAt != nil {
			row[4] = amount.Seconds(step.DurationSeconds)
		}
		if step.Measured() {
			row[5] = amount.Seconds(step.WaitedSeconds)
		}
		if step.Status == engine.StatusCompleted {
			row[6], row[7] = amount.Thousands(step.Usage.TotalTokens()), dollars(step.CostUSD)
		}
		switch {
		case len(step.Items) > 0:
			row[1] = plural(len(step.Items), "item")
		case step.Iterations > 0:
			row[1] = plural(step.Iterations, "iteration")
		case s.Action() != nil:
			row[1] = s.Action().Verb()
		case s.Agent == "" && len(step.Steps) > 0:
			row[1] = plural(len(step.Steps), "step")
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(a.stderr)
	if err := table(a.stderr, rows); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	for _, s := range wf.Steps {
		step := res.Steps[s.ID]
		if step.Status == engine.StatusFailed {
			a.say("step %s failed: %s", s.ID, *step.Error)
		}
		if step.ModelReason != "" {
			a.say("step %s: %s was chosen: %s", s.ID, step.Model, step.ModelReason)
		}
		if step.Degraded != "" {
			a.say("step %s: %s", s.ID, step.Degraded)
		}
	}
	if len(res.Findings) > 0 {
		a.say("%s", countFindings(res.Findings))
	}
	for _, f := range res.Files {
		a.say("saved %s", savedLine(f))
	}
	for _, note := range res.Notes {
		a.say("note: %s", note)
	}
	verb := map[engine.Status]string{engine.StatusCompleted: "Completed in", engine.StatusFailed: "Failed after", engine.StatusInterrupted: "Stopped after", engine.StatusCancelled: "Cancelled after", engine.StatusPartial: "Ended, not whole, after"}[res.Status]
	a.say("%s · %s %s%s · %s · order: %s", res.RunID, verb, amount.Seconds(res.TotalTimeSeconds), failures(res), dollars(res.CostUSD), strings.Join(res.ExecutionOrder, ", "))
	return nil
}

// sayFailures names the steps that failed, and why.
func (a *app) sayFailures(wf *workflow.Workflow, res *engine.Result) {
	for _, id := range res.Failed(wf) {
		a.say("step %s failed: %s", id, *res.Steps[id].Error)
	}
}

// countFindings returns how many findings there are of each severity.
func countFindings(findings []workflow.Finding) string {
	count := map[workflow.Severity]int{}
	for _, f := range findings {
		count[f.Severity]++
	}
	var each []string
	for _, s := range workflow.Severities() {
		if n := count[s]; n > 0 {
			each = append(each, amount.Thousands(n)+" "+string(s))
		}
	}
	return plural(len(findings), "finding") + ": " + strings.Join(each, ", ")
}

// savedLine returns a file that the run saved, for people.
func savedLine(f engine.SavedFile) string {
	return fmt.Sprintf("%s (%s, %s)", firstLine(f.Path, 200), cmp.Or(unitLabel(f), "output of the run"), plural(f.Bytes, "byte"))
}

// unitLabel returns the step and the item whose output a file holds; empty for that of
// the run.
func unitLabel(f engine.SavedFile) string {
	if f.Item == "" {
		return f.Step
	}
	return f.Step + "[" + f.Item + "]"
}
