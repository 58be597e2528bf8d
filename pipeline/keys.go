package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
)

// keyed returns next for calls that are for a key, as their tags say: the key must be
// good now and allow the model, its budgets are charged, and cached answers are its
// team's. What is changed of a key holds for the next call, also of runs that it started
// before.
func (p *Pipeline) keyed(next llm.Model) llm.Model {
	checked := p.checkModels(next)
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		name := llm.TagsOf(ctx).Key
		if name == "" {
			return next.Stream(ctx, req)
		}
		id, err := p.keyNamed(ctx, name)
		if err != nil {
			return llm.Fail(err)
		}
		return checked.Stream(context.WithValue(ctx, identityKey{}, id), inScope(ctx, req))
	})
}

// identityKey is the key of a context for the identity that a call is for.
type identityKey struct{}

// identityOf returns the identity that a call is for; nil for the owner of the data
// folder.
func identityOf(ctx context.Context) *keys.Identity {
	id, _ := ctx.Value(identityKey{}).(*keys.Identity)
	return id
}

// keyNamed returns the identity of the key with a name as it is now.
func (p *Pipeline) keyNamed(ctx context.Context, name string) (*keys.Identity, error) {
	err := keys.ErrNotFound
	if p.keys != nil {
		var id *keys.Identity
		if id, err = keys.Current(ctx, p.keys, name, time.Now()); err == nil {
			return id, nil
		}
	}
	if errors.Is(err, keys.ErrNotFound) || errors.Is(err, keys.ErrRevoked) || errors.Is(err, keys.ErrExpired) {
		return nil, forbidden(fmt.Sprintf("key %s makes no calls: %v", name, err), err)
	}
	return nil, llm.NewError(llm.CodeInternal, fmt.Sprintf("the store of keys cannot be read, so key %s makes no calls: %v", name, err), err)
}

// forbidden returns the error of a call that its key does not allow.
func forbidden(message string, err error) error {
	e := llm.NewError(llm.CodeInvalid, message, err)
	e.Status = http.StatusForbidden
	return e
}

// checkModels returns next without calls of models that their key does not allow: a
// fallback, or a budget that has run low, may have changed the model since it was asked
// for.
func (p *Pipeline) checkModels(next llm.Model) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		if !p.allowed(ctx, req.Model) {
			return llm.Fail(forbidden(fmt.Sprintf("key %s may not call %s", identityOf(ctx).Name, req.Model), nil))
		}
		return next.Stream(ctx, req)
	})
}

// allowed reports whether the key that a call is for allows a model.
func (p *Pipeline) allowed(ctx context.Context, model string) bool {
	id := identityOf(ctx)
	return id == nil || id.AllowsModel(model, func(name string) string {
		resolved, _ := p.Prices().Resolve(name)
		return resolved
	})
}

// keyScopes returns the budgets of the key that a call is for.
func keyScopes(ctx context.Context, now time.Time) []budget.Scope {
	id := identityOf(ctx)
	if id == nil {
		return nil
	}
	return id.Scopes(now)
}

// inScope returns a request whose cached answers are those of the team of the key that
// it is for, or of the key alone if that has none.
func inScope(ctx context.Context, req *llm.Request) *llm.Request {
	tags := llm.TagsOf(ctx)
	if tags.Key == "" {
		return req
	}
	scoped := *req
	scoped.Scope = "key " + tags.Key
	if tags.Team != "" {
		scoped.Scope = "team " + tags.Team
	}
	return &scoped
}

// KeyBudgets returns the budgets in a store of keys.
func KeyBudgets(ctx context.Context, cfg *config.Config, store keys.Store) (list []keys.KeyBudget, err error) {
	all, err := store.Budgets(ctx)
	list = []keys.KeyBudget{}
	if err != nil || len(all) == 0 {
		return list, err
	}
	ledger, err := OpenLedger(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	accounts, now := budget.New(ledger, budget.Options{}), time.Now()
	for i := range all {
		b := keys.KeyBudget{Budget: all[i], Text: all[i].String()}
		b.Begins, b.Ends = b.Period(now)
		balance, err := accounts.Balance(b.Scope(now))
		if err != nil {
			return nil, fmt.Errorf("reading what was spent of the budgets of keys: %w", err)
		}
		b.Spent, b.Reserved = balance.Spent.Money.USD(), balance.Reserved.Money.USD()
		list = append(list, b)
	}
	return list, nil
}

// Keys returns the keys in a store, by name.
func Keys(ctx context.Context, cfg *config.Config, store keys.Store) ([]keys.KeyStatus, error) {
	all, err := store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	budgets, err := KeyBudgets(ctx, cfg, store)
	if err != nil {
		return nil, err
	}
	list, now := []keys.KeyStatus{}, time.Now()
	for i := range all {
		k := keys.KeyStatus{Key: all[i], Status: all[i].Status(now), Budgets: []keys.KeyBudget{}}
		for _, b := range budgets {
			if b.Level == keys.KeyLevel && b.Name == k.Name {
				k.Budgets = append(k.Budgets, b)
			}
		}
		list = append(list, k)
	}
	return list, nil
}
