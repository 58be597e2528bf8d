package claudeforce_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/sim"
)

const planned = `name: Planned
params: {topic: tides}
steps:
  - {id: fixed, agent: linter, task: Always the same}
  - {id: after, agent: code-reviewer, task: Judge it, dependencies: [fixed]}
  - {id: about, agent: linter, task: "Look at ${{ params.topic }}"}
  - {id: end, agent: code-reviewer, task: Sum up, dependencies: [after, about]}
  - {id: each, agent: linter, foreach: {glob: "docs/*.txt"}, files: ["${{ item }}"], task: "Read ${{ item }}"}
  - id: ok
    approval: Go on?
    dependencies: [fixed]
  - {id: said, agent: linter, task: t, when: "${{ steps.ok.json.approved }}"}
  - {id: never, agent: linter, task: t, when: "${{ params.topic == 'x' }}"}
`

// plannedIn writes the workflow and its files into the orchestrator's folder.
func plannedIn(t *testing.T, server *sim.Server) (orch *claudeforce.Orchestrator, file string) {
	t.Helper()
	orch = open(t, server, func(o *claudeforce.Options) {
		file = filepath.Join(o.Dir, "w.yaml")
		if err := os.WriteFile(file, []byte(planned), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(o.Dir, "docs"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
			if err := os.WriteFile(filepath.Join(o.Dir, "docs", name), []byte("text of "+name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	return orch, file
}

func sources(p *plan.Plan) map[string]plan.Source {
	m := map[string]plan.Source{}
	for _, s := range p.Steps {
		m[s.ID] = s.Source
	}
	return m
}

func TestPlansKnowWhatIsThereAlready(t *testing.T) {
	server := sim.New(sim.Options{})
	orch, file := plannedIn(t, server)
	wf, err := claudeforce.LoadWorkflow("", file)
	if err != nil {
		t.Fatal(err)
	}
	wf.Steps = wf.Steps[:5] // nobody is there to be asked
	opts := claudeforce.RunOptions{File: file}
	p, err := orch.Plan(t.Context(), wf, opts)
	if err != nil {
		t.Fatal(err)
	}
	for id, source := range sources(p) {
		if source != plan.SourceLive {
			t.Errorf("before the first run, %s is %s", id, source)
		}
	}
	if s := p.Steps[4]; s.Calls != plan.Exactly(3) || s.CostUSD.Expected <= 0 {
		t.Errorf("of three files: %+v", s)
	}
	if n := server.Stats().Requests; n != 0 {
		t.Fatalf("a plan made %d requests", n)
	}

	opts.Plan = p
	res, err := orch.RunWorkflow(t.Context(), wf, opts)
	if err != nil || res.Status != engine.StatusCompleted {
		t.Fatal(err, res)
	}
	made := server.Stats().Requests
	stats, err := orch.CacheStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p, err = orch.Plan(t.Context(), wf, claudeforce.RunOptions{File: file}); err != nil {
		t.Fatal(err)
	}
	if p.CostUSD != (plan.Range{}) || p.Before.Plans != 1 || p.Before.Cost <= 0 {
		t.Errorf("after a run: %+v", p)
	}
	// What is known through cached answers, and what is not.
	opts = claudeforce.RunOptions{File: file, Params: map[string]string{"topic": "floods"}}
	if p, err = orch.Plan(t.Context(), wf, opts); err != nil {
		t.Fatal(err)
	}
	want := map[string]plan.Source{"fixed": "cached", "after": "cached", "about": "live", "end": "live", "each": "cached"}
	for id, source := range sources(p) {
		if source != want[id] {
			t.Errorf("%s is %s; want %s", id, source, want[id])
		}
	}
	if p.Steps[2].Basis != "1 earlier run" {
		t.Errorf("from %q", p.Steps[2].Basis)
	}
	after, err := orch.CacheStats(t.Context())
	if n := server.Stats().Requests; n != made || err != nil || after.Hits != stats.Hits || after.Misses != stats.Misses {
		t.Errorf("plans made %d requests, and counted as use of the cache: %+v, before %+v", n-made, after, stats)
	}
	// The estimate of a run with history.
	opts.Plan = p
	if res, err = orch.RunWorkflow(t.Context(), wf, opts); err != nil {
		t.Fatal(err)
	}
	if e := p.Promise().Against(plan.Actual{CostUSD: *res.CostUSD}); e.Cost < -0.5 || e.Cost > 0.5 {
		t.Errorf("planned %+v, was %v", p.CostUSD, *res.CostUSD)
	}
}

func TestPlansDoNotWaitForPeople(t *testing.T) {
	server := sim.New(sim.Options{})
	orch, file := plannedIn(t, server)
	wf, err := claudeforce.LoadWorkflow("", file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := orch.Plan(t.Context(), wf, claudeforce.RunOptions{File: file})
	if err != nil {
		t.Fatal(err)
	}
	got := sources(p)
	if got["ok"] != plan.SourcePerson || got["said"] != plan.SourceUnknown || got["never"] != plan.SourceSkipped {
		t.Errorf("%v", got)
	}
	if _, err := orch.Plan(t.Context(), wf, claudeforce.RunOptions{File: file, Params: map[string]string{"x": "y"}}); err == nil {
		t.Error("no error for an unknown parameter")
	} else if _, ok := errors.AsType[*claudeforce.InputError](err); !ok {
		t.Errorf("%v is no input error", err)
	}
	if n := server.Stats().Requests; n != 0 {
		t.Errorf("plans made %d requests", n)
	}
}

func TestPlansWithoutHistoryFollowMadeUpAnswers(t *testing.T) {
	server := sim.New(sim.Options{})
	orch := open(t, server)
	wf, err := claudeforce.ParseWorkflow("", "w.yaml", []byte(`steps:
  - {id: find, agent: linter, task: t, schema: {type: object, properties: {files: {type: array, items: {type: object, properties: {path: {type: string}}}}}}}
  - {id: each, agent: linter, foreach: "${{ steps.find.json.files }}", task: "Look at ${{ item.path }}"}
  - {id: broken, agent: linter, task: "${{ steps.each.json[7].nothing.at.all }}"}
  - {id: end, agent: linter, task: u, dependencies: [broken]}
`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := orch.Plan(t.Context(), wf, claudeforce.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Range{plan.Exactly(1), {Low: 1, Expected: 3, High: 9}, plan.Exactly(1), plan.Exactly(1)}
	for i, s := range p.Steps {
		if s.Calls != want[i] || s.CostUSD == nil || s.CostUSD.Expected <= 0 {
			t.Errorf("%s: %+v calls, cost %+v; want %+v", s.ID, s.Calls, s.CostUSD, want[i])
		}
	}
}
