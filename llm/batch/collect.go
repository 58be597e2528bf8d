package batch

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// collect submits waiting calls in batches and records taken answers until the
// Batcher is closed.
func (b *Batcher) collect() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var settleAt time.Time // zero if there is nothing to record
	for {
		calls, cancels, due := b.due()
		if calls != nil {
			b.submit(calls, cancels)
			continue
		}
		if settleAt.IsZero() && b.unsettled() {
			settleAt = time.Now().Add(b.opts.Settle)
		}
		if !settleAt.IsZero() && !time.Now().Before(settleAt) {
			settleAt = time.Time{}
			if err := b.settle(); err != nil {
				b.emit(Event{Type: BatchTrouble, Err: err})
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
		case <-b.wakeCollector:
		case <-b.ctx.Done():
			return
		}
	}
}

// due returns the calls to submit now and the number of Cancel calls so far, or
// else the time of the next check, zero if no call waits.
func (b *Batcher) due() (calls []*call, cancels int, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 || b.closed {
		b.flush = false
		return nil, 0, time.Time{}
	}
	at = b.lastArrival.Add(b.opts.Idle)
	if end := b.firstArrival.Add(b.opts.Window); end.Before(at) {
		at = end
	}
	n := len(b.waiting)
	if !b.flush && time.Now().Before(at) {
		if n = b.fullBatch(); n == 0 {
			return nil, 0, at
		}
	}
	calls, b.waiting = b.waiting[:n:n], b.waiting[n:]
	for _, c := range calls {
		b.bytes -= len(c.params)
	}
	b.flush = b.flush && len(b.waiting) > 0
	return slices.DeleteFunc(calls, func(c *call) bool { return c.readers == 0 }), b.cancels, at
}

// fullBatch returns the number of calls that fill a batch, 0 if too few wait. The
// caller holds mu.
func (b *Batcher) fullBatch() int {
	if len(b.waiting) >= b.opts.MaxCalls {
		return b.opts.MaxCalls
	}
	if b.bytes < b.opts.MaxBytes {
		return 0
	}
	return len(b.split(b.waiting)[0])
}

// submit puts calls into batches: into one of another process that already
// contains them, else into new ones.
func (b *Batcher) submit(calls []*call, cancels int) {
	groups := map[string][]*call{} // by betas
	for _, c := range calls {
		groups[c.betas] = append(groups[c.betas], c)
	}
	for _, betas := range slices.Sorted(maps.Keys(groups)) {
		for _, part := range b.split(groups[betas]) {
			b.claim(part, cancels)
		}
	}
}

// split divides calls at the limits of a batch.
func (b *Batcher) split(calls []*call) (parts [][]*call) {
	var part []*call
	size := 0
	for _, c := range calls {
		const frame = 128 // bytes around a call's body
		n := len(c.params) + frame
		if len(part) > 0 && (len(part) >= b.opts.MaxCalls || size+n > b.opts.MaxBytes) {
			parts = append(parts, part)
			part, size = nil, 0
		}
		part, size = append(part, c), size+n
	}
	return append(parts, part)
}

// claim records the batch of calls before anything is sent.
func (b *Batcher) claim(calls []*call, cancels int) {
	wanted := make([]Wanted, len(calls))
	for i, c := range calls {
		wanted[i] = Wanted{c.key, c.own}
	}
	fresh, held, err := b.store.Intent(wanted)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		for _, c := range calls {
			b.finish(c, nil, storeError(err))
		}
		return
	}
	var s *submission
	if fresh.Nonce != "" {
		s = newSubmission(fresh)
		s.betas = calls[0].betas
		s.canceling = cancels != b.cancels // Cancel was called in between
		b.submissions[fresh.Nonce] = s
	}
	next := 0
	for i, c := range calls {
		if p, ok := held[i]; ok {
			b.addHeld(c, p)
			continue
		}
		s.items = append(s.items, llm.BatchItem{ID: fresh.CustomID(next), Params: c.params})
		b.assign(c, s, next)
		next++
	}
	if s != nil {
		b.watch(s)
	}
}

// addHeld puts a call into a batch that already contains it. The caller holds
// mu.
func (b *Batcher) addHeld(c *call, p Place) {
	s := b.submissions[p.Record.Nonce]
	switch {
	case s != nil:
	case p.Adopted:
		s = b.adopt(p.Record)
	default:
		s = newSubmission(p.Record)
		s.foreign = true
		b.submissions[p.Record.Nonce] = s
	}
	b.assign(c, s, p.Index)
	b.watch(s)
}

// assign does what add does for a call that may have lost its readers meanwhile; it
// does not start watching. The caller holds mu.
func (b *Batcher) assign(c *call, s *submission, index int) {
	c.submission, c.index, c.params = s, index, nil
	if c.readers > 0 {
		s.calls[index] = c
	} else {
		b.abandoned[c.key] = append(b.abandoned[c.key], slot{s, index})
	}
}

// unsettled reports whether there are taken answers that are not recorded.
func (b *Batcher) unsettled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.submissions {
		if len(s.taken) > 0 {
			return true
		}
	}
	return false
}

// settle records the taken answers and drops finished submissions.
func (b *Batcher) settle() error {
	b.mu.Lock()
	taken := map[string][]int{}
	for nonce, s := range b.submissions {
		if len(s.taken) > 0 {
			taken[nonce], s.taken = s.taken, nil
		}
		if s.finished() {
			delete(b.submissions, nonce)
		}
	}
	b.mu.Unlock()
	var errs []error
	for nonce, calls := range taken {
		errs = append(errs, b.store.Ended(nonce, calls))
	}
	return errors.Join(errs...)
}
