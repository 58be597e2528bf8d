package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
)

// newBudget returns the budget that all calls are charged to. Processes that use
// the same database or data folder share its amounts.
func (p *Pipeline) newBudget(s *service) (*budget.Budget, error) {
	opts := budget.Options{Prices: p.prices, Scopes: p.scopes, Downgrade: p.downgrade, OnSettle: p.settled, OnLower: p.lowered, Longest: p.longest, Count: s.count}
	if ask := p.opts.AskBudget; ask != nil {
		opts.Ask = func(ctx context.Context, e *budget.ExceededError) (budget.Limits, bool) {
			more, ok := ask(ctx, e.Error())
			limits := e.Scope.Limits
			limits.Money = max(limits.Money, 0) + llm.Dollars(more)
			return limits, ok && more > 0
		}
	}
	var ledger budget.Ledger = &budget.Memory{}
	if (p.config.DataDir != "" || p.config.Store != "") && p.opts.Simulator == nil {
		var err error
		if p.ledger, err = OpenLedger(p.config); err != nil {
			return nil, err
		}
		ledger = p.ledger
		opts.OnExceeded = p.exceeded
		if p.calls != nil {
			opts.Note = p.attemptNote
		}
	}
	return budget.New(ledger, opts), nil
}

// CheckLedger reports why the ledger that budgets are charged to cannot be used, or
// nil if it can.
func (p *Pipeline) CheckLedger() error {
	if p.ledger == nil {
		return nil
	}
	if _, err := p.ledger.Balance(""); err != nil {
		return fault.Input(fmt.Errorf("the budget's ledger cannot be used, so no call would be made: %w", err))
	}
	return nil
}

// longest returns the tokens of the longest recorded answer of an agent's model; 0 if
// there is none, or if it cannot be read.
func (p *Pipeline) longest(agent, model string) int {
	if p.calls == nil {
		return 0
	}
	store, err := OpenCalls(p.background, p.config)
	if err != nil {
		return 0
	}
	n, err := store.Longest(p.background, agent, model)
	if err := errors.Join(err, store.Close()); err != nil {
		return 0
	}
	return n
}

// lowered tells the user that answers have less room than was asked for.
func (p *Pipeline) lowered(req *llm.Request, asked int) {
	p.notice(p.background, fmt.Sprintf("max_tokens of %s is lowered from %d, since a budget has no room for an answer that long", cmp.Or(req.Agent, req.Model), asked))
}

// settled tells the user when a call cost more than was reserved for it, and when
// what it cost could not be stored: the budget then counts the call's worst case.
func (p *Pipeline) settled(s budget.Settlement) {
	if most := s.Reserved.Money; s.Spent.Money > most && most > 0 {
		p.notice(p.background, fmt.Sprintf("the service billed %v for a call of %s that was expected to cost at most %v; calls that were not sent yet are checked against their budgets again", s.Spent.Money, s.Model, most))
	}
	if s.Err != nil {
		p.notice(p.background, fmt.Sprintf("a budget counts a call at its worst case, since its cost could not be stored: %v", s.Err))
	}
}

// exceeded writes down that a budget has no room left, for who reports it to others. The
// call is refused either way.
func (p *Pipeline) exceeded(e *budget.ExceededError) {
	if err := p.ledger.NoteExceeded(e); err != nil {
		p.notice(p.background, fmt.Sprintf("that the budget of %s is exceeded will not be reported to webhooks: %v", e.Scope, err))
	}
}

// scopes returns the budgets that every call is charged to: those of the day, of
// its agent, of the call itself, and of the key that it is for.
func (p *Pipeline) scopes(ctx context.Context, req *llm.Request) []budget.Scope {
	b, now := p.config.Budget, time.Now().In(p.config.TimeZone)
	action := budget.Action(b.OnExceed)
	scopes := keyScopes(ctx, now)
	limit := func(usd *float64) budget.Limits {
		return budget.Limits{Money: cmp.Or(llm.Dollars(*usd), budget.Nothing)}
	}
	if b.Day != nil {
		scopes = append(scopes, budget.Today(now, limit(b.Day), action))
	}
	if b.Agent != nil && req.Agent != "" {
		scopes = append(scopes, budget.Scope{Level: budget.Agent, Name: req.Agent + " on " + now.Format(time.DateOnly), Limits: limit(b.Agent), OnBreach: action})
	}
	if b.Call != nil {
		scopes = append(scopes, budget.Scope{Level: budget.Call, Limits: limit(b.Call), OnBreach: action})
	}
	return scopes
}

// downgrade returns the most expensive model that is cheaper than the requested
// one and whose worst case fits. It returns an empty string if there is none.
func (p *Pipeline) downgrade(ctx context.Context, req *llm.Request, fits func(string) bool) string {
	table := p.Prices()
	own, ok := table.Info(req.Model)
	if !ok {
		return ""
	}
	for _, alias := range slices.Backward(table.AliasNames()) {
		id, _ := table.Resolve(alias)
		info, _ := table.Info(id)
		if info.Tiers[0].Output < own.Tiers[0].Output && p.allowed(ctx, id) && fits(id) {
			p.notice(ctx, "a budget has no room for "+req.Model+"; "+id+" is used instead")
			return id
		}
	}
	return ""
}

// BudgetStatus is a budget of the settings.
type BudgetStatus struct {
	Level    budget.Level `json:"level"`
	USD      float64      `json:"usd"`           // 0 allows nothing that costs
	OnExceed string       `json:"on_exceed"`     // what happens to calls that it has no room for
	Day      string       `json:"day,omitempty"` // of the budget of today; the fields below are of it
	Spent    *float64     `json:"spent_usd"`     // nil where each agent, run or call has a budget of its own
	Reserved *float64     `json:"reserved_usd"`  // by calls in flight
}

// Budgets returns the budgets that the settings have, with what was spent of that of the
// day of now.
func Budgets(cfg *config.Config, now time.Time) ([]BudgetStatus, error) {
	b, list := cfg.Budget, []BudgetStatus{}
	for _, l := range []struct {
		level budget.Level
		usd   *float64
	}{{budget.Day, b.Day}, {budget.Agent, b.Agent}, {budget.Run, b.Run}, {budget.Call, b.Call}} {
		if l.usd != nil {
			list = append(list, BudgetStatus{Level: l.level, USD: *l.usd, OnExceed: cmp.Or(string(b.OnExceed), string(budget.ActionStop))})
		}
	}
	if b.Day == nil || cfg.DataDir == "" && cfg.Store == "" {
		return list, nil
	}
	ledger, err := OpenLedger(cfg)
	if err != nil {
		return nil, err
	}
	today := budget.Today(now.In(cfg.TimeZone), budget.Limits{}, "")
	balance, err := budget.New(ledger, budget.Options{}).Balance(today)
	if err := errors.Join(err, ledger.Close()); err != nil {
		return nil, fmt.Errorf("reading what was spent today: %w", err)
	}
	list[0].Day, list[0].Spent, list[0].Reserved = today.Name, new(balance.Spent.Money.USD()), new(balance.Reserved.Money.USD())
	return list, nil
}
