// Package refusal stops calls that the service is known to refuse.
//
// Some refusals concern everybody: a rejected credential, an account that cannot
// pay, a model that does not exist; see [llm.ConcernOf]. Three hundred calls that
// are sent one after the other into the same refusal help no one. So after one
// such refusal the calls it concerns fail at once with an [llm.NotSentError].
//
// A [Breaker] is two layers. Check stands above everything that reserves or waits;
// Watch stands below admission, where it sees each attempt, and stops those that
// were waiting for a slot when the refusal came:
//
//	r := refusal.New()
//	model := r.Check(admission.New(r.Watch(provider), gate))
//
// After [Retest] one call is let through, to find out whether the refusal still
// stands. Requests with an [llm.Wire] pass: what one client of a proxy is refused says
// nothing of the others.
package refusal

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Retest is how long a refusal stands before one call tries again: long enough
// that a run of thousands of calls sends a handful, short enough for a server
// whose user has just paid.
const Retest = 30 * time.Second

// Breaker remembers the refusals of one credential. It is safe for concurrent use.
// Make one with [New].
type Breaker struct {
	mu       sync.Mutex          // guards the field below
	refusals map[string]*refusal // by model; that of the empty name concerns all
}

type refusal struct {
	err  error
	at   time.Time
	next time.Time // when one call may be sent
}

// New returns a breaker that has seen no refusal.
func New() *Breaker { return &Breaker{refusals: map[string]*refusal{}} }

// Check returns next without the calls that are known to be refused.
func (b *Breaker) Check(next llm.Model) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		if req.Wire != nil {
			return next.Stream(ctx, req)
		}
		return func(yield func(llm.Event, error) bool) {
			if err := b.refused(req.Model, false); err != nil {
				yield(llm.Event{}, err)
				return
			}
			next.Stream(ctx, req)(yield)
		}
	})
}

// Watch returns next without the calls that are known to be refused, and learns
// from how the others end.
func (b *Breaker) Watch(next llm.Model) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		if req.Wire != nil {
			return next.Stream(ctx, req)
		}
		return func(yield func(llm.Event, error) bool) {
			if err := b.refused(req.Model, true); err != nil {
				yield(llm.Event{}, err)
				return
			}
			sent := time.Now()
			for ev, err := range next.Stream(ctx, req) {
				switch {
				case err != nil:
					b.learn(req.Model, err)
				case ev.Type == llm.EventDone:
					b.answered(req.Model, sent)
				}
				if !yield(ev, err) {
					return
				}
			}
		}
	})
}

// refused returns the error of a call of a model that is known to be refused, or
// nil. With send, a call that may test the refusal is about to be sent.
func (b *Breaker) refused(model string, send bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.refusals) == 0 {
		return nil
	}
	now := time.Now()
	for _, key := range [...]string{"", model} {
		r := b.refusals[key]
		switch {
		case r == nil:
		case now.Before(r.next):
			return notSent(r.err)
		case send:
			r.next = now.Add(Retest)
		}
	}
	return nil
}

// notSent returns the error of a call that is not sent because of an earlier
// refusal. It has its code, but no status: the service did not see the call.
func notSent(refusal error) error {
	e := &llm.NotSentError{Refusal: refusal}
	return llm.NewError(llm.CodeOf(refusal), e.Error(), e)
}

// learn remembers a refusal that concerns other calls too.
func (b *Breaker) learn(model string, err error) {
	key := model
	switch llm.ConcernOf(err) {
	case llm.ConcernCall:
		return
	case llm.ConcernCredential:
		key = ""
	}
	if _, known := errors.AsType[*llm.NotSentError](err); known {
		return
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals[key] = &refusal{err: err, at: now, next: now.Add(Retest)}
}

// answered forgets the refusals that an answer of a model disproves: those from
// before its call was sent.
func (b *Breaker) answered(model string, sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range [...]string{"", model} {
		if r := b.refusals[key]; r != nil && r.at.Before(sent) {
			delete(b.refusals, key)
		}
	}
}
