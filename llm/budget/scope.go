package budget

import (
	"context"
	"slices"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Level is the kind of thing that a scope covers.
type Level string

// Levels of scopes. A call may belong to one of each and more.
const (
	Day   Level = "day"
	Run   Level = "run"
	Step  Level = "step"
	Agent Level = "agent"
	Call  Level = "call" // of each call alone; the ledger does not store it
)

// Nothing is the limit that allows nothing, since 0 means no limit.
const Nothing = -1

// Limits are what may be spent; 0 means no limit, [Nothing] means that nothing may
// be spent.
type Limits struct {
	Money  llm.Money
	Tokens int64 // of prompts and answers, including those read from the prompt cache
	Calls  int64 // calls sent, however they ended; the retries of a call do not count

	// Time is how long after [Scope.Start] calls may run. A call in flight at
	// that time is canceled.
	Time time.Duration
}

// Action is what happens to a call that a scope cannot cover.
type Action string

// Actions. The call fails if the action does not help.
const (
	ActionStop Action = "stop" // the call fails; the zero value too
	ActionAsk  Action = "ask"  // [Options.Ask] may raise the limits

	// ActionDowngrade lets [Options.Downgrade] choose a cheaper model.
	ActionDowngrade Action = "downgrade"

	// ActionPartial lowers the answer's limit to what fits, down to a quarter of
	// it. If the call fails, its run ends and keeps the results so far.
	ActionPartial Action = "partial"
)

// Scope is something that has a budget. Level and Name together identify it in
// the ledger: all calls with the same share it, whatever their limits.
type Scope struct {
	Level    Level
	Name     string // an agent, a run, a day; unique in its level
	Limits   Limits
	Start    time.Time // from when Limits.Time counts; zero for the start of each call
	OnBreach Action
}

// Today returns the scope of the day of now, in now's time zone.
func Today(now time.Time, limits Limits, onBreach Action) Scope {
	return Scope{Level: Day, Name: now.Format(time.DateOnly), Limits: limits, OnBreach: onBreach}
}

func (s Scope) key() string { return string(s.Level) + "/" + s.Name }

// String returns the name of the scope for errors.
func (s Scope) String() string {
	if s.Level == Call {
		return "a single call"
	}
	return string(s.Level) + " " + s.Name
}

type scopesKey struct{}

// With returns ctx with scopes added to those of ctx. A scope replaces an
// earlier one of the same level and name.
func With(ctx context.Context, scopes ...Scope) context.Context {
	return context.WithValue(ctx, scopesKey{}, merge(Scopes(ctx), scopes))
}

// Scopes returns the scopes of ctx.
func Scopes(ctx context.Context) []Scope {
	scopes, _ := ctx.Value(scopesKey{}).([]Scope)
	return scopes
}

// merge returns have with more added or replaced.
func merge(have, more []Scope) []Scope {
	out := slices.Clone(have)
	for _, s := range more {
		if i := slices.IndexFunc(out, func(h Scope) bool { return h.key() == s.key() }); i >= 0 {
			out[i] = s
		} else {
			out = append(out, s)
		}
	}
	return out
}

// scopes returns all scopes that a call belongs to.
func (b *Budget) scopes(ctx context.Context, req *llm.Request) []Scope {
	scopes := Scopes(ctx)
	if b.opts.Scopes != nil {
		scopes = merge(scopes, b.opts.Scopes(ctx, req))
	}
	return slices.Clone(scopes)
}
