package task_test

import (
	"context"
	"encoding/json"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/task"
)

// delayed returns next with each call waiting for d first, as for a slot.
func delayed(next llm.Model, d time.Duration) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			time.Sleep(d)
			next.Stream(ctx, req)(yield)
		}
	})
}

// A task tells apart what it waited and what the service took, over all its calls.
func TestTimesAreSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func(text string) []llmtest.Step {
			resp := llmtest.Response(text)
			resp.Model = idOf("haiku")
			return []llmtest.Step{llmtest.Wait(500 * time.Millisecond), llmtest.Text(text), llmtest.Wait(250 * time.Millisecond), llmtest.Done(resp)}
		}
		script := llmtest.NewScript(answer("no"), answer(`{"note":"x"}`))
		model := record.New(delayed(record.Attempts(script, record.AttemptOptions{}), 2*time.Second), record.Options{Metered: true}, func(context.Context, record.Call) {})
		r := newRunner(model, &agent.Agent{Name: "a"})
		res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "p", Schema: json.RawMessage(noteSchema)}, nil)
		if res.Err != nil {
			t.Fatal(res.Err)
		}
		want := llm.Timing{WaitedSeconds: 4, FirstTokenSeconds: 0.5, ServiceSeconds: 1.5,
			InFlight: []llm.Span{{AtSeconds: 2, Seconds: 0.75}, {AtSeconds: 4.75, Seconds: 0.75}}}
		if diff := cmp.Diff(want, res.Timing); diff != "" || res.DurationSeconds != 5.5 {
			t.Errorf("took %v s (-want +got):\n%s", res.DurationSeconds, diff)
		}
	})
}

// A call that only waited says so.
func TestTimesOfATaskThatOnlyWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := llm.ModelFunc(func(context.Context, *llm.Request) iter.Seq2[llm.Event, error] {
			return func(yield func(llm.Event, error) bool) {
				yield(llm.Event{}, llm.NewError(llm.CodeTimeout, "no slot became free", nil))
			}
		})
		model := record.New(delayed(refused, 3*time.Second), record.Options{Metered: true}, func(context.Context, record.Call) {})
		res := newRunner(model, &agent.Agent{Name: "a"}).Run(t.Context(), task.Task{Agent: "a", Prompt: "p"}, nil)
		if diff := cmp.Diff(llm.Timing{WaitedSeconds: 3}, res.Timing); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
