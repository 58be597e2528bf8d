package task_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/task"
)

func numbered(n int) []task.Task {
	tasks := make([]task.Task, n)
	for i := range tasks {
		tasks[i] = task.Task{Agent: "a", Prompt: fmt.Sprint("task ", i+1)}
	}
	return tasks
}

func TestRunAllYieldsInOrderAndKeepsToItsSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		script := llmtest.NewScript([]llmtest.Step{llmtest.Wait(time.Second), llmtest.Done(llmtest.Response("x"))})
		r := newRunner(script, &agent.Agent{Name: "a"})
		r.Slots = 4
		start := time.Now()
		var ids []string
		for res := range r.RunAll(t.Context(), slices.Values(numbered(12)), task.AllOptions{}) {
			ids = append(ids, res.ID)
		}
		if want := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}; !slices.Equal(ids, want) {
			t.Errorf("yielded %v", ids)
		}
		if took := time.Since(start); took != 3*time.Second || script.MaxInFlight() != 4 {
			t.Errorf("took %v with %d in flight; want 3s with 4", took, script.MaxInFlight())
		}
	})
}

func TestRunAllUnorderedYieldsAsTasksEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		slow := llmtest.Do(func(_ context.Context, req *llm.Request) {
			if strings.Contains(llmtest.EchoText(req), "task 1") {
				<-released
			}
		})
		r := newRunner(llmtest.NewScript([]llmtest.Step{slow, llmtest.Done(llmtest.Response("x"))}), &agent.Agent{Name: "a"})
		r.Slots = 3
		var ids []string
		for res := range r.RunAll(t.Context(), slices.Values(numbered(3)), task.AllOptions{Unordered: true}) {
			if ids = append(ids, res.ID); len(ids) == 2 {
				close(released)
			}
		}
		if len(ids) != 3 || ids[2] != "1" {
			t.Errorf("yielded %v; want the slow one last", ids)
		}
	})
}

func TestRunAllStopsWithItsConsumer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := llmtest.NewScript(llmtest.Answer("x"), []llmtest.Step{llmtest.Hang()})
		r := newRunner(hang, &agent.Agent{Name: "a"})
		r.Slots = 2
		for res := range r.RunAll(t.Context(), slices.Values(numbered(100)), task.AllOptions{Unordered: true}) {
			if res.Err != nil {
				t.Error(res.Err)
			}
			break
		}
		if n := hang.InFlight(); n != 0 {
			t.Errorf("%d calls are in flight after the sequence ended", n)
		}
		if n := hang.Started(); n > 5 {
			t.Errorf("%d calls started for one result", n)
		}
	})
}

func TestRunAllCallbacksNameTheirTask(t *testing.T) {
	t.Parallel()
	r := newRunner(llmtest.Echo{}, &agent.Agent{Name: "a"})
	var mu sync.Mutex    // OnText is called by several tasks at once
	var started []string // OnStart is called for one task at a time
	texts := map[string]string{}
	opts := task.AllOptions{
		OnStart: func(_ context.Context, t task.Task) { started = append(started, t.ID) },
		OnText: func(_ context.Context, t task.Task, piece string) {
			mu.Lock()
			defer mu.Unlock()
			texts[t.ID] += piece
		},
	}
	tasks := []task.Task{{ID: "mine", Agent: "a", Prompt: "p"}, {Agent: "a", Prompt: "q"}}
	for res := range r.RunAll(t.Context(), slices.Values(tasks), opts) {
		mu.Lock()
		got := texts[res.ID]
		mu.Unlock()
		if got != res.Output {
			t.Errorf("task %s: pieces %q, output %q", res.ID, got, res.Output)
		}
	}
	if !slices.Equal(started, []string{"mine", "2"}) {
		t.Errorf("started %v", started)
	}
}
