package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/analytics/callspg"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/record"
)

// OpenCalls opens the store of recorded calls that cfg names, which is in a database or in
// the file of the history of runs, and adds the calls that other processes have left
// on this machine, and what crashed processes had sent and not recorded. It needs no
// credential of the API. The error is a [fault.InputError] if there is no data folder or
// the store cannot be used. Close the store when done.
func OpenCalls(ctx context.Context, cfg *config.Config) (analytics.Store, error) {
	if cfg.DataDir == "" {
		return nil, fault.Input(errors.New("no folder for the history of calls: set CLAUDE_FORCE_HOME, or HOME"))
	}
	store, err := openCallsStore(ctx, cfg)
	if err != nil {
		return nil, fault.Input(err)
	}
	if err := errors.Join(store.Take(ctx), store.AddLost(ctx)); err != nil {
		return nil, errors.Join(fault.Input(err), store.Close())
	}
	// A ledger in trouble is its own check's affair: what it has left comes later.
	_ = unrecorded(ctx, cfg, func(list []budget.Attempt) error {
		var calls []analytics.Call
		for _, a := range list {
			var c analytics.Call
			if json.Unmarshal([]byte(a.Note), &c) == nil {
				calls = append(calls, c)
			}
		}
		return store.AddOnce(ctx, calls...)
	})
	return store, nil
}

func openCallsStore(ctx context.Context, cfg *config.Config) (analytics.Store, error) {
	if cfg.Store != "" {
		db, err := postgres.Open(ctx, cfg.Store)
		if err != nil {
			return nil, err
		}
		return callspg.Open(db, DataDir(cfg.DataDir).Unsent()), nil
	}
	store, err := callsdb.Open(DataDir(cfg.DataDir).History())
	if err != nil {
		return nil, err // a nil store in an interface is not nil
	}
	return store, nil
}

// attemptNote returns the call that an attempt is recorded as if this process is
// killed, in the form in which the ledger keeps it.
func (p *Pipeline) attemptNote(ctx context.Context, req *llm.Request, s budget.Sending) string {
	text, err := json.Marshal(p.attemptCall(ctx, req, s))
	if err != nil {
		return ""
	}
	return string(text)
}

// recordSent records that an attempt is being sent that no budget has reserved for.
func (p *Pipeline) recordSent(ctx context.Context, req *llm.Request, s llm.Sent) {
	if p.calls != nil {
		p.calls.RecordSent(p.attemptCall(ctx, req, budget.Sending{Sent: s, Start: time.Now(), Uncertain: s.Reserved}))
	}
}

// attemptCall returns the call that an attempt is recorded as if this process is
// killed: while it is in flight, one of unknown cost.
func (p *Pipeline) attemptCall(ctx context.Context, req *llm.Request, s budget.Sending) analytics.Call {
	tags := llm.TagsOf(ctx)
	c := analytics.Call{
		Time: s.Start, Project: p.opts.Project, Workflow: tags.Workflow, Run: tags.Run, Step: tags.Step, Item: tags.Item,
		Agent: req.Agent, Asked: req.Model, Model: cmp.Or(s.Charge.Model, req.Model), Usage: s.Charge.Usage, Key: tags.Key, Team: tags.Team,
		Cost: s.Charge.Cost, Unpriced: !s.Charge.Priced, Uncertain: s.Uncertain, Attempts: 1, Code: s.Code,
	}
	a := analytics.Attempt{ID: s.ID, Start: s.Start, Model: c.Model, Usage: c.Usage, Cost: c.Cost, Basis: s.Charge.Basis, Uncertain: c.Uncertain}
	if inFlight := a.Basis == ""; inFlight {
		a.Basis, c.Code = llm.BasisUnknown, llm.CodeIncomplete
	} else if !req.Batch {
		a.Duration = time.Since(s.Start)
		c.Duration = a.Duration
	}
	if c.Code == 0 && a.Basis != llm.BasisFree {
		prices := p.Prices()
		c.Source, c.Service, c.Saved = llm.SourceLive, a.Duration, analytics.SavedLive(prices, c.Model, "", c.Usage)
		a.WriteExtra = analytics.WriteExtra(prices, c.Model, c.Usage)
	}
	a.Code = c.Code
	c.Unpriced = c.Unpriced || a.Basis == llm.BasisUnknown
	c.Tries = []analytics.Attempt{a}
	return c
}

// Retention returns how long recorded calls are kept.
func Retention(cfg *config.Config) analytics.Retention {
	return analytics.Retention{Rows: cfg.Analytics.KeepRows, Hours: cfg.Analytics.KeepHours}
}

// newRecorder returns the recorder of this pipeline's calls. It returns nil if
// calls are not to be recorded, or are none that cost something.
func (p *Pipeline) newRecorder() analytics.Recorder {
	if p.opts.Simulator != nil || p.config.DataDir == "" || !p.config.Analytics.Enabled {
		return nil
	}
	lost := func(err error) {
		p.notice(p.background, fmt.Sprintf("calls are missing from analytics: %v", err))
	}
	if p.config.Store == "" {
		return callsdb.NewRecorder(DataDir(p.config.DataDir).History(), Retention(p.config), lost)
	}
	open := func(ctx context.Context) (*postgres.DB, error) { return postgres.Open(ctx, p.config.Store) }
	return callspg.NewRecorder(DataDir(p.config.DataDir).Unsent(), open, Retention(p.config), func(err error) {
		p.notice(p.background, fmt.Sprintf("calls wait on this machine until they can be added to analytics: %v", err))
	}, lost)
}

// RecordTool records a call of a tool for analytics, where calls of models are
// recorded. Project and what ctx is tagged with are filled in.
func (p *Pipeline) RecordTool(ctx context.Context, c analytics.ToolCall) {
	if p.calls != nil {
		tags := llm.TagsOf(ctx)
		c.Project, c.Workflow, c.Run, c.Step, c.Item = p.opts.Project, tags.Workflow, tags.Run, tags.Step, tags.Item
		p.calls.RecordTool(c)
	}
}

// RecordTask records a task of an agent with tools, as RecordTool a call of a tool.
func (p *Pipeline) RecordTask(ctx context.Context, t analytics.ToolTask) {
	if !t.Failed {
		p.turns.add(t.Agent, t.Model, t.Turns, p.calls != nil)
	}
	if p.calls != nil {
		tags := llm.TagsOf(ctx)
		t.Project, t.Workflow, t.Run, t.Step, t.Item = p.opts.Project, tags.Workflow, tags.Run, tags.Step, tags.Item
		p.calls.RecordTask(t)
	}
}

// recordedCall converts a call to the form in which analytics keeps it.
func recordedCall(call *record.Call, project string, prices *llm.PriceTable) analytics.Call {
	kept := analytics.Call{
		Time: call.Start, Project: project,
		Workflow: call.Tags.Workflow, Run: call.Tags.Run, Step: call.Tags.Step, Item: call.Tags.Item,
		Agent: call.Agent, Asked: call.Model, Model: cmp.Or(call.ResponseModel, call.Model), Source: call.Source, Usage: call.Usage, Key: call.Tags.Key, Team: call.Tags.Team,
		Duration: call.Duration, Service: call.Service, Waited: call.Waited, FirstToken: call.FirstToken, Attempts: call.Attempts, Code: call.Code, StopReason: call.StopReason,
		Unpriced: call.CostUSD == nil || call.SavedUSD == nil || call.Uncertain,
	}
	kept.Cost = call.AtLeast
	if call.CostUSD != nil {
		kept.Cost = llm.Dollars(*call.CostUSD)
	}
	for _, a := range call.Tries {
		kept.Tries = append(kept.Tries, analytics.Attempt{
			ID: a.ID, Uncertain: a.Uncertain, Start: a.Start, Duration: a.Duration, FirstToken: a.FirstToken, Code: a.Code,
			Model: a.Charge.Model, Usage: a.Charge.Usage, Cost: a.Charge.Cost, Basis: a.Charge.Basis,
			WriteExtra: analytics.WriteExtra(prices, a.Charge.Model, a.Charge.Usage),
		})
	}
	for i := range kept.Tries {
		kept.Uncertain = kept.Uncertain.Add(kept.Tries[i].Uncertain)
	}
	saved := llm.Money(0)
	if call.SavedUSD != nil {
		saved = llm.Dollars(*call.SavedUSD)
	}
	switch {
	case call.Source == llm.SourceCache:
		kept.Saved.Cache = saved
	case call.Source == llm.SourceCoalesced:
		kept.Saved.Coalesced = saved
	case kept.Live():
		insteadOf := call.Tags.InsteadOf
		if !same(prices, kept.Model, kept.Asked) {
			insteadOf = "" // the model was fallen back on, which is no choice
		}
		kept.Saved = analytics.SavedLive(prices, kept.Model, insteadOf, kept.Usage)
	}
	return kept
}

// same reports whether two ids are of one model.
func same(prices *llm.PriceTable, a, b string) bool {
	model, ok := prices.Info(a)
	other, known := prices.Info(b)
	return a == b || ok && known && model.ID == other.ID
}
