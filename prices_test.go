package claudeforce_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/sim"
)

// TestCacheMinimumOfTheUser checks that the cache_minimum of a prices.yaml
// decides from what size on prompts are cached.
func TestCacheMinimumOfTheUser(t *testing.T) {
	for minimum, cached := range map[string]bool{"512": true, "90000": false} {
		synctest.Test(t, func(t *testing.T) {
			orch := open(t, sim.New(sim.Options{Latency: sim.Fixed(time.Second)}), func(o *claudeforce.Options) {
				o.Config.Prices = filepath.Join(o.Dir, "prices.yaml")
				text := "models:\n- id: claude-haiku-5-5\n  cache_minimum: " + minimum + "\n"
				if err := os.WriteFile(o.Config.Prices, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			})
			shared := []string{strings.Repeat("All that is known of the matter. ", 2000)}
			written := 0
			for _, text := range []string{"First.", "Second.", "Third."} {
				res, err := orch.Execute(t.Context(), claudeforce.Task{Agent: "linter", Prompt: text, SharedContext: shared, Model: "haiku"}, nil)
				if err != nil {
					t.Fatal(err)
				}
				written += res.Usage.CacheWrite5m + res.Usage.CacheWrite1h
			}
			if (written > 0) != cached {
				t.Errorf("cache_minimum %s: %d tokens written to the prompt cache, want some: %t", minimum, written, cached)
			}
		})
	}
}
