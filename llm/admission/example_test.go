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
