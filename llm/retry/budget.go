package retry

import "sync"

// Budget bounds the retries of all calls that share it, so that a service in
// trouble is not asked several times as often as a healthy one. Each retry
// takes one token, each whole answer gives some of one back: while most calls
// succeed it is never felt, while all fail it soon stops the retries. It is
// safe for concurrent use; a nil Budget allows everything.
type Budget struct {
	// In thousandths of a token, so that ten tenths are one.
	limit, perAnswer int64

	mu   sync.Mutex // guards left
	left int64
}

const token = 1000

// NewBudget returns a budget that begins with, and holds at most, tokens retries,
// and gets perAnswer of one back with each whole answer. NewBudget(100, 0.1)
// lets a burst of 100 retries pass, and in the long run one retry for ten
// answers.
func NewBudget(tokens int, perAnswer float64) *Budget {
	limit := int64(tokens) * token
	return &Budget{limit: limit, perAnswer: int64(perAnswer * token), left: limit}
}

// Left returns the number of retries the budget allows now.
func (b *Budget) Left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(b.left / token)
}

func (b *Budget) take() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < token {
		return false
	}
	b.left -= token
	return true
}

func (b *Budget) refill() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.limit, b.left+b.perAnswer)
}
