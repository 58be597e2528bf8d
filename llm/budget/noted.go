package budget

import "sync"

// maxNoted bounds the scopes that a process knows to be written down.
const maxNoted = 1000

// Noted are the scopes that a ledger is known to have written down as exceeded. The zero
// value is ready for use. It is safe for concurrent use.
type Noted struct {
	mu      sync.Mutex
	written map[string]bool // by account
}

// Once calls write with the account of a scope that is exceeded, unless a call before
// succeeded. write changes nothing if the ledger has the account already: it may be called
// several times.
func (n *Noted) Once(e *ExceededError, write func(account string) error) error {
	account := e.Scope.key()
	n.mu.Lock()
	written := n.written[account]
	n.mu.Unlock()
	if written {
		return nil
	}
	if err := write(account); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.written == nil {
		n.written = map[string]bool{}
	}
	if len(n.written) < maxNoted {
		n.written[account] = true
	}
	return nil
}
