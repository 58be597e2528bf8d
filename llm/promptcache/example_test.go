package promptcache_test

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/promptcache"
)

func Example() {
	next := llmtest.NewScript(llmtest.Answer("done"))
	model := promptcache.New(next, promptcache.Options{})

	law := llm.Fence("file", "path", "law.txt", document(60_000))
	ctx := promptcache.Announce(context.Background(), promptcache.Plan{Calls: 2})
	for _, task := range []string{"Summarise article 1.", "Summarise article 2."} {
		req := &llm.Request{Model: "claude-sonnet-5-5", MaxTokens: 500, Messages: []llm.Message{llm.UserTurn([]string{law}, task)}}
		if _, err := llm.Collect(model.Stream(ctx, req)); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, req := range next.Requests() {
		for _, b := range req.Messages[0].Content {
			fmt.Printf("%.20q breakpoint: %t\n", b.Text, b.CacheControl != nil)
		}
	}
	// Output:
	// "<file path=\"law.txt\"" breakpoint: true
	// "Summarise article 1." breakpoint: false
	// "<file path=\"law.txt\"" breakpoint: true
	// "Summarise article 2." breakpoint: false
}
