package admission

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// attempt is a call that has been sent once.
type attempt struct {
	limiter    *Limiter
	pool       *pool
	gate       *Gate
	req        *llm.Request // the copy that is sent
	characters int
	cost       Amounts
	place      *Ticket // in the shared buckets; nil if its cost was taken from this process's own
	sent       time.Time
	probe      bool // it is to find out whether the pool's trouble is over

	// Guarded by the limiter's mu:

	alive   bool // the service has started to answer
	counted bool // the service's headers said what remains
	unseen  bool // the shared state does not say yet that it has started to answer
	judged  bool // the breaker knows how it went
}

// Observe takes in what the headers of a response say about limits; it is made
// to be the OnHeaders of llm/anthropic's Options. req is the request that the
// layer passed on.
func (l *Limiter) Observe(req *llm.Request, status int, header http.Header) {
	whole := readQuotas(header)
	op := Op{Kind: OpLearn, Said: whole}
	l.mu.Lock()
	a, p := l.calls[req], l.pool(req.Model)
	said := scaled(whole, l.portion(p.name))
	if a != nil && status < 400 && l.known(p, a, &said) {
		a.unseen = a.unseen || !a.alive
		a.alive = true
		l.mu.Unlock()
		return
	}
	l.update(p, func(_ *state, ps *poolState, now time.Time) {
		if a != nil && status < 400 {
			// The counts may be as old as the call: an answer's headers come
			// with its first token.
			op.Ago = now.Sub(a.sent)
		}
		op.Outstanding = l.outstanding(p)
		ps.learnLimits(said, float64(op.Ago)/float64(l.opts.Minute), op.Outstanding, now)
		if a != nil {
			for i := range said {
				a.counted = a.counted || said[i].Counted
			}
		}
		if status < 400 {
			ps.Silent = said == [3]Quota{}
		}
		if a != nil && status < 400 && !a.alive {
			a.alive = true
			ps.Ramp.answered(now, !p.keptBack.Before(a.sent), ps.Requests.Limit, &l.opts)
		}
	})
	p.changed()
	l.mu.Unlock()
	if whole != [3]Quota{} {
		l.tell(p, op)
	}
}

// known reports whether headers say nothing of the limits that is new, and no call was
// kept back since the attempt was sent: most answers change nothing about a pool in good
// order. It marks what they say as counted. The caller holds mu.
func (l *Limiter) known(p *pool, a *attempt, said *[3]Quota) bool {
	ps := l.file.state.Pools[p.name]
	if ps == nil || ps.Silent != (*said == [3]Quota{}) || !p.keptBack.Before(a.sent) {
		return false
	}
	now := time.Now()
	for i, b := range ps.buckets() {
		recent := b.Source == SourceLearned && now.UnixNano()-b.Learned < int64(time.Second)
		switch q := said[i]; {
		case q.Limit == 0:
		case !recent || q.Limit != b.Limit || q.Counted && q.Remaining < b.Limit/2:
			return false
		case q.Counted && q.Remaining < min(b.Limit, b.Level+float64(now.UnixNano()-ps.Updated)/float64(l.opts.Minute)*b.Limit):
			return false
		}
	}
	for i := range said {
		a.counted = a.counted || said[i].Counted
	}
	return true
}

// outstanding returns what the calls in flight were expected to cost. The caller
// holds mu.
func (l *Limiter) outstanding(p *pool) (sum Amounts) {
	for _, a := range l.calls {
		if a.pool == p {
			for i := range sum {
				sum[i] += a.cost[i]
			}
		}
	}
	return sum
}

// readQuotas reads the limits of requests, input and output. The headers of
// "tokens" repeat whichever of them is tightest.
func readQuotas(header http.Header) (said [3]Quota) {
	for i, name := range []string{"Requests", "Input-Tokens", "Output-Tokens"} {
		limit, err := strconv.ParseFloat(header.Get("Anthropic-Ratelimit-"+name+"-Limit"), 64)
		if err != nil || !(limit > 0 && limit <= 1e15) { // NaN is a number too
			continue
		}
		said[i].Limit = limit
		left, err := strconv.ParseFloat(header.Get("Anthropic-Ratelimit-"+name+"-Remaining"), 64)
		if err == nil && left >= 0 && left <= 1e15 {
			said[i].Remaining, said[i].Counted = left, true
		}
	}
	return said
}

// answering notes that the first piece of the answer has come.
func (a *attempt) answering() {
	l := a.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.alive && a.judged {
		return
	}
	// Most answers change nothing about a pool in good order.
	if ps := l.file.state.Pools[a.pool.name]; a.alive && ps != nil && ps.Breaker.Failures == 0 && !ps.Breaker.open() {
		a.judged = true
		return
	}
	l.update(a.pool, func(_ *state, ps *poolState, now time.Time) {
		if !a.alive {
			a.alive = true
			ps.Ramp.answered(now, !a.pool.keptBack.Before(a.sent), ps.Requests.Limit, &l.opts)
		}
		a.judge(ps, now)
	})
	a.pool.changed()
}

// judge tells the breaker that the service is there.
func (a *attempt) judge(ps *poolState, now time.Time) {
	if a.judged {
		return
	}
	a.judged = true
	if pauses, closed := ps.Breaker.answered(now, a.sent, a.probe); closed {
		if a.limiter.opts.OnAnswer != nil {
			a.limiter.opts.OnAnswer(a.pool.name)
		}
		// The longer the trouble was, the slower the return.
		for range pauses {
			ps.Ramp.Window = max(1, ps.Ramp.Window/2)
		}
	}
}

// settle replaces the estimate by what the answer really took.
func (a *attempt) settle(u llm.Usage) {
	l := a.limiter
	var op Op
	defer func() { l.tell(a.pool, op) }()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.update(a.pool, func(_ *state, ps *poolState, now time.Time) {
		u := l.plausible(a.req, u)
		op = a.refund(ps, Amounts{0, a.cost[1] - float64(counted(u)), a.cost[2] - float64(u.OutputTokens)})
		l.learn(ps, a.req, a.characters, u)
		if a.unseen {
			a.unseen = false
			ps.Ramp.answered(now, false, ps.Requests.Limit, &l.opts)
		}
		a.judge(ps, now)
	})
	a.pool.changed()
}

// refund gives back what the attempt did not use after all, and returns the operation that
// does so in the shared buckets, if they were debited.
func (a *attempt) refund(ps *poolState, back Amounts) Op {
	if a.place == nil {
		ps.refund(back)
		return Op{}
	}
	return Op{Kind: OpSettle, Ticket: *a.place, Cost: back}
}

// failed takes in how the attempt failed. It reports whether the call should
// wait for its pool and go again.
func (a *attempt) failed(err error) (again bool) {
	l := a.limiter
	var op Op
	defer func() { l.tell(a.pool, op) }()
	l.mu.Lock()
	defer l.mu.Unlock()
	var e llm.Error
	if found, ok := errors.AsType[*llm.Error](err); ok {
		e = *found
	} else {
		e = *llm.NewError(llm.CodeOf(err), "", nil)
	}
	l.update(a.pool, func(_ *state, ps *poolState, now time.Time) {
		switch e.Code {
		case llm.CodeRateLimit:
			op = a.refused(ps, &e, now)
			again = true
		case llm.CodeOverloaded, llm.CodeServer:
			if e.Status >= 400 {
				op = a.refund(ps, Amounts{0, a.cost[1], a.cost[2]})
			}
			again = a.down(ps, &e, now)
		case llm.CodeConnection:
			if llm.Unbilled(err) { // none could be made
				op = a.refund(ps, a.cost)
				again = a.down(ps, &e, now)
			}
		case llm.CodeIncomplete, llm.CodeTimeout, llm.CodeCanceled, llm.CodeInternal:
			// It may have been counted, and tells nothing of the pool.
		default:
			op = a.refund(ps, Amounts{0, a.cost[1], a.cost[2]})
			a.judge(ps, now)
		}
	})
	a.pool.closed()
	return again
}

// down takes in that the service does not work. It reports whether the call should
// wait until it does.
func (a *attempt) down(ps *poolState, e *llm.Error, now time.Time) (again bool) {
	l := a.limiter
	a.judged = true
	closed := !ps.Breaker.open()
	ps.Breaker.failed(now, a.sent, a.probe, &l.opts)
	if !ps.Breaker.open() {
		return false
	}
	if again = !l.outlasted(a.pool, ps, now); again && (closed || a.probe) && l.opts.OnPause != nil {
		l.opts.OnPause(Pause{
			Pool: a.pool.name, Why: e.Message, Until: time.Unix(0, ps.Breaker.Until), GivesUp: a.pool.troubled.Add(l.opts.Outage),
		})
	}
	return again
}

// refused takes in a 429, and returns the operation that does so in the shared buckets.
func (a *attempt) refused(ps *poolState, e *llm.Error, now time.Time) Op {
	op := Op{Kind: OpRefuse, Cost: a.cost, Counted: a.counted}
	if a.place == nil {
		ps.refund(a.cost)
	} else {
		op.Ticket = *a.place
	}
	ps.refused(a.cost, a.counted)
	ps.Refused = ps.Refused || ps.Silent
	wait := e.RetryAfter
	if wait < 0 {
		wait = a.limiter.opts.Minute / 12
	}
	ps.freeze(now, wait, e.ServiceCode)
	op.Freeze, op.By = wait, e.ServiceCode
	if f := a.limiter.opts.OnPause; f != nil {
		f(Pause{Pool: a.pool.name, Why: e.Message, Until: now.Add(wait)})
	}
	if strings.HasPrefix(e.ServiceCode, "ramp_limit") {
		ps.Ramp.halve(a.pool.inFlight)
	}
	a.judge(ps, now) // a service that counts is not overloaded
	return op
}

// end gives back what the attempt holds.
func (a *attempt) end() {
	l := a.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, a.req)
	a.pool.inFlight--
	if a.probe && !a.judged {
		l.update(a.pool, func(_ *state, ps *poolState, now time.Time) { ps.Breaker.abandoned(now, &l.opts) })
	}
	if a.gate != nil {
		a.gate.leave()
	}
	a.pool.changed()
}
