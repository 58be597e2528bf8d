package admission_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func Example() {
	next := llmtest.NewScript(llmtest.Answer("done"))
	model := admission.New(next, admission.NewGate(2))

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := llm.Collect(model.Stream(context.Background(), llmtest.Request("work"))); err != nil {
				fmt.Println(err)
			}
		})
	}
	wg.Wait()
	fmt.Println(next.Started(), "calls, never more than 2 at once:", next.MaxInFlight() <= 2)
	// Output: 20 calls, never more than 2 at once: true
}

func ExampleNewLimited() {
	limits := admission.NewLimiter(admission.Options{Limits: map[string]admission.Limits{"": {Requests: 50}}})
	next := llmtest.NewScript(llmtest.Answer("done"))
	// Over the network, limits.Observe is the provider's OnHeaders.
	model := admission.NewLimited(next, admission.NewGate(10), limits)

	ctx := admission.WithRun(context.Background(), "run 1")
	if _, err := llm.Collect(model.Stream(ctx, llmtest.Request("work"))); err != nil {
		fmt.Println(err)
	}
	for _, pool := range limits.Limits() {
		fmt.Printf("%s: %d requests a minute (%s)\n", pool.Pool, pool.Requests.Limit, pool.Requests.Source)
	}
	// Output: haiku-5.5: 50 requests a minute (configured)
}
