package batch

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// collect makes batches of the calls that wait, and notes which answers have
// been taken, until the lane ends.
func (l *Lane) collect() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var settleAt time.Time // zero if there is nothing to settle
	for {
		calls, cancels, due := l.due()
		if calls != nil {
			l.submit(calls, cancels)
			continue
		}
		if settleAt.IsZero() && l.unsettled() {
			settleAt = time.Now().Add(l.opts.Settle)
		}
		if !settleAt.IsZero() && !time.Now().Before(settleAt) {
			settleAt = time.Time{}
			if err := l.settle(); err != nil {
				l.tell(Event{Type: BatchTrouble, Err: err})
			}
			continue
		}
		next := due
		if !settleAt.IsZero() && (next.IsZero() || settleAt.Before(next)) {
			next = settleAt
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-timer.C:
		case <-l.collecting:
		case <-l.ctx.Done():
			return
		}
	}
}

// due returns the calls that are to be submitted now, and how often Cancel was called
// before; or else when to look again, zero if nothing waits.
func (l *Lane) due() (calls []*call, cancels int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 || l.closed {
		l.flush = false
		return nil, 0, time.Time{}
	}
	at = l.lastCame.Add(l.opts.Idle)
	if end := l.firstCame.Add(l.opts.Window); end.Before(at) {
		at = end
	}
	n := len(l.waiting)
	if !l.flush && time.Now().Before(at) {
		if n = l.full(); n == 0 {
			return nil, 0, at
		}
	}
	calls, l.waiting = l.waiting[:n:n], l.waiting[n:]
	for _, c := range calls {
		l.bytes -= len(c.params)
	}
	l.flush = l.flush && len(l.waiting) > 0
	return slices.DeleteFunc(calls, func(c *call) bool { return c.readers == 0 }), l.cancels, at
}

// full returns how many calls fill a batch, 0 if too few wait. The caller holds mu.
func (l *Lane) full() int {
	if len(l.waiting) >= l.opts.MaxCalls {
		return l.opts.MaxCalls
	}
	if l.bytes < l.opts.MaxBytes {
		return 0
	}
	return len(l.split(l.waiting)[0])
}

// submit puts calls into batches: those that are in one of another process into
// that, the others into new ones.
func (l *Lane) submit(calls []*call, cancels int) {
	groups := map[string][]*call{} // by betas
	for _, c := range calls {
		groups[c.betas] = append(groups[c.betas], c)
	}
	for _, betas := range slices.Sorted(maps.Keys(groups)) {
		for _, part := range l.split(groups[betas]) {
			l.claim(part, cancels)
		}
	}
}

// split divides calls at the limits of a batch.
func (l *Lane) split(calls []*call) (parts [][]*call) {
	var part []*call
	size := 0
	for _, c := range calls {
		const frame = 128 // what a call takes beside its body
		n := len(c.params) + frame
		if len(part) > 0 && (len(part) >= l.opts.MaxCalls || size+n > l.opts.MaxBytes) {
			parts = append(parts, part)
			part, size = nil, 0
		}
		part, size = append(part, c), size+n
	}
	return append(parts, part)
}

// claim writes down the batch of calls before anything is sent.
func (l *Lane) claim(calls []*call, cancels int) {
	wanted := make([]Wanted, len(calls))
	for i, c := range calls {
		wanted[i] = Wanted{c.key, c.own}
	}
	fresh, held, err := l.store.Intent(wanted)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		for _, c := range calls {
			l.land(c, nil, storeError(err))
		}
		return
	}
	var f *flight
	if fresh.Nonce != "" {
		f = newFlight(fresh)
		f.betas = calls[0].betas
		f.canceling = cancels != l.cancels // while it was written down
		l.flights[fresh.Nonce] = f
	}
	next := 0
	for i, c := range calls {
		if p, ok := held[i]; ok {
			l.boardHeld(c, p)
			continue
		}
		f.items = append(f.items, llm.BatchItem{ID: fresh.CustomID(next), Params: c.params})
		l.seat(c, f, next)
		next++
	}
	if f != nil {
		l.watch(f)
	}
}

// boardHeld puts a call into a batch that it is in already. The caller holds mu.
func (l *Lane) boardHeld(c *call, p Place) {
	f := l.flights[p.Record.Nonce]
	switch {
	case f != nil:
	case p.Adopted:
		f = l.adopt(p.Record)
	default:
		f = newFlight(p.Record)
		f.foreign = true
		l.flights[p.Record.Nonce] = f
	}
	l.seat(c, f, p.Index)
	l.watch(f)
}

// seat is board for a call that may have been left while it was being placed.
// The caller holds mu.
func (l *Lane) seat(c *call, f *flight, index int) {
	c.flight, c.index, c.params = f, index, nil
	if c.readers > 0 {
		f.calls[index] = c
	} else {
		l.abandoned[c.key] = append(l.abandoned[c.key], place{f, index})
	}
}

// unsettled reports whether answers were taken that are not noted yet.
func (l *Lane) unsettled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.flights {
		if len(f.taken) > 0 {
			return true
		}
	}
	return false
}

// settle notes which answers have been taken, and forgets batches whose answers
// all have.
func (l *Lane) settle() error {
	l.mu.Lock()
	taken := map[string][]int{}
	for nonce, f := range l.flights {
		if len(f.taken) > 0 {
			taken[nonce], f.taken = f.taken, nil
		}
		if f.finished() {
			delete(l.flights, nonce)
		}
	}
	l.mu.Unlock()
	var errs []error
	for nonce, calls := range taken {
		errs = append(errs, l.store.Ended(nonce, calls))
	}
	return errors.Join(errs...)
}
