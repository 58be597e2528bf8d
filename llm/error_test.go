package llm_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

func TestErrorsOfCanceledCallsSayThatTheyAre(t *testing.T) {
	canceled := fmt.Errorf("reading the store: %w", context.Canceled)
	for _, test := range []struct {
		code llm.Code
		err  error
		want llm.Code
	}{
		{llm.CodeInternal, canceled, llm.CodeCanceled},
		{llm.CodeInternal, errors.New("the disk is full"), llm.CodeInternal},
		{llm.CodeInternal, context.DeadlineExceeded, llm.CodeInternal}, // that of the store itself
		{llm.CodeInternal, nil, llm.CodeInternal},
		{llm.CodeServer, canceled, llm.CodeServer},
	} {
		if got := llm.CodeOf(llm.NewError(test.code, "the store cannot be read", test.err)); got != test.want {
			t.Errorf("NewError(%v, %v) has code %v, want %v", test.code, test.err, got, test.want)
		}
	}
}
