package promptcache

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // all calls at the same moment, so that all are recent
		all := &llm.PriceTable{Models: []llm.ModelInfo{{ID: llmtest.Model, CacheMinimum: 1}}}
		m := New(llmtest.Echo{}, Options{Prices: all}).(*model)
		most := 0
		for i := range maxEntries + maxEntries/2 {
			llmtest.MustCollect(t, m, llmtest.Request(fmt.Sprint(i)))
			most = max(most, len(m.memory.entries))
		}
		if most > maxEntries {
			t.Errorf("%d prefixes remembered, want at most %d", most, maxEntries)
		}
		for _, e := range m.memory.entries {
			if e.active != 0 || e.leader != nil {
				t.Fatal("an entry is in use after all calls")
			}
		}
	})
}
