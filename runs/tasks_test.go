package runs_test

import (
	"context"
	"encoding/json"
	"reflect"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// TestTasksArriveAsWritten runs lists of tasks as workflows: each task must reach its
// agent as it was written, exactly once.
func TestTasksArriveAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"null", "1.10", "01234", "${{ item.id }}", "${{ params.x", " # no comment", "a: b", "- a", "\r\n\ttab", "</step>", "\u2028\ufeff", "{}", "[1]", "~", "yes", "'", `"\`,
		}))
		tasks := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) runs.Task {
			return runs.Task{
				ID: text.Draw(t, "id"), Agent: rapid.SampledFrom([]string{"linter", "python-expert", "a:b", "é", "linter-2", "ßß", "9"}).Draw(t, "agent"),
				Prompt: "x" + text.Draw(t, "prompt"), Model: rapid.SampledFrom([]string{"", "sonnet"}).Draw(t, "model"),
				Files: rapid.SliceOfN(rapid.SampledFrom([]string{"a.txt", "b/*.go"}), 0, 2).Draw(t, "files"),
				Settings: rapid.SampledFrom([]runs.TaskSettings{
					{}, {MaxTokens: 7}, {MaxTokens: 8, Timeout: "1m30s", Allow: []string{}}, {Schema: json.RawMessage(`{"type":"object"}`), Temperature: new(0.0)},
				}).Draw(t, "settings"),
			}
		}), 1, 12).Draw(t, "tasks")
		source, params, err := runs.TasksWorkflow("execute "+text.Draw(t, "name"), tasks)
		if err != nil {
			t.Fatal(err)
		}
		wf, err := workflow.Parse("tasks", source, workflow.Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, source)
		}
		bound, err := wf.BindParams(params)
		if err != nil {
			t.Fatal(err)
		}
		refs, err := (&runs.Spec{Tasks: true, Params: params}).TaskRefs()
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex // guards got
		got := map[string]map[string]engine.Attempt{}
		seen := map[int]bool{}
		_, err = engine.Run(context.Background(), wf, engine.Options{
			Params: bound,
			Attach: func(_ context.Context, patterns []string) (engine.Attached, error) {
				data, err := json.Marshal(patterns)
				return engine.Attached{Text: string(data)}, err
			},
			Execute: func(_ context.Context, a engine.Attempt) (llm.Outcome, error) {
				mu.Lock()
				defer mu.Unlock()
				if got[a.Path] == nil {
					got[a.Path] = map[string]engine.Attempt{}
				}
				got[a.Path][a.Item] = a
				return llm.Outcome{CostUSD: new(0.0)}, nil
			},
			Observe: func(_ context.Context, ev engine.Event) {
				ref, ok := refs.Of(ev)
				if !ok || ev.Status != engine.StatusCompleted {
					return
				}
				want := tasks[ref.Number]
				mu.Lock()
				a := got[ev.Path][ev.Item]
				mu.Unlock()
				files := ""
				if len(a.Shared) > 0 {
					files = a.Shared[0]
				}
				var patterns []string
				if files != "" {
					if err := json.Unmarshal([]byte(files), &patterns); err != nil {
						t.Error(err)
					}
				}
				same := len(patterns) == len(want.Files)
				for i := range patterns {
					same = same && patterns[i] == want.Files[i]
				}
				if seen[ref.Number] || ref.ID != want.ID || a.Task != want.Prompt || a.Step.Agent != want.Agent || a.Step.Model != want.Model || !same {
					t.Errorf("task %d: got %q %q %q %s; want %+v", ref.Number, a.Step.Agent, a.Step.Model, a.Task, files, want)
				}
				timeout := ""
				if a.Step.Timeout > 0 {
					timeout = a.Step.Timeout.String()
				}
				set := runs.TaskSettings{MaxTokens: a.Step.MaxTokens, Timeout: timeout, Allow: a.Step.Allow, Schema: a.Step.Schema, Temperature: a.Step.Temperature}
				if !reflect.DeepEqual(set, want.Settings) {
					t.Errorf("task %d has %+v; want %+v", ref.Number, set, want.Settings)
				}
				seen[ref.Number] = true
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) != len(tasks) {
			t.Errorf("%d of %d tasks ran", len(seen), len(tasks))
		}
	})
}
