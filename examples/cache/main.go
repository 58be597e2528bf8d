// Command cache asks the same twice: the second answer comes from the response
// cache. The settings show how long answers are kept and which agents' are not.
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
	cfg.Cache.TTL = time.Hour
	cfg.Cache.ExcludeAgents = []string{"creative-writer"}
	opts := claudeforce.Options{Config: cfg}
	if os.Getenv("ANTHROPIC_API_KEY") == "" {
		opts.Simulator = sim.New(sim.Options{Latency: sim.Fixed(100 * time.Millisecond)})
	}
	orch, err := claudeforce.New(ctx, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer orch.Close()

	for _, call := range []string{"First call", "Second call"} {
		result, err := orch.ExecuteAgent(ctx, "python-expert", "Explain decorators")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s (%s, %.3fs): %.100s...\n", call, result.Source, result.DurationSeconds, result.Output)
	}
	stats, err := orch.CacheStats(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Cache hit rate: %.2f\n", stats.HitRate)
}
