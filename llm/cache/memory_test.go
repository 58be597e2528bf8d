package cache_test

import (
	"testing"

	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachetest"
)

func TestMemory(t *testing.T) {
	cachetest.Suite(t, func(_ *testing.T, maxBytes int64) cache.Backend { return &cache.Memory{MaxBytes: maxBytes} })
}
