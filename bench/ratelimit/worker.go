package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/retry"
)

// Kinds of clients.
const (
	clientLearning = "learning" // llm/admission under llm/retry
	clientFixed    = "sdk, 8"   // eight calls at once, the SDK's retries
)

const (
	model    = "claude-haiku-5-5"
	inFlight = 128 // most calls of the learning client at once
	fixed    = 8
)

// job is what one client does.
type job struct {
	URL, Dir, Client string
	Minute           time.Duration
	First, After     int // tasks
}

// work does a job and prints how many of its tasks got no answer.
func work(ctx context.Context, text string, out io.Writer) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	ask, limit, err := j.client()
	if err != nil {
		return err
	}
	var lost atomic.Int64
	var wg sync.WaitGroup
	tasks := make(chan int)
	for range limit {
		wg.Go(func() {
			for i := range tasks {
				if err := ask(ctx, i); err != nil {
					if lost.Add(1) == 1 && j.Client == clientLearning {
						fmt.Fprintln(os.Stderr, "ratelimit: first lost task:", err)
					}
				}
			}
		})
	}
	for i := j.First; i < j.After; i++ {
		tasks <- i
	}
	close(tasks)
	wg.Wait()
	return json.NewEncoder(out).Encode(lost.Load())
}

// client returns the function that sends a task, and how many goroutines call it.
func (j *job) client() (ask func(ctx context.Context, i int) error, limit int, err error) {
	if j.Client == clientFixed {
		client := sdk.NewClient(option.WithBaseURL(j.URL), option.WithAPIKey("sk-bench"))
		return func(ctx context.Context, i int) error {
			_, err := client.Messages.New(ctx, sdk.MessageNewParams{
				Model: model, MaxTokens: 1000,
				Messages: []sdk.MessageParam{sdk.NewUserMessage(sdk.NewTextBlock(prompt(i)))},
			})
			return err
		}, fixed, nil
	}
	limits := admission.NewLimiter(admission.Options{Dir: j.Dir, Namespace: "bench", Minute: j.Minute})
	provider, err := anthropic.New(anthropic.Options{APIKey: "sk-bench", BaseURL: j.URL, OnHeaders: limits.Observe})
	if err != nil {
		return nil, 0, err
	}
	m := retry.New(admission.NewLimited(provider, admission.NewGate(inFlight), limits), retry.Options{})
	return func(ctx context.Context, i int) error {
		req := &llm.Request{Model: model, MaxTokens: 1000, Messages: []llm.Message{llm.UserText(prompt(i))}, Agent: fmt.Sprint("agent ", i%5)}
		_, err := llm.Collect(m.Stream(ctx, req))
		return err
	}, j.After - j.First, nil
}

// prompt returns a task: five agents, and documents of 400 to 2,900 tokens.
func prompt(i int) string {
	words := 250 + (i%5)*300 + (i*7919)%400
	return fmt.Sprintf("Task %d: sum up the text.\n\n%s", i, strings.Repeat("lorem ", words))
}
