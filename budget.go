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

// WithBudget returns a context whose calls are charged to a budget of their own,
// beside those of the settings. Calls that give the same name share it, also
// those of other processes.
func WithBudget(ctx context.Context, name string, b workflow.Budget) context.Context {
	return withScope(ctx, budget.Run, name, time.Now(), b)
}

// withScope returns a context whose calls are charged to a budget. A budget
// without a ceiling changes nothing.
func withScope(ctx context.Context, level budget.Level, name string, start time.Time, b workflow.Budget) context.Context {
	if b.IsZero() {
		return ctx
	}
	return budget.With(ctx, budget.Scope{Level: level, Name: name, Limits: limits(b), Start: start, OnBreach: budget.Action(b.OnExceed)})
}

func limits(b workflow.Budget) budget.Limits {
	var l budget.Limits
	if b.USD != nil {
		l.Money = ceiling(llm.Dollars(*b.USD))
	}
	if b.Tokens != nil {
		l.Tokens = ceiling(int64(*b.Tokens))
	}
	if b.Calls != nil {
		l.Calls = ceiling(int64(*b.Calls))
	}
	if b.Time != nil {
		l.Time = ceiling(*b.Time)
	}
	return l
}

// ceiling returns a ceiling that was given in the form of [budget.Limits], where 0
// means none.
func ceiling[T ~int64](given T) T {
	if given <= 0 {
		return budget.Nothing
	}
	return given
}

// withBudgets returns a context whose calls are charged to the budgets of a run
// and of one of its steps.
func (o *Orchestrator) withBudgets(ctx context.Context, r *pendingRun, s *workflow.Step) context.Context {
	ctx = withScope(ctx, budget.Run, r.id, r.started, r.budget(o.config.Budget))
	if s.Budget != nil {
		ctx = withScope(ctx, budget.Step, r.id+" step "+s.ID, r.started, *s.Budget)
	}
	return ctx
}

// checkLedger reports an error if a budget applies to a run and its ledger cannot be
// used: no call would be made.
func (o *Orchestrator) checkLedger(r *pendingRun) error {
	b := o.config.Budget
	limited := b.Day != nil || b.Agent != nil || b.Call != nil || !r.budget(b).IsZero() || r.spec.Key != ""
	for s := range allSteps(r.wf) {
		limited = limited || s.Budget != nil
	}
	if !limited {
		return nil
	}
	return o.pipe.CheckLedger()
}

// budget returns what a run may spend: what its caller said, else its workflow,
// else the settings.
func (r *pendingRun) budget(cfg config.Budget) workflow.Budget {
	switch {
	case !r.spec.Budget.IsZero():
		return r.spec.Budget
	case r.wf.Budget != nil:
		return *r.wf.Budget
	case cfg.Run != nil:
		return workflow.Budget{USD: cfg.Run, OnExceed: workflow.OnExceed(cfg.OnExceed)}
	default:
		return workflow.Budget{OnExceed: workflow.OnExceed(cfg.OnExceed)}
	}
}

// IsOverBudget reports whether a call was not made because a budget had no room
// for it.
func IsOverBudget(err error) bool {
	_, ok := errors.AsType[*budget.ExceededError](err)
	return ok
}
