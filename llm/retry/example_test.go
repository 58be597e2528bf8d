package retry_test

import (
	"context"
	"fmt"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/retry"
)

func Example() {
	next := llmtest.NewScript(
		[]llmtest.Step{llmtest.FailCode(llm.CodeOverloaded)},
		llmtest.Answer("hello again"),
	)
	model := retry.New(next, retry.Options{
		Base: time.Millisecond,
		OnRetry: func(_ context.Context, attempt int, _ time.Duration, err error) {
			fmt.Printf("attempt %d: %v\n", attempt, err)
		},
	})
	resp, err := llm.Collect(model.Stream(context.Background(), llmtest.Request("hello")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("attempt %d: %s\n", resp.Attempts, resp.Text())
	// Output:
	// attempt 1: scripted overloaded (overloaded)
	// attempt 2: hello again
}
