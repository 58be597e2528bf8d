package claudeforce

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// Explanation says why a step was or was not answered from before.
type Explanation struct {
	Step   string     `json:"step"`           // path
	Item   string     `json:"item,omitempty"` // for people
	Reused bool       `json:"reused"`
	Source llm.Source `json:"source"`
	Reason string     `json:"reason"`
}

// explaining is the observer of a run that also explains its calls, by what the
// run before was asked, and by what this run was before it was resumed.
func (o *Orchestrator) explaining(ctx context.Context, opts RunOptions, before *earlierRun, past *journal.State) func(engine.Event) {
	return func(ev engine.Event) {
		if opts.Observe != nil {
			opts.Observe(ev)
		}
		if ev.Status != engine.StatusCompleted || ev.Result.Source == "" {
			return
		}
		opts.Explain(o.explain(ctx, ev, opts, before, past))
	}
}

func (o *Orchestrator) explain(ctx context.Context, ev engine.Event, opts RunOptions, before *earlierRun, past *journal.State) Explanation {
	x := Explanation{Step: ev.Path, Item: ev.Label, Source: ev.Result.Source, Reused: ev.Restored || ev.Result.Source != llm.SourceLive}
	was := before.state.Unit(ev.Path, ev.Item)
	known := was != nil && was.Type == journal.StepFinished && was.Started.Inputs != nil
	if u := past.Unit(ev.Path, ev.Item); u != nil && u.Type == journal.StepFinished {
		if ev.Restored {
			x.Reason = "finished before in this run"
			return x
		}
		if d := Differences(u.Started.Inputs, ev.Result.Inputs); len(d) > 0 {
			x.Reason = strings.Join(d, ", ")
			return x
		}
	}
	switch {
	case ev.Result.Source == llm.SourceJournal:
		x.Reason = "taken from run " + before.run.ID
	case ev.Result.Source == llm.SourceCoalesced:
		x.Reason = "the same call was under way"
	case x.Reused && known:
		if d := Differences(was.Started.Inputs, ev.Result.Inputs); len(d) > 0 {
			x.Reason = "was asked the same before the last run (since then: " + strings.Join(d, ", ") + ")"
		} else {
			x.Reason = "nothing has changed"
		}
	case x.Reused:
		x.Reason = "was asked the same before"
	default:
		x.Reason = o.whyLive(ctx, ev, opts, was, known)
	}
	return x
}

// whyLive says why a step asked the service.
func (o *Orchestrator) whyLive(ctx context.Context, ev engine.Event, opts RunOptions, was *journal.UnitState, known bool) string {
	switch ev.Step.Effects {
	case "idempotent", "once":
		return "it has effects, so it is not answered from before"
	}
	policy := opts.policyOf()
	policy = o.tasks.CachePolicy(ctx, Task{Agent: ev.Step.Agent, Policy: policy})
	switch {
	case policy == llm.PolicyRefresh:
		return "asked anew, as you said"
	case policy == llm.PolicyOff && opts.Policy != llm.PolicyOff:
		return "the answers of " + ev.Step.Agent + " are not kept"
	case policy == llm.PolicyOff || !o.pipe.Caches():
		return "the cache is off"
	case !known:
		return "no earlier run has its result"
	}
	if d := Differences(was.Started.Inputs, ev.Result.Inputs); len(d) > 0 {
		return strings.Join(d, ", ")
	}
	return fmt.Sprintf("nothing has changed, but its answer is not in the cache: it is older than %s, or was removed or not kept", o.config.Cache.TTL)
}

// Differences name the parts in which two fingerprints differ.
func Differences(was, now journal.Fingerprint) []string {
	var list []string
	names := slices.Collect(maps.Keys(now))
	for name := range was {
		if _, ok := now[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		before, had := was[name]
		after, has := now[name]
		switch {
		case had && has && before == after:
		case !had:
			list = append(list, describePart(name)+" is new")
		case !has:
			list = append(list, describePart(name)+" is gone")
		case name == "model" || name == "max_tokens" || name == "effort" || name == "agent":
			list = append(list, fmt.Sprintf("%s is %s, was %s", name, after, before))
		default:
			list = append(list, describePart(name)+" changed")
		}
	}
	return list
}

// describePart is the name of a part of a fingerprint in words.
func describePart(name string) string {
	if id, ok := strings.CutPrefix(name, "step "); ok {
		return "the output of step " + id
	}
	if name == "agent body" {
		return "the agent's body"
	}
	return name
}
