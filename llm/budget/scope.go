package budget

import (
	"context"
	"slices"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Level says what a scope is.
type Level string

// Levels of scopes. They nest by being given together.
const (
	Day   Level = "day"
	Run   Level = "run"
	Step  Level = "step"
	Agent Level = "agent"
	Call  Level = "call" // of each call alone; nothing is kept of it
)

// Limits are ceilings; 0 is none.
type Limits struct {
	Money  llm.Money
	Tokens int64 // of prompts and answers, those read from the prompt cache included
	Calls  int64 // that were sent, however they ended; tries of one call count once

	// Time is how long after [Scope.Start] calls may go on. A call under way
	// then is ended.
	Time time.Duration
}

// Action says what happens to a call that a scope has no room for.
type Action string

// Actions. Each fails the call in the end if nothing helps.
const (
	ActionStop Action = "stop" // the call fails; the zero value too
	ActionAsk  Action = "ask"  // [Options.Ask] may raise the limits

	// ActionDowngrade lets [Options.Downgrade] choose a cheaper model.
	ActionDowngrade Action = "downgrade"

	// ActionPartial shortens the answer's limit to what fits, down to a quarter
	// of it; and who runs the call's siblings takes the failure as the end of a
	// run that keeps what it has.
	ActionPartial Action = "partial"
)

// Scope is something that has a budget. Level and Name together are its name
// in the ledger, so all calls that give the same share it, whatever limits they
// give.
type Scope struct {
	Level    Level
	Name     string // an agent, a run, a day; unique in its level
	Limits   Limits
	Start    time.Time // when its time began; the zero time is that of the call
	OnBreach Action
}

// Today is the scope of the day of now, in now's time zone.
func Today(now time.Time, limits Limits, onBreach Action) Scope {
	return Scope{Level: Day, Name: now.Format(time.DateOnly), Limits: limits, OnBreach: onBreach}
}

func (s Scope) key() string { return string(s.Level) + "/" + s.Name }

// String is the scope as errors name it.
func (s Scope) String() string {
	if s.Level == Call {
		return "a single call"
	}
	return string(s.Level) + " " + s.Name
}

type scopesKey struct{}

// With adds scopes to those that calls of ctx belong to already. One of the
// same level and name takes the place of an earlier one.
func With(ctx context.Context, scopes ...Scope) context.Context {
	return context.WithValue(ctx, scopesKey{}, merge(Scopes(ctx), scopes))
}

// Scopes are those of ctx.
func Scopes(ctx context.Context) []Scope {
	scopes, _ := ctx.Value(scopesKey{}).([]Scope)
	return scopes
}

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

// scopes are all that a call belongs to, with the limits that were raised
// since.
func (b *Budget) scopes(ctx context.Context, req *llm.Request) []Scope {
	scopes := Scopes(ctx)
	if b.opts.Scopes != nil {
		scopes = merge(scopes, b.opts.Scopes(ctx, req))
	}
	return slices.Clone(scopes)
}
