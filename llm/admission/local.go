package admission

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// Local is a [Shared] of this process, or of the processes of this machine. Make one
// with [NewLocal].
type Local struct {
	mu   sync.Mutex // guards the file
	file *file
}

// NewLocal returns a store in one small file of the folder dir, or in memory if dir is
// empty. namespace tells one credential from another.
func NewLocal(dir, namespace string) *Local {
	if dir != "" {
		namespace = "shared " + namespace // a file of its own beside those of limiters
	}
	return &Local{file: openFile(dir, namespace)}
}

// Apply implements [Shared].
func (l *Local) Apply(_ context.Context, pool string, known Known, op Op) (v View, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.update(func(s *state) {
		now := time.Now()
		if _, there := s.Pools[pool]; op.Kind == OpLook && !there {
			return
		}
		p := s.known(pool, known, now, op.Kind != OpLook)
		v = p.apply(s.Epoch, known, op, now)
	})
	return v, nil
}

// known returns a pool, up to now and with what a process knows of it.
func (s *state) known(name string, known Known, now time.Time, join bool) *poolState {
	p := s.Pools[name]
	created := p == nil
	if created {
		p = s.create(name, now)
	}
	for i, b := range p.buckets() {
		switch {
		case created && known.Learned[i] > 0:
			b.Limit, b.Level, b.Source, b.Learned = known.Learned[i], known.Learned[i], SourceLearned, now.UnixNano()
		case join && b.Source != SourceLearned:
			b.assume(known.Assumed[i], known.Source)
		}
	}
	p.advance(now, 0, known.Minute)
	for member, until := range p.Members {
		if until < now.UnixNano() {
			delete(p.Members, member)
		}
	}
	if !join {
		return p
	}
	if p.Members == nil {
		p.Members = map[string]int64{}
	}
	if _, member := p.Members[known.Member]; !member || known.Apart {
		for i, b := range p.buckets() {
			b.Level = min(b.Level, b.Limit-known.Used[i])
		}
	}
	p.Members[known.Member] = now.Add(MemberTime).UnixNano()
	return p
}

// apply changes an up-to-date pool.
func (p *poolState) apply(epoch string, known Known, op Op, now time.Time) (v View) {
	same := op.Ticket.Epoch == epoch
	members := max(1, len(p.Members))
	switch op.Kind {
	case OpTake:
		if !same {
			op.Ticket = *p.take(epoch, op.Cost)
		}
		v.Ticket, v.Wait = op.Ticket, p.wait(&op.Ticket, op.InFlight*members, known.Minute)
	case OpUntake:
		if same {
			p.untake(&op.Ticket)
		}
	case OpSettle:
		p.refund(op.owed(same))
	case OpLearn:
		p.learnLimits(op.Said, float64(op.Ago)/float64(known.Minute), op.Outstanding.times(float64(members)), now)
	case OpRefuse:
		p.refund(op.owed(same))
		p.refused(op.Cost, op.Counted)
		p.freeze(now, op.Freeze, op.By)
	}
	for i, b := range p.buckets() {
		v.Buckets[i] = BucketView{Limit: b.Limit, Level: b.Level, Source: b.Source}
		if b.Learned != 0 {
			v.Buckets[i].Learned = time.Unix(0, b.Learned)
		}
	}
	if v.Frozen = until(p.FrozenUntil, now); v.Frozen > 0 {
		v.By = p.FrozenBy
	}
	v.Members = len(p.Members)
	return v
}

// owed returns what an operation gives back: nothing that was taken in another epoch.
func (op *Op) owed(same bool) Amounts {
	back := op.Cost
	for i := range back {
		if !same {
			back[i] = min(back[i], 0)
		}
	}
	return back
}

// Pools implements [Shared].
func (l *Local) Pools(context.Context) (names []string, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.update(func(s *state) {
		for name := range s.Pools {
			names = append(names, name)
		}
	})
	return names, nil
}

// Reset implements [Shared].
func (l *Local) Reset(_ context.Context, pool string) (names []string, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.update(func(s *state) {
		for name, p := range s.Pools {
			if pool == "" || pool == name {
				names = append(names, name)
				s.Pools[name] = &poolState{Updated: time.Now().UnixNano(), Models: map[string]means{}, Members: p.Members}
			}
		}
		s.Epoch = rand.Text()
	})
	return names, nil
}
