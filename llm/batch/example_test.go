package batch_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/claude-force/claude-force/llm/coalesce"
	"github.com/claude-force/claude-force/sim"
)

// Concurrent calls share a batch; the pipeline above the batcher is the same as
// for live calls.
func Example() {
	server := sim.New(sim.Options{})
	client, err := anthropic.New(anthropic.Options{
		APIKey: "sk-test", BaseURL: "http://sim.invalid", HTTPClient: &http.Client{Transport: server.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "batches")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := batch.OpenDir(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	batcher := batch.New(client.Batches(), store, batch.Options{Keyer: client.Keyer(), Idle: 1e6})
	defer batcher.Close()
	model := coalesce.New(batcher.Model(), client.Keyer(), coalesce.Options{})

	var wg sync.WaitGroup
	for _, language := range []string{"Go", "Rust", "Zig"} {
		wg.Go(func() {
			req := &llm.Request{Model: "claude-haiku-5-5", MaxTokens: 100, Messages: []llm.Message{llm.UserText("Describe " + language)}}
			if _, err := llm.Collect(model.Stream(context.Background(), req)); err != nil {
				log.Print(err)
			}
		})
	}
	wg.Wait()
	fmt.Println("calls answered in batches:", server.Stats().BatchRequests)
	// Output: calls answered in batches: 3
}
