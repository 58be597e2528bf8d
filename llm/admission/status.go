package admission

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"
)

// PoolStatus is what is known of a pool at one moment.
type PoolStatus struct {
	Pool     string      `json:"pool"`
	Requests QuotaStatus `json:"requests"`
	Input    QuotaStatus `json:"input_tokens"`
	Output   QuotaStatus `json:"output_tokens"`

	FrozenUntil time.Time `json:"frozen_until,omitzero"` // zero if it is not
	FrozenBy    string    `json:"frozen_by,omitempty"`   // the service's code, such as ramp_limit_exceeded
	Breaker     Breaker   `json:"breaker"`
	NextProbe   time.Time `json:"next_probe,omitzero"` // of an open breaker

	// Of this process:

	InFlight int `json:"in_flight"`
	Waiting  int `json:"waiting"`
	Window   int `json:"window"` // most in flight while slow start lasts
}

// QuotaStatus is one limit and what is left of it.
type QuotaStatus struct {
	Limit     int       `json:"limit"`     // for each minute; 0 means none is known
	Remaining int       `json:"remaining"` // as estimated; negative is promised to calls already sent
	Source    Source    `json:"source"`
	Learned   time.Time `json:"learned,omitzero"` // when the service named it; zero if it did not
}

// Used returns the share of the limit that is in use, from 0 to 1.
func (q QuotaStatus) Used() float64 {
	if q.Limit <= 0 {
		return 0
	}
	return min(1, max(0, 1-float64(q.Remaining)/float64(q.Limit)))
}

// Breaker is the state of a pool's circuit breaker.
type Breaker string

// States of a breaker.
const (
	BreakerClosed  Breaker = "closed"  // all is well
	BreakerOpen    Breaker = "open"    // the service fails; calls wait
	BreakerProbing Breaker = "probing" // one call finds out
)

// Limits returns what is known of each pool that was ever used with the credential,
// by name.
func (l *Limiter) Limits() []PoolStatus {
	l.lookAtShared()
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []PoolStatus
	l.file.update(func(s *state) {
		now := time.Now()
		for name := range s.Pools {
			list = append(list, l.status(name, s.pool(name, &l.opts, now, 0, l.portion(name)), now))
		}
	})
	slices.SortFunc(list, func(a, b PoolStatus) int { return strings.Compare(a.Pool, b.Pool) })
	return list
}

// lookAtShared takes over what the shared buckets of all pools hold. If the store fails,
// what this process knows of them stays.
func (l *Limiter) lookAtShared() {
	if l.opts.Shared == nil {
		return
	}
	ctx := context.Background() //nolint:forbidigo // as a file is read; the store bounds the time
	names, _ := l.opts.Shared.Pools(ctx)
	for _, name := range names {
		v, err := l.opts.Shared.Apply(ctx, name, Known{Minute: l.opts.Minute}, Op{Kind: OpLook})
		if err != nil || v == (View{}) {
			continue
		}
		l.mu.Lock()
		l.takeOver(l.named(name), &v)
		l.mu.Unlock()
	}
}

// Reset forgets what is known of a pool, or of all if the name is empty: limits,
// refusals and failures of the service. The next call learns them again. It returns
// the names of the pools.
func (l *Limiter) Reset(pool string) []string {
	var shared []string
	if l.opts.Shared != nil {
		shared, _ = l.opts.Shared.Reset(context.Background(), pool) //nolint:forbidigo // best effort, as a file is; the store bounds the time
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	reset := shared
	l.file.update(func(s *state) {
		for name := range s.Pools {
			if pool == "" || pool == name {
				reset = append(reset, name)
				delete(s.Pools, name)
			}
		}
		s.Epoch = rand.Text() // what waiting calls took is forgotten too
	})
	for _, p := range l.pools {
		p.closed()
	}
	slices.Sort(reset)
	return slices.Compact(reset)
}

func (l *Limiter) status(name string, ps *poolState, now time.Time) PoolStatus {
	whole := 1 / l.portion(name)
	st := PoolStatus{
		Pool: name, Requests: ps.Requests.status(whole), Input: ps.Input.status(whole), Output: ps.Output.status(whole),
		Breaker: BreakerClosed, Window: ps.Ramp.window(now, ps.Requests.Limit, &l.opts),
	}
	if until(ps.FrozenUntil, now) > 0 {
		st.FrozenUntil, st.FrozenBy = time.Unix(0, ps.FrozenUntil), ps.FrozenBy
	}
	if ps.Breaker.open() {
		st.Breaker, st.NextProbe = BreakerOpen, time.Unix(0, ps.Breaker.Until)
		if until(ps.Breaker.Probe, now) > 0 {
			st.Breaker, st.NextProbe = BreakerProbing, time.Time{}
		}
	}
	if p := l.pools[name]; p != nil {
		st.InFlight, st.Waiting = p.inFlight, p.queue.len()
		if p.head != nil {
			st.Waiting++
		}
	}
	return st
}

// status returns the bucket times a factor.
func (b *bucket) status(factor float64) QuotaStatus {
	const least = 1e-6 // what floating point gets wrong
	q := QuotaStatus{Limit: int(b.Limit*factor + least), Remaining: int(b.Level*factor + least), Source: b.Source}
	if b.Learned != 0 {
		q.Learned = time.Unix(0, b.Learned)
	}
	return q
}
