// Command parallel gives one agent three tasks at once and prints the
// throughput.
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

	var tasks []claudeforce.Task
	for _, text := range []string{"Explain Python lists", "Explain Python dicts", "Explain Python sets"} {
		tasks = append(tasks, claudeforce.Task{Agent: "python-expert", Prompt: text})
	}
	start := time.Now()
	results := orch.ExecuteMultiple(ctx, tasks)
	elapsed := time.Since(start).Seconds()

	fmt.Printf("Completed %d tasks in %.2fs\n", len(results), elapsed)
	fmt.Printf("Throughput: %.2f tasks/second\n", float64(len(results))/elapsed)
}
