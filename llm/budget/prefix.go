package budget

import (
	"sync"

	"github.com/claude-force/claude-force/llm"
)

// The bound of a prompt by its bytes is several times its tokens, most of all where
// there are tools. But a prompt has no more tokens than a longer one that begins with
// it. So what the service reported for an earlier call bounds the part that this call
// has in common with it: system prompt and tools, and in a conversation the turns so
// far. Only what follows is counted by its bytes.

// maxPrefixes bounds the prompts that are remembered.
const maxPrefixes = 4096

// prefixes are the reported tokens of prompts, by the key of how they begin. It is safe
// for concurrent use.
type prefixes struct {
	mu     sync.Mutex // guards the field below
	tokens map[llm.Key]int
}

// prefixKey returns the key of the first messages of a request, with all that stands
// before them and all that may change how many tokens the service adds.
func prefixKey(req *llm.Request, messages int) (llm.Key, bool) {
	begin := *req
	begin.Messages, begin.MaxTokens, begin.Sample = req.Messages[:messages], 0, 0
	key, err := llm.Keyer{}.Key(&begin)
	return key, err == nil
}

// add remembers what the service reported for the prompt of req.
func (p *prefixes) add(req *llm.Request, u llm.Usage) {
	tokens := u.InputTokens + u.CacheReadTokens + u.CacheWrite5m + u.CacheWrite1h
	if tokens <= 0 || inputBound(req) >= unbounded/4 {
		return
	}
	for _, n := range []int{0, len(req.Messages)} {
		key, ok := prefixKey(req, n)
		if !ok {
			return
		}
		p.mu.Lock()
		if p.tokens == nil || len(p.tokens) >= maxPrefixes {
			p.tokens = map[llm.Key]int{}
		}
		if known, ok := p.tokens[key]; !ok || tokens < known {
			p.tokens[key] = tokens
		}
		p.mu.Unlock()
	}
}

// bound returns the most tokens of the prompt of req that follow from earlier calls; 0
// if there was none that begins as it does.
func (p *prefixes) bound(req *llm.Request) int {
	least := 0
	// A turn adds an answer and its results, and some add another message.
	for _, n := range []int{len(req.Messages), len(req.Messages) - 1, len(req.Messages) - 2, len(req.Messages) - 3, 0} {
		if n < 0 {
			continue
		}
		key, ok := prefixKey(req, n)
		if !ok {
			return least
		}
		p.mu.Lock()
		tokens, known := p.tokens[key]
		p.mu.Unlock()
		if !known {
			continue
		}
		rest := llm.Request{Messages: req.Messages[n:]}
		if bound := tokens + inputBound(&rest); least == 0 || bound < least {
			least = bound
		}
	}
	return least
}

// learnTokens lowers the bound of the prompt to what follows from earlier calls, once,
// and reports whether that changed it.
func (c *call) learnTokens() bool {
	if c.learned {
		return false
	}
	c.learned = true
	n := c.b.prefixes.bound(c.req)
	if n == 0 || n >= c.input {
		return false
	}
	c.input = n
	return true
}
