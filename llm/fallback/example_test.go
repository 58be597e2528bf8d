package fallback_test

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/fallback"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func Example() {
	next := llmtest.NewScript(
		[]llmtest.Step{llmtest.FailCode(llm.CodeOverloaded)},
		llmtest.Answer("hello"),
	)
	model := fallback.New(next, fallback.Options{
		Models:     func(context.Context, *llm.Request) []string { return []string{"claude-sonnet-5-5"} },
		OnFallback: func(_ context.Context, f fallback.Fallback) { fmt.Printf("asking %s: %v\n", f.To, f.Err) },
	})
	resp, err := llm.Collect(model.Stream(context.Background(), llmtest.Request("hello")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Text())
	// Output:
	// asking claude-sonnet-5-5: scripted overloaded (overloaded)
	// hello
}
