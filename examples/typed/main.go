// Command typed asks an agent that is defined in code, and gets its answer as a
// struct.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/sim"
)

// Estimate is what the agent answers with. The tags name and describe the fields
// to the model.
type Estimate struct {
	Days  int      `json:"days" jsonschema:"of work for one engineer"`
	Risks []string `json:"risks" jsonschema:"what could take longer, most likely first"`
}

func main() {
	ctx := context.Background()
	opts := claudeforce.Options{Agents: []*agent.Agent{{
		Name:   "estimator",
		Prompt: "You estimate how long changes to software take. You count tests and reviews.",
		Model:  "haiku",
	}}}
	if os.Getenv("ANTHROPIC_API_KEY") == "" {
		opts.Simulator = sim.New(sim.Options{})
	}
	orch, err := claudeforce.New(ctx, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer orch.Close()

	estimate, res, err := claudeforce.Execute[Estimate](ctx, orch, claudeforce.Task{
		Agent: "estimator", Prompt: "Add a dark mode to a web page of ten screens.",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d days, %d risks, by %s\n", estimate.Days, len(estimate.Risks), res.Model)
}
