// Command progress gives ten agents a task each, and shows as each ends what it
// cost and what all have cost so far.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"slices"
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

	agents, _, err := claudeforce.Agents("")
	if err != nil {
		log.Fatal(err)
	}
	var tasks []claudeforce.Task
	for _, a := range agents.All() {
		tasks = append(tasks, claudeforce.Task{ID: a.Name, Agent: a.Name, Prompt: "What do you look at first in a new project?"})
	}
	tasks = tasks[:min(10, len(tasks))]

	done := 0
	for res := range orch.ExecuteAll(ctx, slices.Values(tasks), claudeforce.AllOptions{Unordered: true}) {
		done++
		if res.Err != nil {
			fmt.Printf("%2d/%d %s failed: %v\n", done, len(tasks), res.ID, res.Err)
			continue
		}
		cost := "unknown"
		if res.CostUSD != nil {
			cost = fmt.Sprintf("$%.4f", *res.CostUSD)
		}
		fmt.Printf("%2d/%d %s: %.1fs, %s, $%.4f so far\n", done, len(tasks), res.ID, res.DurationSeconds, cost, orch.Totals().CostUSD)
	}
}
