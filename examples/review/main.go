// Command review runs three independent checks in parallel and gives their
// findings to a final review, in plain Go instead of a workflow file.
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
	fmt.Println("Running parallel checks...")
	checks := orch.ExecuteMultiple(ctx, []claudeforce.Task{
		{Agent: "linter", Prompt: "Check Python code style: x=1"},
		{Agent: "type-checker", Prompt: "Check Python type hints: x=1"},
		{Agent: "security-specialist", Prompt: "Check for security issues: x=1"},
	})
	for _, check := range checks {
		if check.Err != nil {
			log.Fatal(check.Err)
		}
	}
	fmt.Printf("  Parallel checks completed in %.2fs\n", time.Since(start).Seconds())

	fmt.Println("Running final review...")
	prompt := fmt.Sprintf("Based on these findings:\n- Linter: %.100s...\n- Type Check: %.100s...\n- Security: %.100s...\n\nProvide final code review.",
		checks[0].Output, checks[1].Output, checks[2].Output)
	review, err := orch.ExecuteAgent(ctx, "code-reviewer", prompt)
	if err != nil {
		log.Fatal(err)
	}
	total := time.Since(start).Seconds()
	fmt.Println(review.Output)

	sequential := review.DurationSeconds
	for _, check := range checks {
		sequential += check.DurationSeconds
	}
	fmt.Printf("Workflow completed in %.2fs (sequential: %.2fs)\n", total, sequential)
}
