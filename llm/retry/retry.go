// Package retry is the layer that tries a failed call again, and the only one
// that does: the provider's own retries are off.
//
//	model := retry.New(admission.New(provider, gate), retry.Options{})
//
// It tries again only while nothing of the answer has been shown. The start
// of an answer and its pings show nothing, so they are held back until the
// first piece comes: a service that accepts a call and then reports overload
// in the stream is asked again. After that an error passes as it is, unless the
// request is Unseen: then all is held back, and a call is tried again wherever it
// broke off. Events of other requests are not held for longer than ten seconds, since a consumer may take a
// silent stream for a dead one; a call that has lived that long is committed.
//
// It waits as long as the service asks for, plus up to [Options.Base] so that
// callers with the same retry-after do not return together, and never shorter. Without
// such a hint it waits a random time up to a ceiling that doubles with each
// attempt. A wait that would outlast the call's deadline, or
// [Options.MaxWait], does not start: the error comes at once and says so.
//
// Only errors whose code is [llm.Code.Transient] are retried, and no request
// that says Once. A reached
// spending limit is not one of them, although it arrives as a 429.
//
// The API has no idempotency key, so an attempt that broke off may have been
// billed; that is why attempts are few.
package retry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Options are the settings of [New]. The zero value is ready.
type Options struct {
	// MaxAttempts is the most attempts, the first included; 1 turns retries
	// off. 0 means 4: one more than the official clients make, since a lost
	// call can cost a run its later steps, and no more, since each attempt may
	// be billed and a longer outage is for the step's own retries.
	MaxAttempts int

	// Base is the ceiling of the first wait; it doubles with each attempt. 0
	// means one second.
	Base time.Duration
	// Max is the highest such ceiling. 0 means 30 seconds.
	Max time.Duration
	// MaxWait is the longest that a service may ask to wait. 0 means two
	// minutes: rate limits refill within one.
	MaxWait time.Duration

	// Budget, when set, bounds the retries of everything that shares it.
	Budget *Budget

	// Rand gives numbers in [0, 1) and is safe for concurrent use. Nil means
	// math/rand/v2.
	Rand func() float64

	// OnRetry, when set, is called before each wait with the number of the
	// attempt that failed, from 1, the wait and the error. Calls that run at
	// once call it at once.
	OnRetry func(ctx context.Context, attempt int, wait time.Duration, err error)
}

// New returns next with failed calls tried again. An answer's Attempts is the
// number of attempts made. The error of a call that was tried more than once
// says how often in its message, and its chain holds a value with a method
// Attempts() int and the last attempt's error.
func New(next llm.Model, opts Options) llm.Model {
	def := func(value, ifUnset time.Duration) time.Duration {
		if value <= 0 {
			return ifUnset
		}
		return value
	}
	opts.Base = def(opts.Base, time.Second)
	opts.Max = def(opts.Max, 30*time.Second)
	opts.MaxWait = def(opts.MaxWait, 2*time.Minute)
	if opts.MaxAttempts <= 0 {
		opts.MaxAttempts = 4
	}
	if opts.Rand == nil {
		opts.Rand = rand.Float64
	}
	return &model{next: next, opts: opts}
}

type model struct {
	next llm.Model
	opts Options
}

func (m *model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		billed := false // some attempt may have been
		sent := 0       // also by the layers below
		for n := 1; ; n++ {
			a := attempt{number: n, out: llm.NewHoldback(req, yield)}
			a.run(m.next.Stream(ctx, req))
			if a.err == nil {
				if a.answered {
					m.opts.Budget.refill()
				}
				return
			}
			billed = billed || a.out.Began() || !llm.Unbilled(a.err)
			// What is still held back of a start is dropped: an error needs none.
			err, again := a.err, false
			below, over := sentBelow(err)
			sent += below
			switch transient := llm.CodeOf(err).Transient() && !req.Once; {
			case transient && over:
				err = gaveUp(sent, noneLeft, err)
			case transient && !a.out.Shown():
				again, err = m.pause(ctx, n, sent, err)
			case n > 1:
				err = gaveUp(sent, "", err)
			}
			if !again {
				if billed {
					err = llm.MayBeBilled(err)
				}
				if !a.out.FlushUnseen() {
					return
				}
				yield(llm.Event{}, err)
				return
			}
		}
	}
}

// sentBelow returns how often a call that failed with err was sent, and whether it
// is not to be sent again.
func sentBelow(err error) (sent int, over bool) {
	if e, ok := errors.AsType[*llm.SentError](err); ok {
		return e.Sent, e.GaveUp
	}
	if llm.NotSent(err) {
		return 0, false
	}
	return 1, false
}

// pause waits until the call may be tried again after its n-th attempt failed
// with err; it was sent so often. It reports false, with the call's error, if it
// may not.
func (m *model) pause(ctx context.Context, n, sent int, err error) (again bool, _ error) {
	if ctx.Err() != nil || llm.Drained(ctx) != nil {
		return false, interrupted(ctx, sent, err)
	}
	wait, refusal := m.wait(ctx, n, err)
	if refusal != "" {
		return false, gaveUp(sent, refusal, err)
	}
	if m.opts.OnRetry != nil {
		m.opts.OnRetry(ctx, n, wait, err)
	}
	if !sleep(ctx, wait) {
		return false, interrupted(ctx, sent, err)
	}
	return true, nil
}

// attempt is one try of a call.
type attempt struct {
	number   int
	out      *llm.Holdback
	answered bool  // the answer is whole
	err      error // how the attempt failed
}

// run ranges over the attempt's stream. When it returns the stream has been
// released.
func (a *attempt) run(seq iter.Seq2[llm.Event, error]) {
	for ev, err := range seq {
		if err != nil {
			a.err = err
			return
		}
		if ev.Type == llm.EventDone {
			a.answered = true
			ev.Response = a.count(ev.Response)
		}
		if !a.out.Yield(ev) {
			return
		}
	}
	if !a.answered {
		a.err = llm.ErrIncomplete
	}
}

// count sets the answer's attempts. The answer may be shared, so another
// number goes into a copy.
func (a *attempt) count(resp *llm.Response) *llm.Response {
	if resp == nil || resp.Attempts == a.number || resp.Source != "" && resp.Source != llm.SourceLive {
		return resp
	}
	resp = resp.Clone()
	resp.Attempts = a.number
	return resp
}

// wait returns how long to wait after attempt n failed with err, or why not to try
// again.
func (m *model) wait(ctx context.Context, n int, err error) (wait time.Duration, refusal string) {
	if n >= m.opts.MaxAttempts {
		return 0, noneLeft
	}
	var asked time.Duration = -1
	if e, ok := errors.AsType[*llm.Error](err); ok {
		asked = e.RetryAfter
	}
	if asked > m.opts.MaxWait {
		return 0, fmt.Sprintf("the next attempt would be in %s, and the longest wait is %s; try again then", llm.ShortDuration(asked), llm.ShortDuration(m.opts.MaxWait))
	}
	if asked >= 0 {
		wait = asked + m.jitter(m.opts.Base)
	} else {
		wait = m.jitter(ceiling(m.opts.Base, m.opts.Max, n))
	}
	if deadline, ok := ctx.Deadline(); ok && wait >= time.Until(deadline) {
		if asked >= 0 {
			return 0, fmt.Sprintf("the next attempt would be in %s, after the call's deadline in %s", llm.ShortDuration(asked), llm.ShortDuration(time.Until(deadline)))
		}
		return 0, fmt.Sprintf("waiting %s would exceed the call's deadline", llm.ShortDuration(wait))
	}
	if !m.opts.Budget.take() {
		return 0, "the budget for retries is spent, as most calls fail now"
	}
	return wait, ""
}

// jitter returns a random time below limit. Spreading over the whole range, and
// not around its end, is what keeps callers that failed together from
// returning together.
func (m *model) jitter(limit time.Duration) time.Duration {
	return time.Duration(m.opts.Rand() * float64(limit))
}

// ceiling returns base doubled n-1 times, at most limit.
func ceiling(base, limit time.Duration, n int) time.Duration {
	for range n - 1 {
		if base >= limit/2 {
			return limit
		}
		base *= 2
	}
	return min(base, limit)
}

// sleep waits for d. It reports false if ctx ended or was drained first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-llm.Drain(ctx):
	case <-timer.C:
	}
	return ctx.Err() == nil && llm.Drained(ctx) == nil
}
