package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/pipeline"
)

// addService adds the pages of what lies between the project and the service.
func (p *Pages) addService() {
	p.page("GET /cache", p.cache)
	p.page("GET /limits", p.limits)
}

// answersShown is how many answers of the cache are listed.
const answersShown = 50

// cacheData is what the response cache holds.
type cacheData struct {
	Off     bool // new answers are not kept
	Stats   cache.Stats
	Full    meter
	Max     int64
	Hits    meter
	Agent   string
	Answers []cache.Info
	More    bool
}

func (p *Pages) cache(r *http.Request) (*view, error) {
	settings := p.opts.Config.Cache
	data := &cacheData{Off: !settings.Enabled, Agent: r.URL.Query().Get("agent"), Max: settings.MaxBytes}
	store, err := pipeline.OpenCache(r.Context(), p.opts.Config)
	if err != nil {
		return nil, err
	}
	err = func() (err error) {
		if data.Stats, err = store.Stats(r.Context()); err != nil {
			return err
		}
		for e, err := range store.List(r.Context(), cache.Filter{Agent: data.Agent}) {
			if err != nil {
				return err
			}
			if len(data.Answers) == answersShown {
				data.More = true
				break
			}
			data.Answers = append(data.Answers, e.Info())
		}
		return nil
	}()
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	s := &data.Stats
	data.Full = newMeter(fmt.Sprintf("%s of at most %s", sizeOf(s.Bytes), sizeOf(data.Max)), float64(s.Bytes), 0, float64(data.Max))
	data.Hits = newMeter(fmt.Sprintf("%s hits, %s misses", amount.Thousands(s.Hits), amount.Thousands(s.Misses)), float64(s.Hits), 0, float64(s.Hits+s.Misses))
	return &view{Page: "cache", Title: "Cache", Nav: "cache", Fragments: []string{"cache-figures"}, Data: data}, nil
}

// limitsData is what is known of the service's rate limits.
type limitsData struct {
	Pools   []poolRow
	Budgets []budgetRow
}

// budgetRow is a budget of the settings.
type budgetRow struct {
	pipeline.BudgetStatus
	Left  *float64 // nil where each agent, run or call has a budget of its own
	Meter meter
}

// budgetOf returns the row of a budget.
func budgetOf(status *pipeline.BudgetStatus) budgetRow {
	row := budgetRow{BudgetStatus: *status}
	if status.Spent != nil && status.Reserved != nil {
		row.Left = new(max(status.USD-*status.Spent-*status.Reserved, 0))
		row.Meter = newMeter(fmt.Sprintf("%s spent and %s reserved of %s", dollars(status.Spent), dollars(status.Reserved), dollars(&status.USD)), *status.Spent, *status.Reserved, status.USD)
	}
	return row
}

// poolRow is a pool of models that share limits.
type poolRow struct {
	admission.PoolStatus
	Quotas []quotaRow
	State  string // in words
	Open   bool
}

// quotaRow is one limit of a pool.
type quotaRow struct {
	Name string
	admission.QuotaStatus
	Meter meter
}

func (p *Pages) limits(r *http.Request) (*view, error) {
	pools, err := p.opts.Limits(r.Context())
	if err != nil {
		return nil, err
	}
	data := &limitsData{}
	for i := range pools {
		data.Pools = append(data.Pools, poolOf(&pools[i]))
	}
	budgets, err := p.opts.Budgets(r.Context())
	if err != nil {
		return nil, err
	}
	for i := range budgets {
		data.Budgets = append(data.Budgets, budgetOf(&budgets[i]))
	}
	return &view{Page: "limits", Title: "Limits and budgets", Nav: "limits", Fragments: []string{"limits-figures"}, Data: data}, nil
}

func poolOf(status *admission.PoolStatus) poolRow {
	row := poolRow{PoolStatus: *status, State: "open", Open: true}
	switch {
	case !status.FrozenUntil.IsZero():
		row.State, row.Open = "closed for "+seconds(time.Until(status.FrozenUntil).Seconds()), false
		if status.FrozenBy != "" {
			row.State += " (" + status.FrozenBy + ")"
		}
	case status.Breaker != admission.BreakerClosed:
		row.State, row.Open = "breaker "+string(status.Breaker), false
	}
	for _, q := range []struct {
		name string
		admission.QuotaStatus
	}{{"Requests", status.Requests}, {"Input tokens", status.Input}, {"Output tokens", status.Output}} {
		label := fmt.Sprintf("%s: %s of %s left in a minute", q.name, amount.Thousands(max(q.Remaining, 0)), amount.Thousands(q.Limit))
		row.Quotas = append(row.Quotas, quotaRow{q.name, q.QuotaStatus, newMeter(label, q.Used(), 0, 1)})
	}
	return row
}
