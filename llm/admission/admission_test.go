package admission_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	// One slot: a slot that is not given back stops the suite.
	llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
		return admission.New(next, admission.NewGate(1))
	})
}

// lasting returns an answer that takes d.
func lasting(d time.Duration) []llmtest.Step {
	return append([]llmtest.Step{llmtest.Wait(d)}, llmtest.Answer("done")...)
}

func TestLimitAcrossPipelines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript(lasting(time.Second))
		gate := admission.NewGate(3)
		models := []llm.Model{admission.New(next, gate), admission.New(next, gate)}
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if _, err := llm.Collect(models[i%2].Stream(t.Context(), llmtest.Request("Go."))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if gate.InFlight() != 3 || gate.Waiting() != 7 || gate.Limit() != 3 {
			t.Errorf("in flight %d, waiting %d of limit %d; want 3, 7 of 3", gate.InFlight(), gate.Waiting(), gate.Limit())
		}
		wg.Wait()
		if d := time.Since(begin); d != 4*time.Second || next.MaxInFlight() != 3 {
			t.Errorf("10 calls of 1s took %v, at most %d at once; want 4s, 3", d, next.MaxInFlight())
		}
		if gate.InFlight() != 0 || gate.Waiting() != 0 {
			t.Errorf("in flight %d, waiting %d at the end; want 0, 0", gate.InFlight(), gate.Waiting())
		}
	})
}

func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript(lasting(time.Minute))
		m := admission.New(next, admission.NewGate(1))
		var want []string
		var wg sync.WaitGroup
		for i := range 8 {
			text := fmt.Sprint("caller ", i)
			want = append(want, text)
			wg.Go(func() {
				if _, err := llm.Collect(m.Stream(t.Context(), llmtest.Request(text))); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		var got []string
		for _, req := range next.Requests() {
			got = append(got, req.Messages[0].Content[0].Text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("admitted %q, want %q", got, want)
		}
	})
}

func TestWaiterLeavesWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript(lasting(time.Hour))
		gate := admission.NewGate(1)
		m := admission.New(next, gate)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := llm.Collect(m.Stream(t.Context(), llmtest.Request("long"))); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := llm.Collect(m.Stream(ctx, llmtest.Request("impatient")))
		if d := time.Since(begin); llm.CodeOf(err) != llm.CodeTimeout || d != time.Second {
			t.Errorf("waiting call ended after %v with %v, want a timeout after 1s", d, err)
		}
		if gate.Waiting() != 0 || gate.InFlight() != 1 || next.Started() != 1 {
			t.Errorf("waiting %d, in flight %d, started %d; want 0, 1, 1", gate.Waiting(), gate.InFlight(), next.Started())
		}
		wg.Wait()
	})
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, -1} {
		if got := admission.NewGate(limit).Limit(); got != admission.DefaultLimit {
			t.Errorf("NewGate(%d).Limit() = %d, want %d", limit, got, admission.DefaultLimit)
		}
	}
	if got := llmtest.MustCollect(t, admission.New(llmtest.Echo{}, nil), llmtest.Request("hi")).Text(); got != "echo: hi" {
		t.Errorf("answer with a nil gate = %q", got)
	}
}

func BenchmarkAdmission(b *testing.B) {
	llmtest.Bench(b, func(next llm.Model) llm.Model { return admission.New(next, nil) })
}
