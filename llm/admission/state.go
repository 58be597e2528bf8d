package admission

import (
	"crypto/rand"
	"math"
	"time"
)

// state is what is known of a credential's pools. The processes of a machine
// share it through a file.
type state struct {
	Epoch string                `json:"epoch"` // marks of another epoch mean nothing
	Pools map[string]*poolState `json:"pools"`
}

func newState() *state { return &state{Epoch: rand.Text(), Pools: map[string]*poolState{}} }

// poolState is what is known of one pool.
type poolState struct {
	Requests bucket `json:"requests"`
	Input    bucket `json:"input"`
	Output   bucket `json:"output"`
	Updated  int64  `json:"updated"` // up to when the buckets are filled, in Unix nanoseconds

	FrozenUntil int64  `json:"frozen_until,omitzero"`
	FrozenBy    string `json:"frozen_by,omitzero"` // the service's code, such as ramp_limit_exceeded

	Silent  bool `json:"silent,omitzero"`  // a gateway's answers name no limits
	Refused bool `json:"refused,omitzero"` // and it has refused a call for its rate

	Ramp    ramp             `json:"ramp"`
	Breaker breaker          `json:"breaker"`
	Models  map[string]means `json:"models,omitzero"`
}

// buckets returns those of requests, input and output, in the order of a [cost].
func (p *poolState) buckets() [3]*bucket { return [3]*bucket{&p.Requests, &p.Input, &p.Output} }

// cost is what a call takes from the buckets of requests, input and output.
type cost [3]float64

// ticket is a place before the buckets: what was taken, and all that had been
// taken up to it.
type ticket struct {
	epoch string
	cost  cost
	marks [3]float64
}

// pool returns the state of a pool, up to now. passed is how much time has passed
// since it was last changed, as far as that is known from another clock than that of
// the day.
func (s *state) pool(name string, opts *Options, now time.Time, passed time.Duration) *poolState {
	p := s.Pools[name]
	if p == nil {
		s.makeRoom()
		p = &poolState{Updated: now.UnixNano(), Models: map[string]means{}}
		s.Pools[name] = p
	}
	limits, source := opts.limitsOf(name)
	if source == SourceTier && opts.Gateway && p.Silent && !p.Refused {
		limits = Limits{}
	}
	for i, limit := range []int{limits.Requests, limits.InputTokens, limits.OutputTokens} {
		if b := p.buckets()[i]; b.Source != SourceLearned {
			b.assume(limit, source)
		}
	}
	if back := p.Updated + int64(passed) - now.UnixNano(); now.UnixNano() < p.Updated {
		p.shift(back)
	}
	minutes := float64(now.UnixNano()-p.Updated) / float64(opts.Minute)
	for _, b := range p.buckets() {
		b.refill(minutes)
	}
	p.Updated = now.UnixNano()
	return p
}

// shift moves all moments back with the clock, which was set back by so many
// nanoseconds. So no wait becomes longer than it was when it was last looked at.
func (p *poolState) shift(back int64) {
	b := &p.Breaker
	for _, moment := range []*int64{&p.Updated, &p.FrozenUntil, &p.Ramp.Seen, &b.Since, &b.Until, &b.Probe, &b.Closed} {
		if *moment != 0 {
			*moment = max(*moment-back, 1)
		}
	}
}

// maxPools bounds how many pools are remembered; models that do not exist have
// pools too.
const maxPools = 64

// makeRoom forgets the pool that has been silent for longest, if there are many.
func (s *state) makeRoom() {
	if len(s.Pools) < maxPools {
		return
	}
	oldest := ""
	for name, p := range s.Pools {
		if oldest == "" || p.Ramp.Seen < s.Pools[oldest].Ramp.Seen {
			oldest = name
		}
	}
	delete(s.Pools, oldest)
}

// limitsOf returns the limits to assume for a pool.
func (o *Options) limitsOf(pool string) (Limits, Source) {
	for _, name := range []string{pool, ""} {
		if limits, ok := o.Limits[name]; ok {
			return limits, SourceConfigured
		}
	}
	return o.Tier.LimitsOf(pool), SourceTier
}

func (p *poolState) take(epoch string, c cost) *ticket {
	t := &ticket{epoch: epoch, cost: c}
	for i, b := range p.buckets() {
		t.marks[i] = b.take(c[i])
	}
	return t
}

func (p *poolState) untake(t *ticket) {
	for i, b := range p.buckets() {
		b.untake(t.cost[i])
	}
}

// wait returns how long it is until the buckets cover a ticket, while inFlight other
// calls may turn out to cost more than was expected.
func (p *poolState) wait(t *ticket, inFlight int, minute time.Duration) time.Duration {
	longest := 0.0
	for i, b := range p.buckets() {
		spare := 0.0
		if i > 0 {
			// Tokens are an estimate. Errors of many calls grow as their root.
			spare = min(b.Limit/4, t.cost[i]*(1+math.Sqrt(float64(inFlight))/2))
		}
		longest = max(longest, b.wait(t.cost[i], t.marks[i], spare))
	}
	const least = 1e-9 // of a minute; what floating point gets wrong
	if longest < least {
		return 0
	}
	return time.Duration(longest*float64(minute)) + time.Microsecond
}

// refund gives back what a call did not use after all.
func (p *poolState) refund(c cost) {
	for i, b := range p.buckets() {
		b.give(c[i])
	}
}

// freeze stops a pool for d.
func (p *poolState) freeze(now time.Time, d time.Duration, by string) {
	if end := now.Add(d).UnixNano(); end > p.FrozenUntil {
		p.FrozenUntil, p.FrozenBy = end, by
	}
}

// refused makes the view of the buckets agree with a 429 that they did not
// foresee. With no counts from the service all of them may be at fault; with
// counts that leave enough, the service lets requests through more evenly than
// its minutes say.
func (p *poolState) refused(c cost, counted bool) {
	for i, b := range p.buckets() {
		if b.Limit > 0 && b.Level < c[i] {
			return // as was foreseen
		}
	}
	for i, b := range p.buckets() {
		if i == 0 || !counted {
			b.Level = min(b.Level, 0)
		}
	}
}

// valid reports whether a state from a file makes sense.
func (s *state) valid() bool {
	for _, p := range s.Pools {
		if p == nil || p.Ramp.Window < 0 || p.Breaker.Pauses < 0 {
			return false
		}
		for _, b := range p.buckets() {
			if b.Limit < 0 {
				return false
			}
		}
		if p.Models == nil {
			p.Models = map[string]means{}
		}
	}
	return s.Epoch != "" && s.Pools != nil
}
