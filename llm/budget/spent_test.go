package budget_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestExceeded(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript(llmtest.Answer("yes"))
	var reported []*budget.ExceededError
	b := budget.New(&budget.Memory{}, budget.Options{OnExceeded: func(e *budget.ExceededError) { reported = append(reported, e) }})
	limit := worst(t).Money - 1
	_, err := collect(t.Context(), model(b, run(budget.Limits{Money: limit}), next))
	e, ok := errors.AsType[*budget.ExceededError](err)
	if !ok || llm.CodeOf(err) != llm.CodeSpendLimit || next.Started() != 0 {
		t.Fatalf("%d calls were made, the error is %v", next.Started(), err)
	}
	want := &budget.ExceededError{Scope: run(budget.Limits{Money: limit}), Kind: budget.Dollars, Limit: int64(limit), Needed: int64(limit) + 1}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if len(reported) != 1 || reported[0] != e {
		t.Errorf("reported: %+v", reported)
	}
	for _, part := range []string{"run r", limit.String(), "raise the limit"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	wantBalance(t, b, budget.Balance{})
}

// TestSpent checks that a scope of which everything is spent is reported when the call
// that spent the rest has ended, before any is refused, and not while something is left.
func TestSpent(t *testing.T) {
	t.Parallel()
	one := cost(t, "yes")
	for name, c := range map[string]struct {
		limits budget.Limits
		calls  int
		want   []string // after each call
	}{
		"calls":            {budget.Limits{Calls: 2}, 3, []string{"", "calls 2 of 2", "calls 2 of 2"}},
		"calls are left":   {budget.Limits{Calls: 3}, 2, []string{"", ""}},
		"dollars are left": {budget.Limits{Money: worst(t).Money + one.Money - 1}, 2, []string{"", ""}},
		"no limit":         {budget.Limits{}, 2, []string{"", ""}},
		"calls and money":  {budget.Limits{Money: llm.Dollar, Calls: 1}, 1, []string{"calls 1 of 1"}},
	} {
		var reported []string
		b := budget.New(&budget.Memory{}, budget.Options{OnExceeded: func(e *budget.ExceededError) {
			text := string(e.Kind)
			if e.Kind == budget.Calls {
				text = fmt.Sprintf("%s %d of %d", e.Kind, e.Spent, e.Limit)
			}
			if e.Scope.Level != budget.Run {
				t.Errorf("%s: reported %s", name, e.Scope)
			}
			reported = append(reported, text)
		}})
		m := model(b, run(c.limits), llmtest.NewScript(llmtest.Answer("yes")))
		for i := range c.calls {
			reported = nil
			_, _ = collect(t.Context(), m) // some are refused
			if got := strings.Join(reported, ", "); got != c.want[i] {
				t.Errorf("%s: after call %d reported %q, want %q", name, i+1, got, c.want[i])
			}
		}
	}
}

// TestSpentByAnother checks that what is reported does not depend on which of the calls in
// flight ends last, and that more than was reserved is reported as it is billed.
func TestSpentByAnother(t *testing.T) {
	t.Parallel()
	var reported []budget.ExceededError
	b := budget.New(&budget.Memory{}, budget.Options{OnExceeded: func(e *budget.ExceededError) { reported = append(reported, *e) }})
	one, two := llmtest.Answer("one"), llmtest.Answer("two")
	first := llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			// Another call begins and ends while this one is in flight.
			if _, err := collect(ctx, model(b, run(budget.Limits{Calls: 2}), llmtest.NewScript(two))); err != nil {
				t.Error(err)
			}
			if len(reported) != 0 {
				t.Errorf("reported while a call is in flight: %+v", reported)
			}
			llmtest.NewScript(one).Stream(ctx, req)(yield)
		}
	})
	if _, err := collect(t.Context(), model(b, run(budget.Limits{Calls: 2}), first)); err != nil {
		t.Fatal(err)
	}
	if len(reported) != 1 || reported[0].Kind != budget.Calls || reported[0].Spent != 2 {
		t.Errorf("reported: %+v", reported)
	}
}

// TestReportedByWhatWasBilled checks that a scope is reported that the service has billed
// everything of, above what was reserved, and one whose rest cuts an answer.
func TestReportedByWhatWasBilled(t *testing.T) {
	t.Parallel()
	dear, cut := llmtest.Response("yes"), llmtest.Response("yes")
	dear.Usage.OutputTokens = 10_000_000
	cut.StopReason = llm.StopMaxTokens
	one := cost(t, "yes")
	for name, c := range map[string]struct {
		limits  budget.Limits
		action  budget.Action
		answers []*llm.Response
		kind    budget.Kind
	}{
		"overbilled":      {budget.Limits{Money: 2 * worst(t).Money}, "", []*llm.Response{dear}, budget.Dollars},
		"cut":             {budget.Limits{Tokens: worst(t).Tokens + one.Tokens - 100}, "", []*llm.Response{llmtest.Response("yes"), cut}, budget.Tokens},
		"cut and is kept": {budget.Limits{Tokens: worst(t).Tokens + one.Tokens - 100}, budget.ActionPartial, []*llm.Response{llmtest.Response("yes"), cut}, budget.Tokens},
	} {
		var reported []*budget.ExceededError
		b := budget.New(&budget.Memory{}, budget.Options{OnExceeded: func(e *budget.ExceededError) { reported = append(reported, e) }})
		s := run(c.limits)
		s.OnBreach = c.action
		var script [][]llmtest.Step
		for _, answer := range c.answers {
			script = append(script, []llmtest.Step{llmtest.Done(answer)})
		}
		m := model(b, s, llmtest.NewScript(script...))
		for i := range c.answers {
			if len(reported) > 0 {
				t.Errorf("%s: reported before call %d", name, i+1)
			}
			_, _ = collect(t.Context(), m) // what is cut fails
		}
		now, _ := b.Balance(s)
		spent := map[budget.Kind]int64{budget.Dollars: int64(now.Spent.Money), budget.Tokens: now.Spent.Tokens}[c.kind]
		if len(reported) != 1 || reported[0].Kind != c.kind || reported[0].Spent != spent || reported[0].Scope.Level != budget.Run {
			t.Errorf("%s: reported %+v; %d are spent", name, reported, spent)
		}
	}
}
