package claudeforce_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/workflow"
)

// openShared opens an orchestrator on a database, with a simulator of its own.
func openShared(t *testing.T, store string, service sim.Options) *claudeforce.Orchestrator {
	t.Helper()
	return openCounted(t, store, service, nil)
}

// openCounted opens an orchestrator as openShared does, with metrics for Prometheus unless they
// are nil.
func openCounted(t *testing.T, store string, service sim.Options, counters *telemetry.Counters) *claudeforce.Orchestrator {
	t.Helper()
	dir := t.TempDir()
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.Store = t.TempDir(), store
	o, err := claudeforce.New(t.Context(), claudeforce.Options{Dir: dir, Config: cfg, Simulator: sim.New(service), Telemetry: telemetry.Options{Counters: counters}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// submit submits a run for the workers of Temporal and joins it.
func submit(t *testing.T, o *claudeforce.Orchestrator, wf *workflow.Workflow) (id string, j *claudeforce.JoinedRun) {
	t.Helper()
	id, err := o.SubmitRun(t.Context(), wf, claudeforce.RunOptions{Engine: claudeforce.EngineTemporal})
	if err != nil {
		t.Fatal(err)
	}
	j, err = o.JoinRun(t.Context(), id, claudeforce.EngineTemporal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close) // before the orchestrator is closed
	return id, j
}

// TestTwoProcessesWorkOnARun has two orchestrators attempt the steps of a run in turn.
func TestTwoProcessesWorkOnARun(t *testing.T) {
	t.Parallel()
	store := postgrestest.URL(t)
	first, second := openShared(t, store, sim.Options{}), openShared(t, store, sim.Options{})
	wf, err := first.ParseWorkflow("wf.yaml", []byte(`
name: shared
steps:
  - {id: a, agent: code-reviewer, task: one}
  - {id: list, value: [x, y, z]}
  - {id: each, foreach: "${{ steps.list.json }}", agent: code-reviewer, task: "${{ item }} ${{ steps.a.output }}"}
  - {id: end, value: "${{ len(steps.each.json) }}"}
output: ${{ steps.end.output }} items
`))
	if err != nil {
		t.Fatal(err)
	}
	id, err := first.SubmitRun(t.Context(), wf, claudeforce.RunOptions{Engine: claudeforce.EngineTemporal})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.ResumeRun(t.Context(), id, claudeforce.ResumeOptions{}); err == nil {
		t.Error("a process took over the run of an engine")
	}
	var joined []*claudeforce.JoinedRun
	for _, o := range []*claudeforce.Orchestrator{first, second} {
		j, err := o.JoinRun(t.Context(), id, claudeforce.EngineTemporal)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		joined = append(joined, j)
	}
	attempts := 0
	for {
		f, err := joined[attempts%2].Advance(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if f.Result != nil {
			if f.Result.Status != engine.StatusCompleted || f.Result.Output != "3 items" {
				t.Errorf("the run is %s with the output %q", f.Result.Status, f.Result.Output)
			}
			break
		}
		if len(f.Ready) == 0 || attempts > 10 {
			t.Fatalf("after %d attempts the frontier is %+v", attempts, f)
		}
		attempts++
		if status, err := joined[attempts%2].Attempt(t.Context(), f.Ready[0].Unit); err != nil || status != engine.StatusCompleted {
			t.Fatalf("attempting %v: %s, %v", f.Ready[0].Unit, status, err)
		}
	}
	if attempts != 4 {
		t.Errorf("%d attempts for 4 units", attempts)
	}
	if _, err := joined[0].Advance(t.Context(), nil); !errors.Is(err, journal.ErrLost) {
		t.Errorf("advancing a run that has ended: %v", err)
	}
}

// TestJoinedRunIsCounted has a run of an engine and the same run of a process counted alike in
// the metrics for Prometheus.
func TestJoinedRunIsCounted(t *testing.T) {
	t.Parallel()
	const text = `
steps:
  - {id: a, agent: code-reviewer, task: one}
  - {id: list, value: [x, y, z]}
  - {id: each, foreach: "${{ steps.list.json }}", agent: code-reviewer, task: "${{ item }} ${{ steps.a.output }}"}
  - {id: none, when: "false", agent: code-reviewer, task: two}
`
	store := postgrestest.URL(t)
	counted := func(do func(*claudeforce.Orchestrator, *workflow.Workflow)) map[string]float64 {
		reg := prometheus.NewRegistry()
		o := openCounted(t, store, sim.Options{}, telemetry.NewCounters(reg))
		wf, err := o.ParseWorkflow("wf.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		do(o, wf)
		return countersOf(t, reg)
	}
	want := counted(func(o *claudeforce.Orchestrator, wf *workflow.Workflow) {
		if _, err := o.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	got := counted(func(o *claudeforce.Orchestrator, wf *workflow.Workflow) {
		_, j := submit(t, o, wf)
		for {
			f, err := j.Advance(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if f.Result != nil {
				return
			}
			if _, err := j.Attempt(t.Context(), f.Ready[0].Unit); err != nil {
				t.Fatal(err)
			}
		}
	})
	if diff := cmp.Diff(want, got); diff != "" || want["claude_force_runs_total completed"] != 1 || want["claude_force_steps_total completed"] < 6 {
		t.Errorf("a process counts %v; %s", want, diff)
	}
}

// countersOf returns the counters of runs and steps, by their names and statuses.
func countersOf(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counters := map[string]float64{}
	for _, family := range families {
		if name := family.GetName(); name == "claude_force_runs_total" || name == "claude_force_steps_total" {
			for _, m := range family.GetMetric() {
				counters[name+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return counters
}

// TestCancelStopsJoinedAttempts cancels a run while a process makes two attempts in it whose
// answers do not come.
func TestCancelStopsJoinedAttempts(t *testing.T) {
	t.Parallel()
	o := openShared(t, postgrestest.URL(t), sim.Options{Latency: sim.Fixed(time.Hour)})
	wf, err := o.ParseWorkflow("wf.yaml", []byte("steps: [{id: a, agent: code-reviewer, task: one}, {id: b, agent: code-reviewer, task: two}]"))
	if err != nil {
		t.Fatal(err)
	}
	id, j := submit(t, o, wf)
	f, err := j.Advance(t.Context(), nil)
	if err != nil || len(f.Ready) != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
	var attempts sync.WaitGroup
	for _, ready := range f.Ready {
		attempts.Go(func() {
			if status, err := j.Attempt(t.Context(), ready.Unit); status != engine.StatusInterrupted || err != nil {
				t.Errorf("attempting %s: %s, %v", ready.Unit, status, err)
			}
		})
	}
	store, err := o.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	started := 0
	for change, err := range runs.Watch(t.Context(), store, id) {
		if err != nil {
			t.Fatal(err)
		}
		if ev := change.Event; ev != nil && ev.Type == journal.StepStarted {
			started++
		}
		if started == len(f.Ready) {
			break
		}
	}
	if signaled, err := runs.Cancel(t.Context(), store, id); !signaled || err != nil {
		t.Errorf("cancelling the run: %t, %v", signaled, err)
	}
	attempts.Wait()
	f, err = j.Advance(t.Context(), nil)
	if err != nil || f.Result == nil || f.Result.Status != engine.StatusCancelled {
		t.Errorf("after the attempts: %+v, %v", f, err)
	}
}

func TestEngineNeedsASharedStore(t *testing.T) {
	t.Parallel()
	o := openShared(t, "", sim.Options{})
	wf, err := o.ParseWorkflow("wf.yaml", []byte("steps: [{id: a, value: 1}]"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{claudeforce.EngineTemporal, "airflow"} {
		_, err := o.SubmitRun(t.Context(), wf, claudeforce.RunOptions{Engine: name})
		if _, ok := errors.AsType[*claudeforce.InputError](err); !ok {
			t.Errorf("engine %s: %v", name, err)
		}
	}
}

// TestLookJoinsWhatItWrites advances a run: the part between its steps is joined only where
// there is something to write, and no part is left when the run has ended.
func TestLookJoinsWhatItWrites(t *testing.T) {
	t.Parallel()
	store := postgrestest.URL(t)
	o := openShared(t, store, sim.Options{})
	wf, err := o.ParseWorkflow("wf.yaml", []byte(`
steps:
  - {id: a, agent: code-reviewer, task: one}
  - {id: skipped, agent: code-reviewer, task: two, when: "false", dependencies: [a]}
  - {id: b, agent: code-reviewer, task: three, dependencies: [a]}
`))
	if err != nil {
		t.Fatal(err)
	}
	_, j := submit(t, o, wf)
	db := postgrestest.Open(t, store)
	token := func() (token string) {
		if err := db.QueryRow(t.Context(), `SELECT coalesce(min(token) FILTER (WHERE part = '0  '), '') FROM journal_parts`).Scan(&token); err != nil {
			t.Fatal(err)
		}
		return token
	}
	look := func(joins bool, step string) {
		before := token()
		f, err := j.Advance(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if joined := token() != before; joined != joins {
			t.Errorf("before step %q the part was joined: %t", step, joined)
		}
		if step == "" {
			if f.Result == nil || f.Result.Status != engine.StatusCompleted || token() != "" {
				t.Errorf("in the end: %+v, token %q", f, token())
			}
			return
		}
		if len(f.Ready) != 1 || f.Ready[0].Unit.Step != step {
			t.Fatalf("the frontier is %+v; want step %s", f, step)
		}
	}
	attempt := func(step string) {
		if status, err := j.Attempt(t.Context(), journal.Unit{Step: step}); err != nil || status != engine.StatusCompleted {
			t.Fatal(status, err)
		}
	}
	look(false, "a")
	look(false, "a")
	attempt("a")
	look(true, "b") // which skips a step
	look(false, "b")
	attempt("b")
	look(true, "")
}
