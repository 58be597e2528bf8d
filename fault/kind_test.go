package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/claude-force/claude-force/fault"
)

func TestKindOf(t *testing.T) {
	missing := fault.New(fault.KindNotFound, "no such run")
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{
		{nil, 0},
		{errors.New("plain"), 0},
		{missing, fault.KindNotFound},
		{fmt.Errorf("finding: %w", missing), fault.KindNotFound},
		{fault.Input(missing), fault.KindInput},                       // the outermost counts
		{fault.Input(fmt.Errorf("finding: %w", context.Canceled)), 0}, // says nothing of the input
		{fault.Input(fmt.Errorf("finding: %w", context.DeadlineExceeded)), 0},
		{fault.Unavailable(errors.New("no answer")), fault.KindUnavailable},
		{fault.Unavailable(missing), fault.KindNotFound}, // is known
		{errors.Join(errors.New("plain"), missing), fault.KindNotFound},
		{fmt.Errorf("reading: %w", fault.New(0, "none")), 0},
	} {
		if got := fault.KindOf(c.err); got != c.want {
			t.Errorf("KindOf(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

func TestHas(t *testing.T) {
	over := fault.New(fault.KindBudget, "no room")
	for _, err := range []error{
		over,
		fault.Input(over), // beneath another kind
		errors.Join(fault.Input(errors.New("unknown agent")), fmt.Errorf("step a: %w", over)),
	} {
		if !fault.Has(err, fault.KindBudget) {
			t.Errorf("Has(%v, KindBudget) = false", err)
		}
	}
	for _, err := range []error{nil, errors.New("plain"), fault.Input(errors.New("unknown agent"))} {
		if fault.Has(err, fault.KindBudget) {
			t.Errorf("Has(%v, KindBudget) = true", err)
		}
	}
}
