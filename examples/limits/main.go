// Command limits runs many tasks with at most ten calls in flight and a time
// limit for each. Results come as they finish; memory does not grow with the
// number of tasks.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/sim"
)

func main() {
	ctx := context.Background()
	cfg, err := claudeforce.LoadConfig("")
	if err != nil {
		log.Fatal(err)
	}
	cfg.Jobs = 10
	opts := claudeforce.Options{Config: cfg}
	if os.Getenv("ANTHROPIC_API_KEY") == "" {
		opts.Simulator = sim.New(sim.Options{Latency: sim.Fixed(10 * time.Millisecond)})
	}
	orch, err := claudeforce.New(ctx, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer orch.Close()

	tasks := func(yield func(claudeforce.Task) bool) {
		for i := range 100 {
			if !yield(claudeforce.Task{Agent: "python-expert", Prompt: fmt.Sprintf("Explain topic %d", i), Timeout: 5 * time.Minute}) {
				return
			}
		}
	}
	done, failed := 0, 0
	for result := range orch.ExecuteAll(ctx, tasks, claudeforce.AllOptions{Unordered: true}) {
		if result.Err != nil {
			failed++
			continue
		}
		done++
	}
	fmt.Printf("%d done, %d failed\n", done, failed)
	if opts.Simulator != nil {
		fmt.Printf("most calls in flight: %d\n", opts.Simulator.Stats().MaxInFlight)
	}
}
