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

	Members map[string]int64 `json:"members,omitzero"` // of a [Local], and until when
}

// buckets returns those of requests, input and output, in the order of [Amounts].
func (p *poolState) buckets() [3]*bucket { return [3]*bucket{&p.Requests, &p.Input, &p.Output} }

// pool returns the state of a pool, up to now. passed is how much time has passed
// since it was last changed, as far as that is known from another clock than that of
// the day. Limits that are not learned are assumed; share is the part of them that is
// this process's.
func (s *state) pool(name string, opts *Options, now time.Time, passed time.Duration, share float64) *poolState {
	p := s.Pools[name]
	if p == nil {
		p = s.create(name, now)
	}
	limits, source := p.assumed(name, opts)
	for i, b := range p.buckets() {
		if b.Source != SourceLearned {
			b.assume(limits[i]*share, source)
		}
	}
	p.advance(now, passed, opts.Minute)
	return p
}

// create adds a pool of which nothing is known.
func (s *state) create(name string, now time.Time) *poolState {
	s.makeRoom()
	p := &poolState{Updated: now.UnixNano(), Models: map[string]means{}}
	s.Pools[name] = p
	return p
}

// assumed returns the limits to assume until the service has named some.
func (p *poolState) assumed(name string, opts *Options) (Amounts, Source) {
	limits, source := opts.limitsOf(name)
	if source == SourceTier && opts.Gateway && p.Silent && !p.Refused {
		limits = Limits{}
	}
	return Amounts{float64(limits.Requests), float64(limits.InputTokens), float64(limits.OutputTokens)}, source
}

// advance fills the buckets up to now.
func (p *poolState) advance(now time.Time, passed, minute time.Duration) {
	if back := p.Updated + int64(passed) - now.UnixNano(); now.UnixNano() < p.Updated {
		p.shift(back)
	}
	minutes := float64(now.UnixNano()-p.Updated) / float64(minute)
	for _, b := range p.buckets() {
		b.refill(minutes)
	}
	p.Updated = now.UnixNano()
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

func (p *poolState) take(epoch string, c Amounts) *Ticket {
	t := &Ticket{Epoch: epoch, Cost: c}
	for i, b := range p.buckets() {
		t.Marks[i] = b.take(c[i])
	}
	return t
}

func (p *poolState) untake(t *Ticket) {
	for i, b := range p.buckets() {
		b.untake(t.Cost[i])
	}
}

// wait returns how long it is until the buckets cover a ticket, while inFlight other
// calls may turn out to cost more than was expected.
func (p *poolState) wait(t *Ticket, inFlight int, minute time.Duration) time.Duration {
	longest := 0.0
	for i, b := range p.buckets() {
		spare := 0.0
		if i > 0 {
			// Tokens are an estimate. Errors of many calls grow as their root.
			spare = min(b.Limit/4, t.Cost[i]*(1+math.Sqrt(float64(inFlight))/2))
		}
		longest = max(longest, b.wait(t.Cost[i], t.Marks[i], spare))
	}
	const least = 1e-9 // of a minute; what floating point gets wrong
	if longest < least {
		return 0
	}
	const most = 1 << 62
	return time.Duration(min(longest*float64(minute), most)) + time.Microsecond
}

// refund gives back what a call did not use after all.
func (p *poolState) refund(c Amounts) {
	for i, b := range p.buckets() {
		b.give(c[i])
	}
}

// learnLimits takes in what a response says about the limits, up to ago minutes old, while
// calls in flight have taken outstanding.
func (p *poolState) learnLimits(said [3]Quota, ago float64, outstanding Amounts, now time.Time) {
	for i, b := range p.buckets() {
		first := b.Source != SourceLearned
		b.learn(said[i], said[i].Slack(i), ago, now)
		if first && said[i].Limit > 0 {
			// What calls in flight took has refilled at a rate that was not the
			// service's.
			b.Level = min(b.Level, b.Limit-outstanding[i])
		}
	}
}

// Slack returns how much more than it says may remain of the i-th limit: tokens are
// rounded to thousands.
func (q Quota) Slack(i int) float64 {
	if i > 0 && q.Limit >= 10_000 {
		return 500
	}
	return 0
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
func (p *poolState) refused(c Amounts, counted bool) {
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
