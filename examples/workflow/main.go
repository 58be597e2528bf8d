// Command workflow runs a workflow: linter and type-check side by side, then
// review, which is given the findings of both.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/sim"
)

const codeQuality = `{
  "name": "Code Quality Check",
  "steps": [
    {"id": "linter", "agent": "linter", "task": "Check code style", "dependencies": []},
    {"id": "type-check", "agent": "type-checker", "task": "Check types", "dependencies": []},
    {"id": "review", "agent": "code-reviewer", "task": "Final review", "dependencies": ["linter", "type-check"]}
  ]
}`

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

	wf, err := claudeforce.ParseWorkflow("", "code-quality.json", []byte(codeQuality))
	if err != nil {
		log.Fatal(err)
	}
	result, err := orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Steps["review"].Output)
	fmt.Printf("Completed in %.2fs\n", result.TotalTimeSeconds)
	fmt.Printf("Execution order: %s\n", strings.Join(result.ExecutionOrder, ", "))
}
