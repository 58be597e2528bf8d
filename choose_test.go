package claudeforce_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/sim"
)

// longIsHard are rules by which the model depends on what a step is given.
const longIsHard = "models: [haiku, sonnet]\nrules: [{if: {prompt_over: 5000}, at_least: sonnet}]\n"

func rulesIn(dir, text string) func(*claudeforce.Options) {
	return func(o *claudeforce.Options) {
		path := filepath.Join(dir, "rules.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			panic(err) // a folder of the test's own
		}
		o.Config.AutoSelect.Rules = path
	}
}

func TestFingerprintHoldsTheModelThatWasChosen(t *testing.T) {
	server := sim.New(sim.Options{})
	orch := open(t, server, rulesIn(t.TempDir(), longIsHard))
	wf, err := claudeforce.ParseWorkflow("", "wf.yaml", []byte(`
params: {texts: {type: array}}
steps:
  - id: read
    agent: python-expert
    foreach: ${{ params.texts }}
    task: Read ${{ item }}
`))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("word ", 4000)
	var events []claudeforce.Explanation
	asked := map[int]string{} // by item, the model in its fingerprint
	opts := claudeforce.RunOptions{
		Params: map[string]string{"texts": `["short", "` + long + `"]`}, Model: "auto",
		OnEvent: func(_ context.Context, ev engine.Event) {
			if ev.Item != "" && ev.Status == engine.StatusCompleted {
				asked[ev.Index] = ev.Result.Inputs["model"]
			}
		},
		OnExplain: func(_ context.Context, x claudeforce.Explanation) { events = append(events, x) },
	}
	res, err := orch.RunWorkflow(t.Context(), wf, opts)
	if err != nil || len(res.Steps["read"].Items) != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	for i, want := range []string{"claude-haiku-5-5", "claude-sonnet-5-5"} {
		item := res.Steps["read"].Items[i]
		if item.Model != want || asked[i] != want || item.ModelReason == "" {
			t.Errorf("item %d was asked %s, its fingerprint says %s, since %q; want %s", i, item.Model, asked[i], item.ModelReason, want)
		}
	}
	if len(events) != 2 {
		t.Errorf("%d explanations", len(events))
	}
}

func TestRulesChangeWhatIsAsked(t *testing.T) {
	server, dir := sim.New(sim.Options{}), t.TempDir()
	at := func(o *claudeforce.Options) { o.Config.DataDir = dir }
	wf, err := claudeforce.ParseWorkflow("", "wf.yaml", []byte("name: one\nsteps: [{id: a, agent: python-expert, task: Explain, model: auto}]"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(rules string) (model, why string) {
		orch := open(t, server, at, rulesIn(t.TempDir(), rules))
		res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{OnExplain: func(_ context.Context, x claudeforce.Explanation) { why = x.Reason }})
		if err != nil || res.Steps["a"].Status != "completed" {
			t.Fatalf("%+v, %v", res, err)
		}
		return res.Steps["a"].Model, why
	}
	if model, _ := run(longIsHard); model != "claude-haiku-5-5" {
		t.Errorf("asked %s", model)
	}
	model, why := run("models: [haiku, sonnet]\nrules: [{at_least: sonnet}]\n")
	if model != "claude-sonnet-5-5" || why != "model is claude-sonnet-5-5, was claude-haiku-5-5" {
		t.Errorf("asked %s, since %q", model, why)
	}

	// The reason is in the journal.
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = dir
	store, err := claudeforce.OpenHistory(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	detail, err := runs.Load(t.Context(), store, journal.Latest)
	if err != nil {
		t.Fatal(err)
	}
	if got := detail.Result.Steps["a"].ModelReason; got != "the only one allowed, sonnet (a rule for all, the agent's model)" {
		t.Errorf("the journal's reason is %q", got)
	}
}

func TestBoundsOfAgents(t *testing.T) {
	server := sim.New(sim.Options{})
	orch := open(t, server, func(o *claudeforce.Options) {
		for name, head := range map[string]string{
			"free": "", "floored": "model_floor: sonnet", "capped": "effort: max\nmodel_ceiling: sonnet",
			"typo": "model_floor: sonet", "strange": "model: claude-mythos-5-2", "modelled": "model: sonnet",
		} {
			path := filepath.Join(o.Dir, ".claude", "agents", name+".md")
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700),
				os.WriteFile(path, []byte("---\nname: "+name+"\ndescription: d\n"+head+"\n---\nDo it.\n"), 0o600)); err != nil {
				panic(err) // a folder of the test's own
			}
		}
	})
	ask := func(agent, ceiling string) (*claudeforce.Result, error) {
		return orch.Execute(t.Context(), claudeforce.Task{Agent: agent, Prompt: "x", Model: "auto", Ceiling: ceiling}, nil)
	}
	for _, tt := range []struct{ agent, ceiling, model, says string }{
		{"free", "", "claude-haiku-5-5", "cheapest"},
		{"floored", "", "claude-sonnet-5-5", "the agent's floor"},
		{"capped", "", "claude-sonnet-5-5", "the agent's ceiling"},
		{"capped", "haiku", "claude-haiku-5-5", "the task's model"},
		{"strange", "", "claude-mythos-5-2", "the agent's model, which is not one"},
		{"modelled", "", "claude-haiku-5-5", "up to sonnet (the agent's model)"},
		{"code-reviewer", "", "claude-haiku-5-5", "up to sonnet (the agent's model)"}, // it gets no tools here
	} {
		res, err := ask(tt.agent, tt.ceiling)
		if err != nil || res.Model != tt.model || !strings.Contains(res.ModelReason, tt.says) {
			t.Errorf("%+v: got %s since %q, %v", tt, res.Model, res.ModelReason, err)
		}
	}
	before := server.Stats().Requests
	_, err := ask("typo", "")
	if _, bad := errors.AsType[*claudeforce.InputError](err); !bad || !strings.Contains(err.Error(), `"sonet" is not one of the models`) {
		t.Errorf("got %v", err)
	}
	if server.Stats().Requests != before {
		t.Error("a call was made all the same")
	}
	if res, err := orch.ExecuteAgent(t.Context(), "code-reviewer", "x"); err != nil || res.Model != "claude-sonnet-5-5" || res.ModelReason != "" {
		t.Errorf("an agent that names a model got %s, %q, %v", res.Model, res.ModelReason, err)
	}
}

// What a choice saves is what the task would have cost on the model that it would
// have been given without.
func TestCallsSayWhatTheirModelWasChosenInsteadOf(t *testing.T) {
	server := sim.New(sim.Options{})
	var tags llm.Tags
	withConfig := func(model string) *claudeforce.Orchestrator {
		return open(t, server, func(o *claudeforce.Options) {
			o.Config.Model = model
			o.OnCall = func(_ context.Context, c record.Call) { tags = c.Tags }
			for name, head := range map[string]string{
				"free": "", "auto": "model: auto", "capped": "model: opus\nmodel_ceiling: sonnet", "strange": "model: claude-mythos-5-2", "modelled": "model: sonnet",
			} {
				path := filepath.Join(o.Dir, ".claude", "agents", name+".md")
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700),
					os.WriteFile(path, []byte("---\nname: "+name+"\ndescription: d\n"+head+"\n---\nDo it.\n"), 0o600)); err != nil {
					panic(err) // a folder of the test's own
				}
			}
		})
	}
	named, auto := withConfig("fable"), withConfig("auto")
	for _, tt := range []struct {
		orch                  *claudeforce.Orchestrator
		agent, model, ceiling string
		want                  string
	}{
		{named, "free", "auto", "", "claude-fable-5-2"},
		{named, "auto", "", "", "claude-fable-5-2"},
		{named, "code-reviewer", "auto", "", "claude-sonnet-5-5"},
		{named, "code-reviewer", "auto", "opus", "claude-opus-5-5"},
		{named, "code-reviewer", "auto", "inherit", "claude-sonnet-5-5"},
		{named, "capped", "auto", "", "claude-opus-5-5"},
		{named, "strange", "auto", "", "claude-mythos-5-2"},
		{named, "code-reviewer", "", "", ""},
		{named, "free", "haiku", "", ""},
		{auto, "free", "", "", ""},
		{auto, "code-reviewer", "auto", "", "claude-sonnet-5-5"},
	} {
		tags = llm.Tags{InsteadOf: "no call"}
		if _, err := tt.orch.Execute(t.Context(), claudeforce.Task{Agent: tt.agent, Prompt: "x", Model: tt.model, Ceiling: tt.ceiling}, nil); err != nil {
			t.Fatal(err)
		}
		if tags.InsteadOf != tt.want {
			t.Errorf("%s with %q and %q: instead of %q; want %q", tt.agent, tt.model, tt.ceiling, tags.InsteadOf, tt.want)
		}
	}

	wf, err := claudeforce.ParseWorkflow("", "wf.yaml", []byte("name: one\nsteps: [{id: a, agent: code-reviewer, task: Explain, model: opus}]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := named.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{Model: "auto"}); err != nil {
		t.Fatal(err)
	}
	if tags.Step != "a" || tags.InsteadOf != "claude-opus-5-5" {
		t.Errorf("a step's call has the tags %+v", tags)
	}
}

func TestCompareModels(t *testing.T) {
	server := sim.New(sim.Options{})
	orch := open(t, server)
	tasks := []claudeforce.Task{{Agent: "python-expert", Prompt: "one"}, {Agent: "python-expert", Prompt: "two", Model: "opus"}}
	first := orch.CompareModels(t.Context(), tasks, []string{"haiku", "sonnet"}, "", nil)
	if n := server.Stats().Requests; n != 4 {
		t.Errorf("%d requests", n)
	}
	again := orch.CompareModels(t.Context(), tasks, []string{"haiku", "sonnet"}, "haiku", nil)
	if n := server.Stats().Requests; n != 6 {
		t.Errorf("%d requests after judging two tasks", n)
	}
	for i, want := range []string{"claude-haiku-5-5", "claude-sonnet-5-5"} {
		was, now := first.Models[i], again.Models[i]
		paid, _ := llm.Prices().Cost(want, first.Tasks[0].Results[i].Usage)
		more, _ := llm.Prices().Cost(want, first.Tasks[1].Results[i].Usage)
		if was.Cached != 0 || *was.CostUSD != paid+more || was.P50Seconds == nil || was.Score != nil {
			t.Errorf("%s: %+v", want, was)
		}
		if now.Cached != 2 || *now.CostUSD != 0 || *now.PerThousandUSD != *was.PerThousandUSD || *was.PerThousandUSD != (paid+more)/2*1000 ||
			now.P50Seconds != nil || now.Score == nil {
			t.Errorf("%s, again: %+v", want, now)
		}
		if first.Tasks[1].Results[i].Model != want {
			t.Errorf("asked %s", first.Tasks[1].Results[i].Model)
		}
	}
	if again.Judge == nil || again.Judge.Failed != 0 || *again.Judge.CostUSD <= 0 {
		t.Errorf("judged: %+v", again.Judge)
	}
}

func TestTaskThatCannotBeJudged(t *testing.T) {
	server := sim.New(sim.Options{})
	orch := open(t, server, func(o *claudeforce.Options) { o.Config.Cache.Enabled = false })
	server.Inject(sim.Fault{Kind: "status", Status: 400, Message: "no", Match: "Score each output", Times: 1})
	c := orch.CompareModels(t.Context(), []claudeforce.Task{{Agent: "python-expert", Prompt: "one"}, {Agent: "python-expert", Prompt: "two"}}, []string{"haiku", "sonnet"}, "opus", nil)
	if c.Judge.Failed != 1 {
		t.Fatalf("%d tasks were not judged; want 1", c.Judge.Failed)
	}
	scored := 0
	for _, task := range c.Tasks {
		if (task.Results[0].Score == nil) != (task.Results[1].Score == nil) {
			t.Error("one output of a task has a score, the other has none")
		}
		if task.Results[0].Score != nil {
			scored++
		}
	}
	if scored != 1 {
		t.Errorf("%d tasks have scores", scored)
	}
}

func TestComparisonEndsEarly(t *testing.T) {
	server := sim.New(sim.Options{})
	orch := open(t, server, jobs(1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	c := orch.CompareModels(ctx, numbered(50), []string{"haiku", "sonnet"}, "opus", func(*claudeforce.Result) {
		if n++; n == 4 {
			cancel()
		}
	})
	if len(c.Tasks) == 0 || len(c.Tasks) > 49 {
		t.Errorf("%d tasks", len(c.Tasks))
	}
	for _, task := range c.Tasks {
		if len(task.Results) != 2 {
			t.Errorf("task %s has %d results", task.ID, len(task.Results))
		}
	}
}
