// Command sequential gives one agent three tasks, one after the other: the slow
// way, to compare the others with.
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
	opts := claudeforce.Options{}
	if os.Getenv("ANTHROPIC_API_KEY") == "" {
		opts.Simulator = sim.New(sim.Options{Latency: sim.Fixed(100 * time.Millisecond)})
	}
	orch, err := claudeforce.New(ctx, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer orch.Close()

	start := time.Now()
	for i := range 3 {
		if _, err := orch.ExecuteAgent(ctx, "python-expert", fmt.Sprintf("Task %d", i)); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("Completed 3 tasks in %.2fs\n", time.Since(start).Seconds())
}
