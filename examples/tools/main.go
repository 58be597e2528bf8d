// Command tools gives an agent a Go function to call.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/tool"
)

// Article is the input of the tool. The tags name and describe it to the model.
type Article struct {
	Name string `json:"name" jsonschema:"of the article, in the singular"`
}

var stock = map[string]int{"lamp": 3, "chair": 12}

func inStock(_ context.Context, a Article) (string, error) {
	n, ok := stock[a.Name]
	if !ok {
		return "", fmt.Errorf("we do not sell %q", a.Name) // the model reads this
	}
	return fmt.Sprintf("%d in stock", n), nil
}

func main() {
	ctx := context.Background()
	look, err := tool.Func("in_stock", "Says how many of an article are in stock.", inStock)
	if err != nil {
		log.Fatal(err)
	}
	opts := claudeforce.Options{
		Tools:  []tool.Tool{tool.ReadOnly(look)},
		Agents: []*agent.Agent{{Name: "clerk", Prompt: "You answer customers.", Model: "haiku", Tools: []string{"in_stock"}}},
	}
	if os.Getenv("ANTHROPIC_API_KEY") == "" {
		script, err := sim.ParseScript("clerk", []byte(`rules: [{turns: [{tools: [{name: in_stock, input: {name: lamp}}]}, {text: "We have 3 lamps."}]}]`))
		if err != nil {
			log.Fatal(err)
		}
		opts.Simulator = sim.New(sim.Options{Script: script})
	}
	orch, err := claudeforce.New(ctx, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer orch.Close()
	res, err := orch.ExecuteAgent(ctx, "clerk", "Do you have lamps?")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s (%d turns, %d tool calls)\n", res.Output, res.Turns, res.ToolCalls)
}
