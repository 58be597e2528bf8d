package claudeforce

import (
	"context"
	"errors"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/workflow"
)

// Spending is what may be spent on something. Zero ceilings are none.
type Spending struct {
	USD      float64
	Tokens   int
	Calls    int
	Time     time.Duration
	OnExceed workflow.OnExceed // empty means [workflow.OnExceedStop]
}

func (s Spending) limits() budget.Limits {
	return budget.Limits{Money: llm.Dollars(s.USD), Tokens: int64(s.Tokens), Calls: int64(s.Calls), Time: s.Time}
}

func (s Spending) scope(level budget.Level, name string, start time.Time) (budget.Scope, bool) {
	limits := s.limits()
	return budget.Scope{Level: level, Name: name, Limits: limits, Start: start, OnBreach: budget.Action(s.OnExceed)}, limits != budget.Limits{}
}

func spendingOf(b *workflow.Budget) Spending {
	if b == nil {
		return Spending{}
	}
	return Spending{USD: b.USD, Tokens: b.Tokens, Calls: b.Calls, Time: b.Time, OnExceed: b.OnExceed}
}

// WithSpending charges the calls made with the returned context to a budget of
// their own, beside those of the configuration. Calls that give the same name
// share it, also those of other processes.
func WithSpending(ctx context.Context, name string, s Spending) context.Context {
	scope, ok := s.scope(budget.Run, name, time.Now())
	if !ok {
		return ctx
	}
	return budget.With(ctx, scope)
}

// withBudgets charges the calls of a step of a run to the budgets of both.
func (o *Orchestrator) withBudgets(ctx context.Context, r *runJob, s *workflow.Step) context.Context {
	if scope, ok := r.spending(o.config.Budget).scope(budget.Run, r.id, r.started); ok {
		ctx = budget.With(ctx, scope)
	}
	if s.Budget != nil {
		if scope, ok := spendingOf(s.Budget).scope(budget.Step, r.id+" step "+s.ID, r.started); ok {
			ctx = budget.With(ctx, scope)
		}
	}
	return ctx
}

// spending is what a run may spend: what its caller said, else its workflow, else
// the configuration.
func (r *runJob) spending(cfg config.Budget) Spending {
	switch given := (Spending{}); {
	case r.spec.Budget != given:
		return r.spec.Budget
	case r.wf.Budget != nil:
		return spendingOf(r.wf.Budget)
	default:
		return Spending{USD: cfg.Run, OnExceed: workflow.OnExceed(cfg.OnExceed)}
	}
}

// IsOverBudget reports whether a call was not made since a budget had no room
// for it.
func IsOverBudget(err error) bool {
	_, ok := errors.AsType[*budget.ExceededError](err)
	return ok
}
