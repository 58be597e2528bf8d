package claudeforce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/claude-force/claude-force/analytics"
	calls "github.com/claude-force/claude-force/analytics/sqlite"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/record"
)

// OpenCalls opens the store of calls that cfg names, which is in the file of the
// history of runs, and adds the calls that wait for it. It needs no credential
// of the API. Close it when done.
func OpenCalls(ctx context.Context, cfg *config.Config) (*calls.Store, error) {
	if cfg.DataDir == "" {
		return nil, invalid(errors.New("no folder for the history of calls: set CLAUDE_FORCE_HOME, or HOME"))
	}
	store, err := calls.Open(historyPath(cfg))
	if err != nil {
		return nil, invalid(err)
	}
	if err := store.Take(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// CallRetention is how long calls are kept, as cfg says.
func CallRetention(cfg *config.Config) calls.Retention {
	return calls.Retention{Rows: cfg.Analytics.KeepRows, Hours: cfg.Analytics.KeepHours}
}

// Project is the name under which the calls made for a folder are kept: the
// folder's own. Empty means the working directory.
func Project(dir string) string {
	path, err := filepath.Abs(cmp.Or(dir, "."))
	if err != nil {
		return ""
	}
	return filepath.Base(path)
}

// recorder keeps the calls of this orchestrator; nil if nobody wants them kept,
// or would want to find them among those that cost something.
func (o *Orchestrator) recorder() *calls.Recorder {
	if o.opts.Simulator != nil || o.opts.Replay != nil || o.config.DataDir == "" || !o.config.Analytics.Enabled {
		return nil
	}
	o.project = Project(o.opts.Dir)
	return calls.NewRecorder(historyPath(o.config), CallRetention(o.config), func(err error) {
		o.notice(fmt.Sprintf("calls are missing from analytics: %v", err))
	})
}

// keep hands a call to who keeps it.
func (o *Orchestrator) keep(call *record.Call) {
	if o.calls != nil {
		o.calls.Record(keptCall(call, o.project, cmp.Or(o.prices, llm.Prices())))
	}
}

func keptCall(call *record.Call, project string, prices *llm.PriceTable) analytics.Call {
	kept := analytics.Call{
		Time: call.Start, Project: project,
		Workflow: call.Tags.Workflow, Run: call.Tags.Run, Step: call.Tags.Step, Item: call.Tags.Item,
		Agent: call.Agent, Asked: call.Model, Model: cmp.Or(call.ResponseModel, call.Model), Source: call.Source, Usage: call.Usage,
		Duration: call.Duration, FirstToken: call.FirstToken, Attempts: call.Attempts, Code: call.Code, StopReason: call.StopReason,
		Unpriced: call.CostUSD == nil || call.SavedUSD == nil,
	}
	if call.CostUSD != nil {
		kept.Cost = analytics.NanosOf(*call.CostUSD)
	}
	saved := analytics.Nanos(0)
	if call.SavedUSD != nil {
		saved = analytics.NanosOf(*call.SavedUSD)
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
