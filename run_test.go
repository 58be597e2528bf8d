package claudeforce_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/workflow"
)

const reviewFile = `
name: review
steps:
  - {id: lint, agent: linter, task: Check code style}
  - {id: types, agent: type-checker, task: Check types}
  - {id: review, agent: code-reviewer, task: Final review, dependencies: [lint, types]}
`

// project is a folder with a workflow and an agent of its own, in which
// orchestrators are opened one after the other, as processes would be.
type project struct {
	testing.TB
	dir    string
	server *sim.Server
}

func newProject(t *testing.T) *project {
	p := &project{t, t.TempDir(), sim.New(sim.Options{})}
	p.write("review.yaml", reviewFile)
	p.agent("You check style.")
	return p
}

func (p *project) write(name, text string) {
	p.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

// agent writes the agent "linter" with this prompt.
func (p *project) agent(prompt string) {
	p.Helper()
	p.write(".claude/agents/linter.md", "---\nname: linter\ndescription: Checks style.\nmodel: haiku\n---\n"+prompt+"\n")
}

func (p *project) open() *claudeforce.Orchestrator {
	p.Helper()
	cfg, err := config.Load(config.Sources{Dir: p.dir, Home: p.dir})
	if err != nil {
		p.Fatal(err)
	}
	return open(p, p.server, func(o *claudeforce.Options) { o.Dir, o.Config = p.dir, cfg })
}

func (p *project) load() *workflow.Workflow {
	p.Helper()
	wf, err := claudeforce.LoadWorkflow(p.dir, filepath.Join(p.dir, "review.yaml"))
	if err != nil {
		p.Fatal(err)
	}
	return wf
}

// checkRunError checks the error of a run that ended with a status: a RunError
// that names it, unless the run completed.
func checkRunError(t testing.TB, want engine.Status, err error) {
	t.Helper()
	failed, ok := errors.AsType[*claudeforce.RunError](err)
	switch {
	case want == engine.StatusCompleted || want == engine.StatusPartial:
		if err != nil {
			t.Fatal(err)
		}
	case !ok:
		t.Fatalf("got %v; want a RunError", err)
	case failed.Status != want || failed.RunID == "" || len(failed.NotDone) == 0:
		t.Fatalf("got %+v; want the status %s and the steps that are not done", failed, want)
	}
}

// run runs the workflow to a status.
func (p *project) run(want engine.Status, opts claudeforce.RunOptions) *engine.Result {
	p.Helper()
	opts.File = filepath.Join(p.dir, "review.yaml")
	res, err := p.open().RunWorkflow(p.Context(), p.load(), opts)
	checkRunError(p, want, err)
	if res.Status != want {
		p.Fatalf("the run is %s; want %s", res.Status, want)
	}
	return res
}

// asked checks how many calls the simulator has counted.
func (p *project) asked(want int) {
	p.Helper()
	if got := p.server.Stats().Requests; got != want {
		p.Fatalf("the simulator counted %d calls; want %d", got, want)
	}
}

// failOnce lets the next call that holds a text fail.
func (p *project) failOnce(text string) {
	p.server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 400, Message: "simulated", Match: text, Times: 1})
}

func TestRunsNameWhatChanged(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	reasons := func(opts claudeforce.RunOptions) map[string]string {
		why := map[string]string{}
		opts.OnExplain = func(_ context.Context, x claudeforce.Explanation) { why[x.Step] = x.Reason }
		p.run(engine.StatusCompleted, opts)
		return why
	}
	first := "no earlier run has its result"
	if d := cmp.Diff(map[string]string{"lint": first, "types": first, "review": first}, reasons(claudeforce.RunOptions{})); d != "" {
		t.Error(d)
	}
	same := "nothing has changed"
	if d := cmp.Diff(map[string]string{"lint": same, "types": same, "review": same}, reasons(claudeforce.RunOptions{})); d != "" {
		t.Error(d)
	}
	p.asked(3)
	p.agent("You check style, strictly.")
	want := map[string]string{"lint": "the agent's body changed", "types": same, "review": "the output of step lint changed"}
	if d := cmp.Diff(want, reasons(claudeforce.RunOptions{})); d != "" {
		t.Error(d)
	}
	p.asked(5)
}

func TestOnlyHandsOnWhatItLeaves(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.run(engine.StatusCompleted, claudeforce.RunOptions{})
	p.run(engine.StatusCompleted, claudeforce.RunOptions{Only: "lint"})
	p.asked(4)
	res := p.run(engine.StatusCompleted, claudeforce.RunOptions{From: "review"})
	p.asked(5)
	if res.Steps["types"].Source != "journal" || res.Steps["types"].Output == "" {
		t.Errorf("step types is %+v", res.Steps["types"])
	}
}

func TestRunsWithoutAFolderSaySo(t *testing.T) {
	t.Parallel()
	var notes []string
	orch := open(t, sim.New(sim.Options{}), func(o *claudeforce.Options) {
		o.Config.DataDir, o.Config.Cache.Enabled = "", false
		o.OnNotice = func(_ context.Context, text string) { notes = append(notes, text) }
	})
	wf, err := claudeforce.ParseWorkflow("", "review", []byte(reviewFile))
	if err != nil {
		t.Fatal(err)
	}
	res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	if err != nil || res.Status != engine.StatusCompleted {
		t.Fatal(res, err)
	}
	if !slices.ContainsFunc(notes, func(s string) bool { return strings.Contains(s, "cannot be resumed") }) {
		t.Errorf("it said %q", notes)
	}
}

func TestApprovalsAreDecidedFromOutside(t *testing.T) {
	t.Parallel()
	for _, approved := range []bool{true, false} {
		p := newProject(t)
		p.write("review.yaml", "steps:\n  - {id: ok, approval: Go on?}\n  - {id: go, agent: linter, task: Go, dependencies: [ok]}\n")
		orch := p.open()
		store, err := orch.History(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		waits := make(chan struct{})
		var running sync.WaitGroup
		var res *engine.Result
		running.Go(func() {
			res, err = orch.RunWorkflow(t.Context(), p.load(), claudeforce.RunOptions{OnEvent: func(_ context.Context, ev engine.Event) {
				if ev.Asked != nil {
					close(waits)
				}
			}})
		})
		<-waits
		if _, err := runs.Decide(t.Context(), store, journal.Latest, "other", journal.Decision{}); !fault.Has(err, fault.KindConflict) {
			t.Errorf("answering what was not asked: %v", err)
		}
		// It may take a moment until the question is durable.
		ticker := time.NewTicker(time.Millisecond)
		for decided := false; !decided; {
			<-ticker.C
			step, derr := runs.Decide(t.Context(), store, journal.Latest, "", journal.Decision{Approved: approved, By: "me"})
			if decided = derr == nil; decided && step != "ok" {
				t.Errorf("it answered %q", step)
			} else if !decided && !fault.Has(derr, fault.KindConflict) {
				t.Fatal(derr)
			}
		}
		ticker.Stop()
		running.Wait()
		want := engine.StatusFailed
		if approved {
			want = engine.StatusCompleted
		}
		checkRunError(t, want, err)
		if res.Status != want {
			t.Errorf("approved %t: %v", approved, res.Status)
		}
	}
}

func isInput(err error) bool {
	_, ok := errors.AsType[*claudeforce.InputError](err)
	return ok
}
