package claudeforce_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// resume resumes the latest run and checks its status.
func (p *project) resume(want engine.Status, opts claudeforce.ResumeOptions) *engine.Result {
	p.Helper()
	res, err := p.open().ResumeRun(p.Context(), journal.Latest, opts)
	checkRunError(p, want, err)
	if res.Status != want {
		p.Fatalf("the run is %s; want %s", res.Status, want)
	}
	return res
}

// refused checks that the latest run is not resumed for these changes, and
// stays as it is.
func (p *project) refused(changes ...string) {
	p.Helper()
	orch := p.open()
	before := p.latest(orch)
	_, err := orch.ResumeRun(p.Context(), journal.Latest, claudeforce.ResumeOptions{})
	changed, ok := errors.AsType[*claudeforce.ChangedError](err)
	if !ok || !isInput(err) {
		p.Fatalf("it said %v", err)
	}
	if d := cmp.Diff(changes, changed.Changes); d != "" {
		p.Error(d)
	}
	if d := cmp.Diff(before, p.latest(orch)); d != "" {
		p.Errorf("the refusal changed the run: %s", d)
	}
}

func (p *project) latest(orch *claudeforce.Orchestrator) journal.Run {
	p.Helper()
	store, err := orch.History(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	run, err := store.Find(p.Context(), journal.Latest)
	if err != nil {
		p.Fatal(err)
	}
	return run
}

func TestResumeAsksOnlyWhatIsLeft(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.failOnce("Check types")
	failed := p.run(engine.StatusFailed, claudeforce.RunOptions{})
	p.asked(2)
	res := p.resume(engine.StatusCompleted, claudeforce.ResumeOptions{})
	p.asked(4)
	if res.RunID != failed.RunID || res.Steps["lint"].Output != failed.Steps["lint"].Output {
		t.Error("another run came of it")
	}
	_, err := p.open().ResumeRun(t.Context(), res.RunID, claudeforce.ResumeOptions{})
	if !errors.Is(err, claudeforce.ErrRunCompleted) || !isInput(err) {
		t.Errorf("resuming it again: %v", err)
	}
}

func TestResumeRefusesChanges(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.failOnce("Final")
	p.run(engine.StatusFailed, claudeforce.RunOptions{})
	p.asked(3)
	p.agent("You check style, strictly.")
	p.refused("agent linter has changed")
	p.asked(3)

	// Accepted changes are not asked about again, also if the run fails again.
	p.failOnce("Final")
	p.resume(engine.StatusFailed, claudeforce.ResumeOptions{AcceptChanges: true})
	p.asked(5) // linter, review
	p.resume(engine.StatusCompleted, claudeforce.ResumeOptions{})
	p.asked(6)
}

func TestAcceptedWorkflowIsTheRuns(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.failOnce("Final")
	p.run(engine.StatusFailed, claudeforce.RunOptions{})
	p.write("review.yaml", `
name: review
steps:
  - {id: style, agent: linter, task: Check code style thoroughly}
  - {id: types, agent: type-checker, task: Check types}
  - {id: final, agent: code-reviewer, task: Final review, dependencies: [style, types]}
`)
	p.refused("workflow has changed")
	res := p.resume(engine.StatusCompleted, claudeforce.ResumeOptions{AcceptChanges: true})
	p.asked(5) // style, final
	orch := p.open()
	store, err := orch.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := runs.Load(t.Context(), store, res.RunID)
	if err != nil {
		t.Fatal(err)
	}
	if d.Workflow.Step("style") == nil || d.Result.Steps["style"].Output != res.Steps["style"].Output {
		t.Errorf("it is shown as %+v", d.Result.Steps)
	}
}

// TestChangesAcceptedBeforeTheirStepsRan accepts a change in a run that is
// stopped before it comes to the step that changed: the step must still be re-run.
func TestChangesAcceptedBeforeTheirStepsRan(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.failOnce("Final")
	p.run(engine.StatusFailed, claudeforce.RunOptions{})
	p.agent("You check style, strictly.")
	stopped := make(chan struct{})
	close(stopped)
	p.resume(engine.StatusInterrupted, claudeforce.ResumeOptions{AcceptChanges: true, Drain: stopped})
	p.asked(3)
	p.resume(engine.StatusCompleted, claudeforce.ResumeOptions{})
	p.asked(5)
}

func TestResumeChecksWhatItIsGiven(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.failOnce("Final")
	p.run(engine.StatusFailed, claudeforce.RunOptions{})
	if _, err := p.open().ResumeRun(t.Context(), journal.Latest, claudeforce.ResumeOptions{RerunOnce: []string{"rewiev"}}); !isInput(err) {
		t.Errorf("an unknown step: %v", err)
	}
	if _, err := p.open().ResumeRun(t.Context(), "run_0000", claudeforce.ResumeOptions{}); !isInput(err) || !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("an unknown run: %v", err)
	}
}

func TestCancelEndsARunNobodyWorksOn(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.failOnce("Final")
	p.run(engine.StatusFailed, claudeforce.RunOptions{})
	orch := p.open()
	store, err := orch.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if told, err := runs.Cancel(t.Context(), store, journal.Latest); told || err != nil {
		t.Fatalf("told %t, %v", told, err)
	}
	if run := p.latest(orch); run.Status != journal.StatusCancelled {
		t.Errorf("it is %s", run.Status)
	}
	if _, err := runs.Cancel(t.Context(), store, journal.Latest); !fault.Has(err, fault.KindConflict) {
		t.Errorf("cancelling it again: %v", err)
	}
}
