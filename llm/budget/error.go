package budget

import (
	"fmt"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// ExceededError is a call that a scope has no room for, whatever becomes of
// the calls in flight. It is inside an error of code [llm.CodeSpendLimit],
// which is never tried again.
type ExceededError struct {
	Scope Scope
	Kind  Kind

	// In billionths of a dollar, tokens, calls, or nanoseconds.
	Limit    int64
	Spent    int64
	Reserved int64 // by other calls in flight
	Needed   int64 // by this call at worst

	// Action is what the scope says is to happen. For [ActionPartial] it is for
	// the caller to end what it does and keep what it has.
	Action Action
}

func (e *ExceededError) Error() string {
	if e.Kind == Time {
		return fmt.Sprintf("the budget of %s is exceeded: its %v have passed; give it more time, or less to do", e.Scope, time.Duration(e.Limit))
	}
	reserved := ""
	if e.Reserved > 0 {
		reserved = fmt.Sprintf(", %s more are reserved", e.amount(e.Reserved))
	}
	return fmt.Sprintf("the budget of %s would be exceeded: %s of %s are spent%s, and this call can take up to %s; %s",
		e.Scope, e.amount(e.Spent), e.amount(e.Limit), reserved, e.amount(e.Needed), e.advice())
}

func (e *ExceededError) amount(n int64) string {
	switch e.Kind {
	case Dollars:
		return llm.Money(n).String()
	case Calls:
		if n == 1 {
			return "1 call"
		}
		return fmt.Sprintf("%d calls", n)
	}
	return fmt.Sprintf("%d tokens", n)
}

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

func (e *ExceededError) call() *llm.Error { return llm.NewError(llm.CodeSpendLimit, e.Error(), e) }

// UnboundedError is a call whose worst case cannot be told, in a scope that
// has a ceiling for it. It is inside an error of code [llm.CodeInvalid].
type UnboundedError struct {
	Scope  Scope
	Kind   Kind
	Model  string
	Reason string // what cannot be told, and what to do
}

func (e *UnboundedError) Error() string {
	return fmt.Sprintf("%s has a budget in %s, and what this call of %s can take is not known: %s", e.Scope, e.Kind, e.Model, e.Reason)
}
