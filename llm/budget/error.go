package budget

import (
	"fmt"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
	"github.com/dustin/go-humanize/english"
)

// ExceededError is the failure of a call that a scope cannot cover, whatever the
// calls in flight will cost. It is inside an error of code [llm.CodeSpendLimit],
// which is never retried.
type ExceededError struct {
	Scope Scope
	Kind  Kind

	// In billionths of a dollar, tokens, calls, or nanoseconds.
	Limit    int64
	Spent    int64
	Reserved int64 // by other calls in flight
	Needed   int64 // by this call in the worst case

	// Action is the scope's OnBreach. For [ActionPartial] the caller ends its
	// work and keeps the results so far.
	Action Action
}

// FaultKind returns [fault.KindBudget].
func (e *ExceededError) FaultKind() fault.Kind { return fault.KindBudget }

// Unwrap returns the [llm.Ceiling] of the limit that has no room.
func (e *ExceededError) Unwrap() error {
	unit := map[Kind]string{Dollars: "usd", Tokens: "tokens", Calls: "calls", Time: "time"}[e.Kind]
	switch {
	case unit == "" && e.Scope.Limits.Money != 0: // of an answer that was cut
		unit = "usd"
	case unit == "":
		unit = "tokens"
	}
	return &llm.Ceiling{Of: string(e.Scope.Level), Unit: unit}
}

func (e *ExceededError) Error() string {
	if e.Kind == Time {
		return fmt.Sprintf("the budget of %s is exceeded: its %v have passed; give it more time, or less to do", e.Scope, time.Duration(e.Limit))
	}
	if e.Kind == Answer {
		return fmt.Sprintf("the budget of %s left room for an answer of %s, and it was cut there; raise the limit, or choose a cheaper model", e.Scope, english.Plural(int(e.Limit), "token", ""))
	}
	reserved := ""
	if e.Reserved > 0 {
		reserved = fmt.Sprintf(", %s more are reserved", e.amount(e.Reserved))
	}
	return fmt.Sprintf("the budget of %s would be exceeded: %s of %s are spent%s, and this call can take up to %s; %s",
		e.Scope, e.amount(e.Spent), e.amount(e.Limit), reserved, e.amount(e.Needed), e.advice())
}

// amount formats n in the error's kind.
func (e *ExceededError) amount(n int64) string {
	switch e.Kind {
	case Dollars:
		return llm.Money(n).String()
	case Calls:
		return english.Plural(int(n), "call", "")
	}
	return english.Plural(int(n), "token", "")
}

// advice returns what the user can do.
func (e *ExceededError) advice() string {
	switch {
	case e.Kind == Calls && e.Scope.Level == Day:
		return "raise the limit, or wait for tomorrow"
	case e.Kind == Calls:
		return "raise the limit"
	case e.Scope.Level == Day:
		return "raise the limit, wait for tomorrow, lower max_tokens, or choose a cheaper model"
	case e.Kind == Tokens:
		return "raise the limit, lower max_tokens, or send less"
	}
	return "raise the limit, lower max_tokens, or choose a cheaper model"
}

// call returns e as the error of a call.
func (e *ExceededError) call() *llm.Error { return llm.NewError(llm.CodeSpendLimit, e.Error(), e) }

// UnboundedError is the failure of a call whose worst case is unknown, in a
// scope that has a limit for it. It is inside an error of code
// [llm.CodeInvalid].
type UnboundedError struct {
	Scope  Scope
	Kind   Kind
	Model  string
	Reason string // what is unknown, and what to do
}

func (e *UnboundedError) Error() string {
	return fmt.Sprintf("%s has a budget in %s, and the most that this call of %s can take is unknown: %s", e.Scope, e.Kind, e.Model, e.Reason)
}

// Exceeded is a scope that had no room left for a call, the first time, as a ledger
// that is shared has written it down.
type Exceeded struct {
	N     int64 // in the order in which they were written, from 1
	Level Level
	Name  string
	Kind  Kind
	Limit int64 // in billionths of a dollar, tokens or calls, like Spent
	Spent int64
	At    time.Time
}
