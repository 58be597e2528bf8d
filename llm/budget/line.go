package budget

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How often the first in line looks at the ledger unasked: other processes
// settle without telling.
const (
	firstPoll   = 25 * time.Millisecond
	longestPoll = time.Second
)

// line is the calls of this process that wait for room, in the order they
// came. Only the first that waits for an account tries, so that a large call is
// not kept waiting by small ones, and many calls do not ask the ledger at once.
type line struct {
	mu      sync.Mutex // guards the field below and the tickets' fields on and trying
	tickets []*ticket
}

type ticket struct {
	keys   []string
	on     string // key of the account it waits for; empty before its first try
	trying bool   // its try is under way, so it must hear of all changes
	wake   chan struct{}
}

func (t *ticket) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (l *line) join(accounts []Account) *ticket {
	t := &ticket{wake: make(chan struct{}, 1), keys: make([]string, len(accounts))}
	for i, a := range accounts {
		t.keys[i] = a.Key
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tickets = append(l.tickets, t)
	return t
}

// leave ends a ticket. The next in line may be first now.
func (l *line) leave(t *ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tickets = slices.DeleteFunc(l.tickets, func(other *ticket) bool { return other == t })
	l.rouse(t.keys)
}

// changed says that there may be more room in accounts.
func (l *line) changed(keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rouse(keys)
}

func (l *line) rouse(keys []string) {
	roused := map[string]bool{}
	for _, t := range l.tickets {
		if t.trying {
			t.rouse()
		} else if slices.Contains(keys, t.on) && !roused[t.on] {
			roused[t.on] = true
			t.rouse()
		}
	}
}

// first reports whether nobody who came earlier waits for an account of t, and
// if so that t tries now.
func (l *line) first(t *ticket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, earlier := range l.tickets {
		if earlier == t {
			break
		}
		if earlier.on != "" && slices.Contains(t.keys, earlier.on) {
			t.on = earlier.on
			return false
		}
	}
	t.trying = true
	return true
}

// short notes that t found no room in an account. Who waited behind it for
// another may be first there now.
func (l *line) short(t *ticket, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := t.on
	t.on, t.trying = key, false
	if before != "" && before != key {
		l.rouse([]string{before})
	}
}

// reserve waits for room for amount. It gives up with a shortage that is
// final, or when ctx ends.
func (b *Budget) reserve(ctx context.Context, accounts []Account, amount Amount) (Hold, *Shortage, error) {
	t := b.line.join(accounts)
	defer b.line.leave(t)
	for poll := firstPoll; ; poll = min(2*poll, longestPoll) {
		var timer <-chan time.Time
		if b.line.first(t) {
			hold, short, err := b.ledger.Reserve(accounts, amount)
			if err != nil || short == nil || short.Final() {
				return hold, short, err
			}
			b.line.short(t, accounts[short.Account].Key)
			timer = time.After(poll)
		}
		select {
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		case <-t.wake:
			poll = firstPoll
		case <-timer:
		}
	}
}
