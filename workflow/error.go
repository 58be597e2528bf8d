package workflow

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-force/claude-force/fault"
)

// What an [Error] is about, for callers that branch on it with errors.Is.
// Errors that match none of them are mistakes in the form of the file.
var (
	ErrSyntax            = errors.New("the file is not valid YAML or JSON")
	ErrTooLarge          = errors.New("the file is too large")
	ErrCycle             = errors.New("dependency cycle")
	ErrUnknownAgent      = errors.New("unknown agent")
	ErrUnknownWorkflow   = errors.New("unknown workflow")
	ErrUnknownDependency = errors.New("unknown dependency")
	ErrDuplicateID       = errors.New("duplicate step id")
	ErrExpression        = errors.New("bad expression")
	ErrNotSupported      = errors.New("not supported here")

	// ErrParam is matched by the errors of [Workflow.BindParams].
	ErrParam = errors.New("bad parameter")
)

// Error is one problem in a workflow file.
type Error struct {
	File         string
	Line, Column int    // from 1, Column in characters; 0 when the problem is the file as a whole
	Message      string // what is wrong
	Hint         string // what to do about it; may be empty
	Err          error  // one of the sentinels, possibly with a cause; may be nil
}

// Error returns "file:line:column: message (hint)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(cmp.Or(e.File, "workflow"))
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column))
	}
	b.WriteString(": " + e.Message)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errors are all problems of a file, sorted by position. errors.Is and
// errors.As look at each of them.
type Errors []*Error

// Error returns one line per problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// FaultKind returns [fault.KindInput].
func (e Errors) FaultKind() fault.Kind { return fault.KindInput }

// Unwrap returns the problems one by one.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// MissingParamError reports a parameter that has no default and was not given.
// It matches [ErrParam].
type MissingParamError struct {
	Name  string
	about string // the description in brackets; may be empty
}

func (e *MissingParamError) Error() string {
	return fmt.Sprintf("%v: %s%s has no default; give it a value", ErrParam, e.Name, e.about)
}

// Unwrap returns [ErrParam].
func (e *MissingParamError) Unwrap() error { return ErrParam }
