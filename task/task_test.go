package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/task"
)

// newRunner returns a runner of the given agents, with the built-in prices.
func newRunner(model llm.Model, agents ...*agent.Agent) *task.Runner {
	return &task.Runner{
		Model: model,
		Agents: func(_ context.Context, name string) (*agent.Agent, error) {
			for _, a := range agents {
				if a.Name == name {
					return a, nil
				}
			}
			return nil, fault.Input(&agent.UnknownError{Name: name})
		},
		Prices:   llm.Prices(),
		Defaults: task.Defaults{Model: "haiku", MaxTokens: 1000},
	}
}

// idOf returns the id of the model that an alias stands for.
func idOf(alias string) string {
	id, _ := llm.Prices().Resolve(alias)
	return id
}

func TestRequestIsBuiltFromTaskAgentAndDefaults(t *testing.T) {
	t.Parallel()
	plain := &agent.Agent{Name: "plain"}
	full := &agent.Agent{Name: "full", Prompt: "You check code.", Model: "sonnet", MaxTokens: 500, Effort: "low"}
	r := newRunner(llmtest.Echo{}, plain, full)
	for name, c := range map[string]struct {
		task task.Task
		want *llm.Request
	}{
		"defaults": {
			task.Task{Agent: "plain", Prompt: "p"},
			&llm.Request{Model: idOf("haiku"), MaxTokens: 1000, Agent: "plain", Messages: []llm.Message{llm.UserText("p")}},
		},
		"the agent's values": {
			task.Task{Agent: "full", Prompt: "p"},
			&llm.Request{
				Model: idOf("sonnet"), MaxTokens: 500, Agent: "full", OutputConfig: json.RawMessage(`{"effort":"low"}`),
				System: []llm.Block{llm.TextBlock("You check code.")}, Messages: []llm.Message{llm.UserText("p")},
			},
		},
		"the task's values": {
			task.Task{Agent: "full", Prompt: "p", Model: "opus", MaxTokens: 7, Policy: llm.PolicyRefresh, NoRetry: true, Batch: true},
			&llm.Request{
				Model: idOf("opus"), MaxTokens: 7, Agent: "full", OutputConfig: json.RawMessage(`{"effort":"low"}`),
				System: []llm.Block{llm.TextBlock("You check code.")}, Messages: []llm.Message{llm.UserText("p")},
				Policy: llm.PolicyRefresh, Once: true, Batch: true,
			},
		},
		"inherit names no model": {
			task.Task{Agent: "plain", Prompt: "p", Model: "inherit"},
			&llm.Request{Model: idOf("haiku"), MaxTokens: 1000, Agent: "plain", Messages: []llm.Message{llm.UserText("p")}},
		},
		"shared context comes before the prompt": {
			task.Task{Agent: "plain", Prompt: "p", SharedContext: []string{"doc"}},
			&llm.Request{Model: idOf("haiku"), MaxTokens: 1000, Agent: "plain", Messages: []llm.Message{llm.UserTurn([]string{"doc"}, "p")}},
		},
	} {
		req, _, err := r.Request(t.Context(), c.task)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, req); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestTheModelBoundsTheLengthOfAnAnswer(t *testing.T) {
	t.Parallel()
	r := newRunner(llmtest.Echo{}, &agent.Agent{Name: "a"})
	req, _, err := r.Request(t.Context(), task.Task{Agent: "a", Prompt: "p", MaxTokens: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	info, ok := r.Prices.Info(req.Model)
	if !ok || req.MaxTokens != info.MaxOutput {
		t.Errorf("max_tokens %d; want the model's %d", req.MaxTokens, info.MaxOutput)
	}
}

func TestInvalidTasksMakeNoCall(t *testing.T) {
	t.Parallel()
	script := llmtest.NewScript(llmtest.Answer("fine"))
	r := newRunner(script, &agent.Agent{Name: "a"})
	for name, c := range map[string]struct {
		task task.Task
		want string
	}{
		"no such agent":      {task.Task{Agent: "b", Prompt: "p"}, `no agent "b"`},
		"empty prompt":       {task.Task{Agent: "a", Prompt: " \n"}, "the task for a is empty"},
		"no folder for them": {task.Task{Agent: "a", Prompt: "p", Files: []string{"x.go"}}, "no folder"},
	} {
		res := r.Run(t.Context(), c.task, nil)
		if _, input := errors.AsType[*fault.InputError](res.Err); !input || !strings.Contains(res.Err.Error(), c.want) {
			t.Errorf("%s: %v; want an input error with %q", name, res.Err, c.want)
		}
		if res.Status != task.StatusFailed || res.Error == nil || res.Calls != 0 {
			t.Errorf("%s: %+v", name, res)
		}
	}
	if n := script.Started(); n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestFilesComeAfterTheSharedContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte("package x"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := attach.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	r := newRunner(llmtest.Echo{}, &agent.Agent{Name: "a"})
	r.Files = files
	shared := make([]string, 1, 8) // room that the runner must not write into
	shared[0] = "doc"
	res := r.Run(t.Context(), task.Task{
		Agent: "a", Prompt: "the question", SharedContext: shared, Files: []string{"*.go"},
		Attachments: []attach.File{{Path: "given.txt", Content: "given"}},
	}, nil)
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	last := -1
	for _, part := range []string{"doc", "given", "package x", "the question"} {
		at := strings.Index(res.Output, part)
		if at <= last {
			t.Errorf("%q is at %d, not after what comes before it:\n%s", part, at, res.Output)
		}
		last = at
	}
	if got := shared[:2][1]; got != "" {
		t.Errorf("the caller's slice was written to: %q", got)
	}
}

func TestResultHoldsTheAnswerAndItsCost(t *testing.T) {
	t.Parallel()
	answer := llmtest.Response("all of it")
	answer.Model = idOf("haiku")
	answer.Source = llm.SourceLive
	answer.Usage = llm.Usage{InputTokens: 1000, OutputTokens: 100}
	steps := []llmtest.Step{llmtest.Start(), llmtest.Text("all "), llmtest.Text("of it"), llmtest.Done(answer)}
	r := newRunner(llmtest.NewScript(steps), &agent.Agent{Name: "a"})
	var pieces []string
	res := r.Run(t.Context(), task.Task{ID: "7", Agent: "a", Prompt: "p"}, func(piece string) { pieces = append(pieces, piece) })
	cost, ok := r.Prices.Cost(answer.Model, answer.Usage)
	want := &task.Result{ID: "7", Agent: "a", Status: task.StatusCompleted, DurationSeconds: res.DurationSeconds, Outcome: llm.Outcome{
		Output: "all of it", Model: answer.Model, Source: llm.SourceLive, StopReason: answer.StopReason,
		Usage: answer.Usage, CostUSD: &cost, Calls: 1,
	}}
	if diff := cmp.Diff(want, res); diff != "" || !ok || cost == 0 {
		t.Errorf("cost %v, (-want +got)\n%s", cost, diff)
	}
	if diff := cmp.Diff([]string{"all ", "of it"}, pieces); diff != "" {
		t.Errorf("pieces: %s", diff)
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		model  string
		source llm.Source
		want   *float64
	}{
		"cached":    {idOf("haiku"), llm.SourceCache, new(0.0)},
		"coalesced": {idOf("haiku"), llm.SourceCoalesced, new(0.0)},
		"no price":  {"model-of-tomorrow", llm.SourceLive, nil},
	} {
		answer := llmtest.Response("x")
		answer.Model, answer.Source = c.model, c.source
		r := newRunner(llmtest.NewScript([]llmtest.Step{llmtest.Done(answer)}), &agent.Agent{Name: "a"})
		res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "p"}, nil)
		if diff := cmp.Diff(c.want, res.CostUSD); diff != "" || res.Err != nil {
			t.Errorf("%s: %v, %s", name, res.Err, diff)
		}
	}
}

func TestFailuresKeepWhatCameBefore(t *testing.T) {
	t.Parallel()
	refusal := llmtest.Response("I would rather not")
	refusal.StopReason = llm.StopRefusal
	full := llmtest.Response("I would")
	full.StopReason = llm.StopContextWindow
	for name, c := range map[string]struct {
		steps  []llmtest.Step
		output string
		code   llm.Code
		status task.Status
		free   bool // costs $0 for sure
	}{
		"cut stream":   {[]llmtest.Step{llmtest.Text("half")}, "half", llm.CodeIncomplete, task.StatusFailed, false},
		"error amid":   {[]llmtest.Step{llmtest.Text("half"), llmtest.FailCode(llm.CodeServer)}, "half", llm.CodeServer, task.StatusFailed, false},
		"rate limited": {[]llmtest.Step{llmtest.FailCode(llm.CodeRateLimit)}, "", llm.CodeRateLimit, task.StatusFailed, true},
		"declined":     {[]llmtest.Step{llmtest.Done(refusal)}, "I would rather not", llm.CodeInvalid, task.StatusFailed, false},
		"canceled":     {[]llmtest.Step{llmtest.Text("half"), llmtest.FailCode(llm.CodeCanceled)}, "half", llm.CodeCanceled, task.StatusFailed, false},
		"too long":     {[]llmtest.Step{llmtest.Done(full)}, "I would", llm.CodeTooLarge, task.StatusFailed, false},
		"no text":      {[]llmtest.Step{llmtest.Done(llmtest.Response(" \n"))}, " \n", llm.CodeOutput, task.StatusFailed, false},
	} {
		res := newRunner(llmtest.NewScript(c.steps), &agent.Agent{Name: "a"}).Run(t.Context(), task.Task{Agent: "a", Prompt: "p"}, nil)
		if res.Status != c.status || llm.CodeOf(res.Err) != c.code || res.Error == nil || res.Output != c.output {
			t.Errorf("%s: %v, status %s, output %q", name, res.Err, res.Status, res.Output)
		}
		if free := res.CostUSD != nil && *res.CostUSD == 0; free != c.free {
			t.Errorf("%s: cost %v; want free %t", name, res.CostUSD, c.free)
		}
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		task task.Task
		want time.Duration
	}{
		"default":    {task.Task{}, time.Minute},
		"the task's": {task.Task{Timeout: time.Second}, time.Second},
		"of a batch": {task.Task{Timeout: time.Second, Batch: true}, 24 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRunner(llmtest.NewScript([]llmtest.Step{llmtest.Hang()}), &agent.Agent{Name: "a"})
			r.Defaults.Timeout, r.Defaults.BatchTimeout = time.Minute, 24*time.Hour
			c.task.Agent, c.task.Prompt = "a", "p"
			start := time.Now()
			res := r.Run(t.Context(), c.task, nil)
			if took := time.Since(start); took != c.want || llm.CodeOf(res.Err) != llm.CodeTimeout || res.DurationSeconds != c.want.Seconds() {
				t.Errorf("%s: %v after %v; want a timeout after %v", name, res.Err, took, c.want)
			}
		})
	}
}

func TestCutAnswersAreReported(t *testing.T) {
	t.Parallel()
	cut := llmtest.Response("the begin")
	cut.StopReason = llm.StopMaxTokens
	r := newRunner(llmtest.NewScript([]llmtest.Step{llmtest.Done(cut)}), &agent.Agent{Name: "a"})
	var notices []string
	r.OnNotice = func(_ context.Context, text string) { notices = append(notices, text) }
	res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "p"}, nil)
	if res.Err != nil || len(notices) != 1 || !strings.Contains(notices[0], "cut at 1000 tokens") {
		t.Errorf("%v, notices %q", res.Err, notices)
	}
}

const noteSchema = `{"type":"object","required":["note"],"properties":{"note":{"type":"string"}},"additionalProperties":false}`

// TestSchemas gives answers that obey the schema at once, after a repair, or
// never.
func TestSchemas(t *testing.T) {
	t.Parallel()
	bad, good := llmtest.Answer("the note is x"), llmtest.Answer(`{"note":"x"}`)
	cut := llmtest.Response(`{"note":"x`)
	cut.StopReason = llm.StopMaxTokens
	for name, c := range map[string]struct {
		calls   [][]llmtest.Step
		noRetry bool
		output  string
		made    int
		code    llm.Code
	}{
		"obeys":              {calls: [][]llmtest.Step{good}, output: `{"note":"x"}`, made: 1},
		"within a fence":     {calls: [][]llmtest.Step{llmtest.Answer("Here:\n```json\n{\"note\":\"x\"}\n```\n")}, output: `{"note":"x"}`, made: 1},
		"repaired":           {calls: [][]llmtest.Step{bad, good}, output: `{"note":"x"}`, made: 2},
		"cannot be repaired": {calls: [][]llmtest.Step{bad, bad}, output: "the note is x", made: 2, code: llm.CodeOutput},
		"the repair fails":   {calls: [][]llmtest.Step{bad, {llmtest.FailCode(llm.CodeServer)}}, output: "the note is x", made: 2, code: llm.CodeServer},
		"the repair is canceled": {
			calls: [][]llmtest.Step{bad, {llmtest.FailCode(llm.CodeCanceled)}}, output: "the note is x", made: 2, code: llm.CodeCanceled,
		},
		"never retried": {calls: [][]llmtest.Step{bad, good}, noRetry: true, output: "the note is x", made: 1, code: llm.CodeOutput},
		"cut":           {calls: [][]llmtest.Step{{llmtest.Done(cut)}, good}, output: `{"note":"x`, made: 1, code: llm.CodeOutput},
	} {
		script := llmtest.NewScript(c.calls...)
		r := newRunner(script, &agent.Agent{Name: "a", Model: "opus"})
		res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "p", Schema: json.RawMessage(noteSchema), NoRetry: c.noRetry}, nil)
		if res.Output != c.output || (res.Err != nil) != (c.code != 0) || c.code != 0 && llm.CodeOf(res.Err) != c.code {
			t.Errorf("%s: %q, %v", name, res.Output, res.Err)
		}
		if script.Started() != c.made || res.Calls != c.made {
			t.Errorf("%s: %d calls, %d in the result; want %d", name, script.Started(), res.Calls, c.made)
		}
		if requests := script.Requests(); len(requests) == 2 && requests[1].Model != idOf(task.RepairModel) {
			t.Errorf("%s: repaired by %s", name, requests[1].Model)
		}
	}
}

// TestCachedAnswersDoNotFailTasks gives the answers that the cache kept of a task
// that failed: the task is given to the model again.
func TestCachedAnswersDoNotFailTasks(t *testing.T) {
	t.Parallel()
	cached := func(text string) []llmtest.Step {
		answer := llmtest.Response(text)
		answer.Source = llm.SourceCache
		return []llmtest.Step{llmtest.Done(answer)}
	}
	script := llmtest.NewScript(cached("no"), cached("no"), llmtest.Answer(`{"note":"x"}`))
	r := newRunner(script, &agent.Agent{Name: "a"})
	res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "p", Schema: json.RawMessage(noteSchema)}, nil)
	if res.Err != nil || res.Output != `{"note":"x"}` || res.Calls != 3 {
		t.Errorf("%d calls, %q, %v", res.Calls, res.Output, res.Err)
	}
	for i, req := range script.Requests() {
		if want := []llm.Policy{llm.PolicyDefault, llm.PolicyDefault, llm.PolicyRefresh}[i]; req.Policy != want {
			t.Errorf("call %d has the policy %q, want %q", i+1, req.Policy, want)
		}
	}
}

func TestInterruptedIsWhoseContextEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	stop := llmtest.Do(func(context.Context, *llm.Request) { cancel() })
	r := newRunner(llmtest.NewScript([]llmtest.Step{llmtest.Text("half"), stop, llmtest.Hang()}), &agent.Agent{Name: "a"})
	if res := r.Run(ctx, task.Task{Agent: "a", Prompt: "p"}, nil); res.Status != task.StatusInterrupted || res.Output != "half" {
		t.Errorf("%s, %q", res.Status, res.Output)
	}
}

func TestRepairAddsUsageAndCost(t *testing.T) {
	t.Parallel()
	priced := func(text string) []llmtest.Step {
		answer := llmtest.Response(text)
		answer.Model, answer.Source, answer.Usage = idOf("haiku"), llm.SourceLive, llm.Usage{InputTokens: 100, OutputTokens: 10}
		return []llmtest.Step{llmtest.Done(answer)}
	}
	r := newRunner(llmtest.NewScript(priced("no"), priced(`{"note":"x"}`)), &agent.Agent{Name: "a"})
	res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "p", Schema: json.RawMessage(noteSchema)}, nil)
	one, _ := r.Prices.Cost(idOf("haiku"), llm.Usage{InputTokens: 100, OutputTokens: 10})
	if res.Err != nil || res.Usage.InputTokens != 200 || res.CostUSD == nil || *res.CostUSD != one+one {
		t.Errorf("%v, %+v, cost %v; want %v", res.Err, res.Usage, res.CostUSD, 2*one)
	}
}

func TestSchemaThatTheServiceTakesIsSentElseStated(t *testing.T) {
	t.Parallel()
	r := newRunner(llmtest.Echo{}, &agent.Agent{Name: "a"})
	open := `{"type":"object","additionalProperties":true}`
	for schema, sent := range map[string]bool{noteSchema: true, open: false} {
		req, _, err := r.Request(t.Context(), task.Task{Agent: "a", Prompt: "p", Schema: json.RawMessage(schema)})
		if err != nil {
			t.Fatal(err)
		}
		stated := strings.Contains(llmtest.EchoText(req), schema)
		if got := strings.Contains(string(req.OutputConfig), "json_schema"); got != sent || stated == sent {
			t.Errorf("%s: sent %t, stated %t", schema, got, stated)
		}
	}
}

func TestAutoSelectsWithinTheCeiling(t *testing.T) {
	t.Parallel()
	bounded := &agent.Agent{Name: "bounded", Model: "auto", ModelCeiling: "sonnet", ModelFloor: "sonnet"}
	open := &agent.Agent{Name: "open", Model: "auto"}
	r := newRunner(llmtest.Echo{}, bounded, open)
	_, selection, err := r.Request(t.Context(), task.Task{Agent: "bounded", Prompt: "p"})
	if err != nil || selection.ID != idOf("sonnet") || selection.Reason == "" {
		t.Errorf("floor and ceiling are sonnet: %+v, %v", selection, err)
	}
	_, selection, err = r.Request(t.Context(), task.Task{Agent: "open", Prompt: "p", Ceiling: "haiku"})
	if err != nil || selection.ID != idOf("haiku") || selection.InsteadOf != idOf("haiku") {
		t.Errorf("the task's ceiling is haiku: %+v, %v", selection, err)
	}
	named, selection, err := r.Request(t.Context(), task.Task{Agent: "open", Prompt: "p", Model: "opus"})
	if err != nil || named.Model != idOf("opus") || selection.Reason != "" {
		t.Errorf("the task names opus: %+v, %v", selection, err)
	}
	impossible := &agent.Agent{Name: "impossible", Model: "auto", ModelCeiling: "haiku", ModelFloor: "no-such-model"}
	if err := newRunner(llmtest.Echo{}, impossible).CheckModel(t.Context(), task.Task{Agent: "impossible"}); err == nil {
		t.Error("a floor that is no model passed the check")
	}
}

func TestIdentityChangesWithWhatChangesTheAnswer(t *testing.T) {
	t.Parallel()
	a := &agent.Agent{Name: "a", Prompt: "one"}
	r := newRunner(llmtest.Echo{}, a, &agent.Agent{Name: "auto", Model: "auto"})
	base, err := r.Identity(t.Context(), task.Task{Agent: "a", Prompt: "p"})
	if err != nil {
		t.Fatal(err)
	}
	same, err := r.Identity(t.Context(), task.Task{Agent: "a", Prompt: "another prompt", Timeout: time.Hour, Policy: llm.PolicyRefresh})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(base, same); diff != "" || base.Varies {
		t.Errorf("the prompt is no part of it: %s", diff)
	}
	for name, changed := range map[string]task.Task{
		"model":      {Agent: "a", Model: "opus"},
		"max_tokens": {Agent: "a", MaxTokens: 5},
		"schema":     {Agent: "a", Schema: json.RawMessage(noteSchema)},
	} {
		id, err := r.Identity(t.Context(), changed)
		if err != nil || id.Parts[name] == base.Parts[name] {
			t.Errorf("%s: %v, %v", name, id.Parts, err)
		}
	}
	if id, err := r.Identity(t.Context(), task.Task{Agent: "auto", Prompt: "p"}); err != nil || !id.Varies {
		t.Errorf("auto: %+v, %v", id, err)
	}
	if id, err := r.NamedIdentity(t.Context(), task.Task{Agent: "auto", Prompt: "p"}); err != nil || !id.Varies || id.Parts != nil {
		t.Errorf("auto, named: %+v, %v", id, err)
	}
}

func TestCachePolicy(t *testing.T) {
	t.Parallel()
	r := newRunner(llmtest.Echo{}, &agent.Agent{Name: "a"}, &agent.Agent{Name: "creative", NoCache: true}, &agent.Agent{Name: "excluded"})
	r.Defaults.NoCache = []string{"excluded"}
	for name, want := range map[string]llm.Policy{"a": llm.PolicyRefresh, "creative": llm.PolicyOff, "excluded": llm.PolicyOff, "unknown": llm.PolicyRefresh} {
		if got := r.CachePolicy(t.Context(), task.Task{Agent: name, Policy: llm.PolicyRefresh}); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
}

func TestCallsCarryTheTasksID(t *testing.T) {
	t.Parallel()
	var tags llm.Tags
	see := llmtest.Do(func(ctx context.Context, _ *llm.Request) { tags = llm.TagsOf(ctx) })
	r := newRunner(llmtest.NewScript(append([]llmtest.Step{see}, llmtest.Answer("x")...)), &agent.Agent{Name: "a"})
	ctx := llm.WithTags(t.Context(), llm.Tags{Run: "run_1"})
	if res := r.Run(ctx, task.Task{ID: "t1", Agent: "a", Prompt: "p"}, nil); res.Err != nil {
		t.Fatal(res.Err)
	}
	if tags.Task != "t1" || tags.Run != "run_1" {
		t.Errorf("tags %+v", tags)
	}
}

// TestOwnContextIsNotShared gives a task material of its own after what others are
// given too: only the latter is marked for the prompt cache.
func TestOwnContextIsNotShared(t *testing.T) {
	t.Parallel()
	r := newRunner(llmtest.Echo{}, &agent.Agent{Name: "a"})
	for own, want := range []string{"ssst", "ssot", "soot", "ooot"} {
		task := task.Task{Agent: "a", Prompt: "p", SharedContext: []string{"x", "", "y", "z"}, Own: own}
		if own == 3 {
			task.Own = 4
		}
		req, _, err := r.Request(t.Context(), task)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, b := range req.Messages[0].Content {
			switch {
			case b.Shared:
				got += "s"
			case i == len(req.Messages[0].Content)-1:
				got += "t"
			default:
				got += "o"
			}
		}
		if got != want {
			t.Errorf("%d of its own: %s, want %s", task.Own, got, want)
		}
	}
}
