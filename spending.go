package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/budget"
	budgetdb "github.com/claude-force/claude-force/llm/budget/sqlite"
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

// newBudget makes the budget that all calls are charged to. Its amounts are
// shared by the processes that use the folder of the store.
func (o *Orchestrator) newBudget(provider *anthropic.Client) *budget.Budget {
	opts := budget.Options{Prices: o.prices, Scopes: o.standing, Downgrade: o.downgrade, OnSettle: o.settled}
	if o.opts.Simulator == nil {
		opts.Count = provider.CountTokens
	}
	if ask := o.opts.AskBudget; ask != nil {
		opts.Ask = func(ctx context.Context, e *budget.ExceededError) (budget.Limits, bool) {
			more, ok := ask(ctx, e.Error())
			limits := e.Scope.Limits
			limits.Money += llm.Dollars(more)
			return limits, ok && more > 0
		}
	}
	var ledger budget.Ledger = &budget.Memory{}
	if o.config.DataDir != "" && o.opts.Simulator == nil {
		o.ledger = budgetdb.New(filepath.Join(o.config.DataDir, "budget.db"))
		ledger = o.ledger
	}
	return budget.New(ledger, opts)
}

// settled tells the user when what a call cost could not be written down: the
// budget then counts the call's worst case.
func (o *Orchestrator) settled(s budget.Settlement) {
	if s.Err != nil {
		o.notice(fmt.Sprintf("a budget counts a call at its worst case, since its cost could not be stored: %v", s.Err))
	}
}

// standing is the scopes that every call belongs to: the day's, its agent's, its
// own.
func (o *Orchestrator) standing(_ context.Context, req *llm.Request) []budget.Scope {
	b, now := o.config.Budget, time.Now()
	action := budget.Action(b.OnExceed)
	var scopes []budget.Scope
	if b.Day > 0 {
		scopes = append(scopes, budget.Today(now, budget.Limits{Money: llm.Dollars(b.Day)}, action))
	}
	if b.Agent > 0 && req.Agent != "" {
		scopes = append(scopes, budget.Scope{Level: budget.Agent, Name: req.Agent + " on " + now.Format(time.DateOnly), Limits: budget.Limits{Money: llm.Dollars(b.Agent)}, OnBreach: action})
	}
	if b.Call > 0 {
		scopes = append(scopes, budget.Scope{Level: budget.Call, Limits: budget.Limits{Money: llm.Dollars(b.Call)}, OnBreach: action})
	}
	return scopes
}

// downgrade is the dearest model cheaper than the one asked whose worst case
// fits; empty if there is none.
func (o *Orchestrator) downgrade(_ context.Context, req *llm.Request, fits func(string) bool) string {
	table := o.priceTable()
	own, ok := table.Info(req.Model)
	if !ok {
		return ""
	}
	for _, alias := range slices.Backward(table.AliasNames()) {
		id, _ := table.Resolve(alias)
		info, _ := table.Info(id)
		if info.Tiers[0].Output < own.Tiers[0].Output && fits(id) {
			o.notice("a budget has no room for " + req.Model + "; " + id + " is asked instead")
			return id
		}
	}
	return ""
}
