package llm_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

func TestUnbilled(t *testing.T) {
	t.Parallel()
	status := func(code llm.Code, status int) error { return &llm.Error{Code: code, Status: status, RetryAfter: -1} }
	code := func(code llm.Code, cause error) error { return llm.NewError(code, "", cause) }
	overloaded := status(llm.CodeOverloaded, 529)
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"400":                     {status(llm.CodeInvalid, 400), true},
		"401":                     {status(llm.CodeAuth, 401), true},
		"408 is a lost request":   {status(llm.CodeTimeout, 408), false},
		"413":                     {status(llm.CodeTooLarge, 413), true},
		"429":                     {status(llm.CodeRateLimit, 429), true},
		"529":                     {overloaded, true},
		"529, wrapped":            {fmt.Errorf("step a: %w", overloaded), true},
		"500 may have worked":     {status(llm.CodeServer, 500), false},
		"502 of a proxy":          {status(llm.CodeServer, 502), false},
		"503 of a proxy":          {status(llm.CodeServer, 503), false},
		"504 of a proxy":          {status(llm.CodeTimeout, 504), false},
		"an overload without one": {code(llm.CodeOverloaded, nil), true},
		"a failure without one":   {code(llm.CodeServer, nil), false},
		"never connected":         {code(llm.CodeConnection, &net.OpError{Op: "dial"}), true},
		"connection lost":         {code(llm.CodeConnection, &net.OpError{Op: "read"}), false},
		"cut":                     {llm.ErrIncomplete, false},
		"canceled":                {context.Canceled, false},
		"unknown":                 {errors.New("?"), false},
		"nil":                     {nil, false},
		"an attempt before it":    {llm.MayBeBilled(overloaded), false},
	} {
		if got := llm.Unbilled(c.err); got != c.want {
			t.Errorf("%s: Unbilled(%v) = %t, want %t", name, c.err, got, c.want)
		}
	}
	if err := llm.MayBeBilled(nil); err != nil {
		t.Errorf("MayBeBilled(nil) = %v", err)
	}
	if err := llm.MayBeBilled(overloaded); !errors.Is(err, overloaded) || err.Error() != overloaded.Error() || llm.CodeOf(err) != llm.CodeOverloaded {
		t.Errorf("the mark changed the error: %v", err)
	}
}
