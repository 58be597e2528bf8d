package record_test

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/record"
)

func Example() {
	sink := func(_ context.Context, c record.Call) {
		fmt.Printf("%s asked %s: %d tokens, $%.6f, %s\n", c.Agent, c.Model, c.Usage.TotalTokens(), *c.CostUSD, c.Source)
	}
	model := record.New(llmtest.Echo{}, record.Options{}, sink)

	req := llmtest.Request("hello")
	req.Agent = "greeter"
	resp, err := llm.Collect(model.Stream(context.Background(), req))
	fmt.Println(resp.Text(), err)
	// Output:
	// greeter asked claude-haiku-5-5: 22 tokens, $0.000007, live
	// echo: hello <nil>
}
