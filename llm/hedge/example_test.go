package hedge_test

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/hedge"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func Example() {
	gate := admission.NewGate(10)
	queue := admission.New(hedge.MarkStart(llmtest.Echo{}), gate)
	model := hedge.New(queue, hedge.Options{
		Quantile: 0.95,
		OnHedge:  func(_ context.Context, h hedge.Hedge) { fmt.Println("sent twice:", h.Model, "after", h.After) },
	})
	resp, err := llm.Collect(model.Stream(context.Background(), llmtest.Request("hello")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Text())
	// Output:
	// echo: hello
}
