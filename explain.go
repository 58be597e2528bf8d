package claudeforce

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/task"
)

// Explanation says why a step was reused or was run.
type Explanation struct {
	Step   string     `json:"step"`           // path
	Item   string     `json:"item,omitempty"` // for people
	Reused bool       `json:"reused"`
	Source llm.Source `json:"source"`
	Reason string     `json:"reason"`
}

// explaining returns an observer that also explains the run's calls, by what the
// previous run was given, and by what this run had done before it was resumed.
func (o *Orchestrator) explaining(opts RunOptions, before *runs.Previous, past *journal.State, kept *reuse) func(context.Context, engine.Event) {
	return func(ctx context.Context, ev engine.Event) {
		if opts.OnEvent != nil {
			opts.OnEvent(ctx, ev)
		}
		if ev.Status != engine.StatusCompleted || ev.Result.Source == "" {
			return
		}
		opts.OnExplain(ctx, o.explain(ctx, ev, opts, before, past, kept))
	}
}

func (o *Orchestrator) explain(ctx context.Context, ev engine.Event, opts RunOptions, before *runs.Previous, past *journal.State, kept *reuse) Explanation {
	x := Explanation{Step: ev.Path, Item: ev.Label, Source: ev.Result.Source, Reused: ev.Restored || ev.Result.Source != llm.SourceLive}
	was := before.State.Unit(ev.Path, ev.Item)
	known := was != nil && was.Type == journal.StepFinished && was.Started.Inputs != nil
	if u := past.Unit(ev.Path, ev.Item); u != nil && u.Type == journal.StepFinished {
		if ev.Restored {
			x.Reason = "finished before in this run"
			return x
		}
		if d := runs.DiffInputs(u.Started.Inputs, ev.Result.Inputs); len(d) > 0 {
			x.Reason = strings.Join(d, ", ")
			return x
		}
	}
	switch {
	case kept.took(journal.Unit{Step: ev.Path, Item: ev.Item}):
		x.Reason = "nothing has changed, nor has anything that it saw"
	case ev.Result.Source == llm.SourceJournal:
		x.Reason = "taken from run " + before.Run.ID
	case ev.Result.Source == llm.SourceCoalesced:
		x.Reason = "the same call was in flight"
	case x.Reused && known:
		if d := runs.DiffInputs(was.Started.Inputs, ev.Result.Inputs); len(d) > 0 {
			x.Reason = "the same request was answered before the last run (since then: " + strings.Join(d, ", ") + ")"
		} else {
			x.Reason = "nothing has changed"
		}
	case x.Reused:
		x.Reason = "the same request was answered before"
	default:
		x.Reason = o.whyLive(ctx, ev, opts, was, known)
		why, exact := kept.why(journal.Unit{Step: ev.Path, Item: ev.Item})
		if seen, ok := sawOtherwise(ev, was, known); ok && !exact {
			why = seen
		}
		x.Reason = cmp.Or(why, x.Reason)
	}
	return x
}

// sawOtherwise returns what a step's agent saw through its tools that was different in
// the previous run, if it was asked the same.
func sawOtherwise(ev engine.Event, was *journal.UnitState, known bool) (string, bool) {
	if !known || len(runs.DiffInputs(was.Started.Inputs, ev.Result.Inputs)) > 0 {
		return "", false
	}
	use, ok := ev.Result.Loop.SawOtherwise(was)
	if !ok {
		return "", false
	}
	return sawChanged(use.Name, task.Brief(use.Input)), true
}

// sawChanged says that a call of a tool gives something else.
func sawChanged(tool, argument string) string {
	switch {
	case argument == "":
		return "what " + tool + " gave changed"
	case tool == "Read":
		return "file " + argument + ", which it read, changed"
	case tool == "Glob":
		return "the files that match " + argument + " changed"
	case tool == "Grep":
		return "what a search for " + argument + " found changed"
	default:
		return "what " + tool + " (" + argument + ") gave changed"
	}
}

// whyLive returns why a step called the service.
func (o *Orchestrator) whyLive(ctx context.Context, ev engine.Event, opts RunOptions, was *journal.UnitState, known bool) string {
	switch ev.Step.Effects {
	case "idempotent", "once":
		return "it has effects, so the cache does not answer it"
	}
	policy := opts.cachePolicy()
	policy = o.tasks.CachePolicy(ctx, Task{Agent: ev.Step.Agent, Definition: inlineAgent(ev.Step), Policy: policy})
	switch {
	case policy == llm.PolicyRefresh:
		return "re-run, as requested"
	case policy == llm.PolicyOff && opts.Policy != llm.PolicyOff:
		return "the answers of " + ev.Step.Agent + " are not kept"
	case policy == llm.PolicyOff || !o.pipe.Caches():
		return "the cache is off"
	case !known:
		return "no earlier run has its result"
	}
	if d := runs.DiffInputs(was.Started.Inputs, ev.Result.Inputs); len(d) > 0 {
		return strings.Join(d, ", ")
	}
	return fmt.Sprintf("nothing has changed, but its answer is not in the cache: it is older than %s, or was removed or not kept", o.config.Cache.TTL)
}
