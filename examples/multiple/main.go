// Command multiple executes one agent, then several at once.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/sim"
)

func main() {
	ctx := context.Background()
	opts := claudeforce.Options{}
	if os.Getenv("ANTHROPIC_API_KEY") == "" {
		opts.Simulator = sim.New(sim.Options{})
	}
	orch, err := claudeforce.New(ctx, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer orch.Close()

	// A single execution.
	result, err := orch.ExecuteAgent(ctx, "python-expert", "Explain async/await")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Output)

	// Several at once. Results are in the order of the tasks; one failure does
	// not touch the others.
	results := orch.ExecuteMultiple(ctx, []claudeforce.Task{
		{Agent: "python-expert", Prompt: "Explain lists"},
		{Agent: "python-expert", Prompt: "Explain dicts"},
		{Agent: "code-reviewer", Prompt: "Review my code: x = 1"},
	})
	for i, result := range results {
		if result.Err != nil {
			fmt.Printf("Task %d failed: %v\n", i, result.Err)
			continue
		}
		fmt.Printf("Task %d: %.100s...\n", i, result.Output)
	}
}
