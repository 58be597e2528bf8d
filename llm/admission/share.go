package admission

import (
	"context"
	"time"
)

// membership is what a process knows of the others that share a pool.
type membership struct {
	members int       // last known number, this process included; 0 if the store was never reached
	raised  time.Time // when it was last at least that many
	seen    time.Time // when the store last answered
	alone   bool      // it did not when it was last asked
	apart   int       // calls let go without it since
}

const (
	// unknownMembers is how many processes are assumed to share the limits where the
	// store was never reached.
	unknownMembers = 10
	// staleView is after how long others may have used what was left.
	staleView = 2 * time.Second
	// reunion is how often a waiting call asks a store that did not answer.
	reunion = time.Second
)

// portion returns the part of the limits that this process's own buckets hold. The
// caller holds mu.
func (l *Limiter) portion(pool string) float64 {
	switch p := l.pools[pool]; {
	case l.opts.Shared == nil:
		return 1
	case p == nil || p.with.members == 0:
		return 1.0 / unknownMembers
	default:
		return 1 / float64(p.with.members)
	}
}

// scaled returns the part of what is said that is this process's.
func scaled(said [3]Quota, portion float64) [3]Quota {
	for i := range said {
		said[i].Limit *= portion
		said[i].Remaining *= portion
	}
	return said
}

// apply does an operation on the shared buckets of p and takes over what they hold. It
// reports false if the store did not do it. The caller does not hold mu.
func (l *Limiter) apply(ctx context.Context, p *pool, op Op) (View, bool) {
	l.mu.Lock()
	known, apart := l.knownOf(p), p.with.apart
	l.mu.Unlock()
	v, err := l.opts.Shared.Apply(ctx, p.name, known, op)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			l.separate(p)
		}
		return View{}, false
	}
	p.with.apart -= apart
	l.takeOver(p, &v)
	return v, true
}

// knownOf returns what this process knows of a pool. The caller holds mu.
func (l *Limiter) knownOf(p *pool) Known {
	k := Known{Member: l.member, Minute: l.opts.Minute, Apart: p.with.apart > 0}
	l.update(p, func(_ *state, ps *poolState, _ time.Time) {
		k.Assumed, k.Source = ps.assumed(p.name, &l.opts)
		whole := 1 / l.portion(p.name)
		for i, b := range ps.buckets() {
			if b.Source == SourceLearned {
				k.Learned[i] = b.Limit * whole
			}
			k.Used[i] = max(0, b.Limit-b.Level) * whole
		}
	})
	return k
}

// takeOver makes this process's own buckets its share of the shared ones, for when the
// store fails. The caller holds mu.
func (l *Limiter) takeOver(p *pool, v *View) {
	now, with := time.Now(), &p.with
	if v.Members >= with.members || now.Sub(with.raised) > MemberTime {
		// Right after a restart of the store not all have come back yet.
		with.members, with.raised = max(1, v.Members), now
	}
	with.seen, with.alone = now, false
	l.update(p, func(_ *state, ps *poolState, now time.Time) {
		portion := l.portion(p.name)
		for i, b := range ps.buckets() {
			shared := &v.Buckets[i]
			b.Limit, b.Level, b.Source, b.Learned = shared.Limit*portion, shared.Level*portion, shared.Source, 0
			if !shared.Learned.IsZero() {
				b.Learned = shared.Learned.UnixNano()
			}
		}
		if v.Frozen > 0 {
			ps.freeze(now, v.Frozen, v.By)
		}
	})
}

// separate notes that the store fails: from here on this process keeps to its share. Of a
// limit that the service has named it begins with nothing if it does not know what the
// others have left. The caller holds mu.
func (l *Limiter) separate(p *pool) {
	if p.with.alone {
		return
	}
	p.with.alone = true
	l.update(p, func(_ *state, ps *poolState, now time.Time) {
		if now.Sub(p.with.seen) <= staleView {
			return
		}
		for _, b := range ps.buckets() {
			if b.Source == SourceLearned {
				b.Level = min(b.Level, 0)
			}
		}
	})
}

// tell does an operation of an attempt on the shared buckets. What a store that fails
// would have debited is debited from this process's share. The caller does not hold mu.
func (l *Limiter) tell(p *pool, op Op) {
	if l.opts.Shared == nil || op.Kind == "" {
		return
	}
	_, done := l.apply(context.Background(), p, op) //nolint:forbidigo // what a call took is settled after its context has ended; the store bounds the time
	l.mu.Lock()
	defer l.mu.Unlock()
	if !done && op.Kind == OpSettle {
		l.update(p, func(_ *state, ps *poolState, _ time.Time) { ps.refund(op.owed(false)) })
	}
	p.changed()
}

// ask has the shared buckets decide about the head. If they do not, its own share will.
// The caller does not hold mu.
func (l *Limiter) ask(ctx context.Context, p *pool, w *waiter, v verdict) error {
	asked := time.Now()
	view, ok := l.apply(ctx, p, v.ask)
	if !ok {
		w.local = true
		return nil
	}
	w.place = &view.Ticket
	w.ticket = nil // this process's share has been replaced
	w.covers = view.Wait == 0 && view.Frozen == 0
	if view.Wait == 0 {
		return nil
	}
	if w.outlasts(asked, view.Wait) {
		return w.noRoom(p, asked, view.Wait)
	}
	w.sleep(ctx, min(view.Wait, sharedPoll))
	return nil
}
