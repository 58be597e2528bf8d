package budget

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How often the first call in line polls the ledger, because other processes
// settle without a notification.
const (
	firstPoll   = 25 * time.Millisecond
	longestPoll = time.Second
)

// line holds the calls of this process that wait for room in their budgets, in
// the order they came. Only the first one that waits for an account tries to
// reserve. So small calls do not overtake a large one for ever, and many calls do
// not query the ledger at once.
type line struct {
	mu      sync.Mutex // guards the field below and the tickets' fields on and trying
	tickets []*ticket
}

type ticket struct {
	keys   []string
	on     string // key of the account it waits for; empty before its first try
	trying bool   // a try is in progress, so every change must wake it
	wake   chan struct{}
}

// signal wakes the ticket without blocking.
func (t *ticket) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// waiting returns how many calls wait for one of the accounts.
func (l *line) waiting(accounts []Account) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tickets {
		if slices.ContainsFunc(accounts, func(a Account) bool { return slices.Contains(t.keys, a.Key) }) {
			n++
		}
	}
	return n
}

// join adds a ticket at the end.
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

// leave removes a ticket and wakes the one that may be first now.
func (l *line) leave(t *ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tickets = slices.DeleteFunc(l.tickets, func(other *ticket) bool { return other == t })
	l.wakeFirst(t.keys)
}

// changed wakes the first ticket of each account that may have more room.
func (l *line) changed(keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeFirst(keys)
}

// wakeFirst wakes the first ticket that waits for each of the keys. The caller
// holds mu.
func (l *line) wakeFirst(keys []string) {
	woken := map[string]bool{}
	for _, t := range l.tickets {
		if t.trying {
			t.signal()
		} else if slices.Contains(keys, t.on) && !woken[t.on] {
			woken[t.on] = true
			t.signal()
		}
	}
}

// first reports whether no earlier ticket waits for an account of t. If so it
// marks t as trying.
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

// short records that t waits for an account, and wakes the ticket that may be
// first at the account that t waited for before.
func (l *line) short(t *ticket, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := t.on
	t.on, t.trying = key, false
	if before != "" && before != key {
		l.wakeFirst([]string{before})
	}
}

// reserve waits until the accounts can cover amount and reserves it. Whenever they
// cannot, less may return a smaller amount, which is tried at once, or may report
// that one will do later. reserve returns the amount that it reserved, an
// Insufficient that is final, or the error of ctx when that ends.
func (b *Budget) reserve(ctx context.Context, accounts []Account, amount Amount, less func(*Insufficient) (smaller Amount, ok, later bool)) (reservation, *Insufficient, error) {
	t := b.line.join(accounts)
	defer b.line.leave(t)
	for poll := firstPoll; ; poll = min(2*poll, longestPoll) {
		var timer <-chan time.Time
		if b.line.first(t) {
			id, short, err := b.ledger.Reserve(accounts, amount)
			later := false
			if err == nil && short != nil {
				var smaller Amount
				var ok bool
				if smaller, ok, later = less(short); ok {
					amount = smaller
					id, short, err = b.ledger.Reserve(accounts, amount)
				}
			}
			if err != nil || short == nil || short.Final() && !later {
				return reservation{id, amount}, short, err
			}
			b.line.short(t, accounts[short.Account].Key)
			timer = time.After(poll)
		}
		select {
		case <-ctx.Done():
			return reservation{}, nil, ctx.Err()
		case <-t.wake:
			poll = firstPoll
		case <-timer:
		}
	}
}
