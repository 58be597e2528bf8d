package admission

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Options are the settings of [NewLimiter]. The zero value is ready: the
// lowest tier's limits, known to this process only.
type Options struct {
	// Namespace tells one credential from another, as the Namespace of an
	// [llm.Keyer] does.
	Namespace string
	// Dir is the folder where processes of the machine share what they know,
	// in one small file for each namespace. Empty means that this process
	// shares nothing.
	Dir string
	// Shared keeps the buckets instead, for processes on several machines. Dir is not
	// used then.
	Shared Shared

	// Tier says what limits to assume until the service names them.
	Tier Tier
	// Limits are to be assumed instead of the tier's, by [PoolOf]; "" is for
	// all pools that are not named.
	Limits map[string]Limits
	// Gateway says that the service is not Anthropic's own. If its answers name no
	// limits, those of the tier are not assumed any more, unless it refuses a call for
	// its rate all the same.
	Gateway bool
	// Minute is what limits count for. 0 means a minute; less is for a
	// simulator whose time is scaled.
	Minute time.Duration

	// InitialWindow is how many calls may be in flight while nothing is known of
	// a pool, before slow start lets more go. It is at most a tenth of the
	// pool's assumed requests a minute, or ten if that is more. 0 means 1.
	InitialWindow int

	// Prices estimates the tokens of a text, until answers have shown them. Nil means
	// [llm.Prices].
	Prices *llm.PriceTable

	// Patience is how long calls wait for a pool that the service keeps closed by
	// refusals; their deadlines may end the wait sooner. 0 means ten minutes.
	// Waiting for one's turn is not counted.
	Patience time.Duration
	// Outage is how long calls wait for a pool of which every call fails, from
	// when this process first met that. One answer ends it. 0 means one minute.
	Outage time.Duration

	// Failures is how many failures of the service in a row open a pool's
	// breaker. 0 means 3. It must be less than the attempts of the retry layer
	// above, so that a lone call opens the breaker before it gives up.
	Failures int
	// Pause is the breaker's first pause; each failed probe doubles it up to
	// MaxPause. 0 means one second and eight seconds.
	Pause, MaxPause time.Duration

	// OnPause, when set, is called each time the service has closed a pool, also
	// again after a failed probe; OnAnswer when a pool that was closed answers.
	// They must be quick, and may not use the limiter.
	OnPause  func(Pause)
	OnAnswer func(pool string)

	// Rand gives numbers in [0, 1) and is safe for concurrent use. Nil means
	// math/rand/v2.
	Rand func() float64
}

// Pause is a time for which no calls go to a pool, but for probes.
type Pause struct {
	Pool  string
	Why   string    // what the service said
	Until time.Time // when it will be tried again

	// GivesUp is when calls fail unless one is answered before. It is zero if the
	// service has named the time for which it refuses calls.
	GivesUp time.Time
}

// Limiter learns the limits of a credential's model pools and lets each call
// go when its pool has room for it. Make one with [NewLimiter] and share it
// between all pipelines that use the credential; it is safe for concurrent
// use.
type Limiter struct {
	opts   Options
	member string // names this process in Options.Shared

	mu     sync.Mutex // guards the fields below
	file   *file
	pools  map[string]*pool
	agents map[agent]means
	calls  map[*llm.Request]*attempt // in flight, by the request they were sent with
}

// pool is what this process does with a pool.
type pool struct {
	name     string
	queue    queue
	head     *waiter // whose turn it is; nil if none waits
	inFlight int
	admitted time.Time // when the last call was let go
	opened   int64     // when the breaker opened that this process has met; 0 if it has met none
	troubled time.Time // when it first met that
	keptBack time.Time // when slow start last kept a call back
	updated  time.Time // when this process last changed the shared state
	with     membership
}

// NewLimiter makes a limiter. It touches no disk before the first call.
func NewLimiter(opts Options) *Limiter {
	opts.Minute = cmp.Or(opts.Minute, time.Minute)
	opts.InitialWindow = max(opts.InitialWindow, 1)
	opts.Patience = cmp.Or(opts.Patience, 10*time.Minute)
	opts.Failures = cmp.Or(opts.Failures, 3)
	opts.Pause = cmp.Or(opts.Pause, time.Second)
	opts.MaxPause = cmp.Or(opts.MaxPause, 8*time.Second)
	opts.Outage = cmp.Or(opts.Outage, time.Minute)
	if opts.Prices == nil {
		opts.Prices = llm.Prices()
	}
	if opts.Rand == nil {
		opts.Rand = rand.Float64
	}
	if opts.Shared != nil {
		opts.Dir = ""
	}
	return &Limiter{
		opts: opts, member: crand.Text(), file: openFile(opts.Dir, opts.Namespace), pools: map[string]*pool{},
		agents: map[agent]means{}, calls: map[*llm.Request]*attempt{},
	}
}

// pool returns this process's side of the pool of a model. The caller holds mu.
func (l *Limiter) pool(model string) *pool { return l.named(PoolOf(model)) }

// named returns this process's side of a pool. The caller holds mu.
func (l *Limiter) named(name string) *pool {
	p := l.pools[name]
	if p == nil {
		p = &pool{name: name}
		l.pools[name] = p
	}
	return p
}

// update changes the state of p. The caller holds mu.
func (l *Limiter) update(p *pool, change func(s *state, ps *poolState, now time.Time)) {
	l.file.update(func(s *state) {
		now := time.Now()
		passed := time.Duration(0)
		if ps := s.Pools[p.name]; ps != nil && ps.Updated == p.updated.UnixNano() {
			passed = now.Sub(p.updated) // by the monotonic clock
		}
		change(s, s.pool(p.name, &l.opts, now, passed, l.portion(p.name)), now)
		p.updated = now
	})
}

// call is one call of the layer, however often it is sent.
type call struct {
	req        *llm.Request
	characters int
	gate       *Gate
	again      bool // it was sent before, so its turn is now
}

// enter waits until the call may be sent.
func (l *Limiter) enter(ctx context.Context, c *call) (*attempt, error) {
	if ctx.Err() != nil {
		return nil, llm.ContextError(ctx)
	}
	if err := llm.Drained(ctx); err != nil {
		return nil, err
	}
	w := &waiter{run: runOf(ctx), wake: make(chan struct{}, 1)}
	w.deadline, _ = ctx.Deadline()
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pool(c.req.Model)
	p.queue.push(w, c.again)
	p.elect()
	for {
		v := l.consider(p, w, c)
		if v.attempt != nil {
			p.head = nil
			p.elect()
			return v.attempt, nil
		}
		if v.err == nil {
			v.err = l.pause(ctx, p, w, c, v)
		}
		if v.err != nil {
			l.leave(p, w, c.gate)
			return nil, v.err
		}
	}
}

// pause gives mu up until it is worth considering w again.
func (l *Limiter) pause(ctx context.Context, p *pool, w *waiter, c *call, v verdict) error {
	if w.slot && !v.needsSlot {
		w.slot = false
		c.gate.leave() // others can use it meanwhile
	}
	l.mu.Unlock()
	defer l.mu.Lock()
	switch {
	case v.needsSlot:
		err := c.gate.enter(ctx)
		w.slot = err == nil
		return err
	case v.ask.Kind != "":
		if err := l.ask(ctx, p, w, v); err != nil {
			return err
		}
	default:
		w.sleep(ctx, v.wait)
	}
	if ctx.Err() != nil {
		ended := llm.ContextError(ctx)
		ended.Message += fmt.Sprintf(" while it waited for the rate limits of %s; a longer timeout would help", p.name)
		return ended
	}
	return llm.Drained(ctx)
}

// leave takes a waiter out that will not be sent. It may give mu up meanwhile.
func (l *Limiter) leave(p *pool, w *waiter, gate *Gate) {
	if w.slot {
		gate.leave()
	}
	if w.ticket != nil {
		l.update(p, func(s *state, ps *poolState, _ time.Time) {
			if s.Epoch == w.ticket.Epoch {
				ps.untake(w.ticket)
			}
		})
	}
	if p.head == w {
		p.head = nil
		p.elect()
	} else {
		p.queue.remove(w)
	}
	if w.place != nil {
		l.mu.Unlock()
		defer l.mu.Lock()
		l.tell(p, Op{Kind: OpUntake, Ticket: *w.place})
	}
}

// elect makes the next waiter the head, if there is none. Only the head takes
// from the buckets, so whoever comes later, however little it needs, does not
// overtake it.
func (p *pool) elect() {
	if p.head != nil {
		return
	}
	if p.head = p.queue.pop(); p.head != nil {
		p.head.nudge()
	}
}

// changed lets the head look again.
func (p *pool) changed() {
	if p.head != nil {
		p.head.nudge()
	}
}

// closed lets everybody look again.
func (p *pool) closed() {
	p.changed()
	for w := range p.queue.all {
		w.nudge()
	}
}

// verdict is what becomes of a waiter: it goes, it fails, or it waits.
type verdict struct {
	attempt   *attempt
	err       error
	needsSlot bool          // of the gate
	ask       Op            // the shared buckets decide
	wait      time.Duration // negative for until something changes
}

// sharedPoll is how often a head looks at what other processes changed.
const sharedPoll = 100 * time.Millisecond

// consider decides about w. The caller holds mu.
func (l *Limiter) consider(p *pool, w *waiter, c *call) verdict {
	if p.head != w {
		ps := l.file.state.Pools[p.name]
		if ps == nil {
			return verdict{wait: -1}
		}
		_, err := l.shut(p, ps, w, time.Now())
		return verdict{wait: -1, err: err}
	}
	var v verdict
	l.update(p, func(s *state, ps *poolState, now time.Time) { v = l.weigh(p, s, ps, w, c, now) })
	poll := time.Duration(0)
	switch {
	case l.opts.Shared != nil:
		poll = reunion
	case l.file.path != "":
		poll = sharedPoll
	}
	if v.attempt == nil && poll > 0 && (v.wait < 0 || v.wait > poll) {
		v.wait = poll
	}
	return v
}

// weigh decides about the head.
func (l *Limiter) weigh(p *pool, s *state, ps *poolState, w *waiter, c *call, now time.Time) verdict {
	if wait, err := l.shut(p, ps, w, now); wait > 0 || err != nil {
		return verdict{wait: wait, err: err}
	}
	if p.inFlight >= ps.Ramp.window(now, ps.Requests.Limit, &l.opts) {
		p.keptBack = now
		if wait := stall - now.Sub(p.admitted); wait > 0 {
			return verdict{wait: wait}
		}
	}
	if !w.covers {
		if v, covered := l.cover(p, s, ps, w, c, now); !covered {
			return v
		}
	}
	if c.gate != nil && !w.slot {
		if w.slot = c.gate.tryEnter(); !w.slot {
			return verdict{needsSlot: true}
		}
	}
	return verdict{attempt: l.admit(p, ps, w, c, now)}
}

// cover takes the cost of the head's call from the buckets. It reports whether they cover
// it, and if not, what is to be done.
func (l *Limiter) cover(p *pool, s *state, ps *poolState, w *waiter, c *call, now time.Time) (v verdict, covered bool) {
	if l.opts.Shared != nil && !w.local {
		op := Op{Kind: OpTake, InFlight: p.inFlight, Cost: l.estimate(c.req, c.characters, ps.Models[c.req.Model])}
		if w.place != nil {
			op.Ticket = *w.place
		}
		return verdict{ask: op}, false
	}
	w.local = false // for now
	if w.ticket == nil || w.ticket.Epoch != s.Epoch {
		w.ticket = ps.take(s.Epoch, l.estimate(c.req, c.characters, ps.Models[c.req.Model]))
	}
	wait := ps.wait(w.ticket, p.inFlight, l.opts.Minute)
	switch {
	case wait == 0:
		w.place = nil // the store has failed since
		return verdict{}, true
	case w.outlasts(now, wait):
		return verdict{err: w.noRoom(p, now, wait)}, false
	}
	return verdict{wait: wait}, false
}

// shut returns how long the pool is closed to w, or the error if that is longer
// than w can wait.
func (l *Limiter) shut(p *pool, ps *poolState, w *waiter, now time.Time) (time.Duration, error) {
	if wait := until(ps.FrozenUntil, now); wait > 0 {
		if w.outlasts(now, wait) || wait > l.opts.Patience {
			why := "the service refuses calls to " + p.name
			if ps.FrozenBy != "" {
				why += " (" + ps.FrozenBy + ")"
			}
			return 0, w.tooLong(llm.CodeRateLimit, why, now, wait)
		}
		return wait, nil
	}
	wait, outlasted := ps.Breaker.wait(now), l.outlasted(p, ps, now)
	if pause := until(ps.Breaker.Until, now); wait > 0 && w.outlasts(now, pause) || pause > 0 && outlasted {
		why := fmt.Sprintf("every call to %s has failed for %s, and none is sent", p.name, llm.ShortDuration(p.trouble(ps, now)))
		e := w.tooLong(llm.CodeOverloaded, why, now, wait)
		if !w.outlasts(now, pause) {
			e.Err = errOutage
		}
		return 0, e
	}
	return wait, nil
}

// errOutage is the cause of calls that fail because all of their pool have failed
// for too long.
var errOutage = errors.New("every call fails")

// trouble returns for how long this process has met that every call of the pool
// fails.
func (p *pool) trouble(ps *poolState, now time.Time) time.Duration {
	switch {
	case !ps.Breaker.open():
		p.opened = 0
		return 0
	case p.opened != ps.Breaker.Since:
		p.opened, p.troubled = ps.Breaker.Since, now
	}
	return now.Sub(p.troubled)
}

// down reports whether calls of a model have failed for longer than is waited.
func (l *Limiter) down(model string) (down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pool(model)
	l.update(p, func(_ *state, ps *poolState, now time.Time) { down = l.outlasted(p, ps, now) })
	return down
}

// outlasted reports whether calls have failed for longer than is waited.
func (l *Limiter) outlasted(p *pool, ps *poolState, now time.Time) bool {
	return p.trouble(ps, now) >= l.opts.Outage
}

func (w *waiter) outlasts(now time.Time, wait time.Duration) bool {
	return !w.deadline.IsZero() && !now.Add(wait).Before(w.deadline)
}

// noRoom returns the error of a call that would have to wait for the buckets longer than
// it can.
func (w *waiter) noRoom(p *pool, now time.Time, wait time.Duration) *llm.Error {
	return w.tooLong(llm.CodeRateLimit, fmt.Sprintf("the rate limits of %s leave no room for the call", p.name), now, wait)
}

// tooLong returns the error of a call that would have to wait longer than it can.
func (w *waiter) tooLong(code llm.Code, why string, now time.Time, wait time.Duration) *llm.Error {
	text := fmt.Sprintf("%s before %s (in %s)", why, now.Add(wait).Format(time.TimeOnly), llm.ShortDuration(wait))
	if w.outlasts(now, wait) {
		text += fmt.Sprintf(", but the call's deadline is in %s: a longer timeout would help", llm.ShortDuration(w.deadline.Sub(now)))
	}
	e := llm.NewError(code, text, nil)
	e.RetryAfter = wait
	return e
}

// admit lets w go.
func (l *Limiter) admit(p *pool, ps *poolState, w *waiter, c *call, now time.Time) *attempt {
	sent := *c.req // its address tells this attempt from others
	a := &attempt{limiter: l, pool: p, gate: c.gate, req: &sent, characters: c.characters, sent: now}
	if a.place = w.place; a.place != nil {
		a.cost = a.place.Cost
	} else {
		a.cost = w.ticket.Cost
		p.with.apart++
	}
	if ps.Breaker.open() {
		a.probe = true
		ps.Breaker.Probe = now.Add(probeTime).UnixNano()
	}
	p.inFlight++
	p.admitted = now
	l.calls[a.req] = a
	return a
}
