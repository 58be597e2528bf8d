package batch

import (
	"context"
	"fmt"
	"maps"

	"github.com/claude-force/claude-force/llm"
)

// read gives the calls of an ended batch their answers.
func (l *Lane) read(ctx context.Context, f *flight) error {
	byID := make(map[string]int, len(f.rec.Calls))
	for i := range f.rec.Calls {
		byID[f.rec.CustomID(i)] = i
	}
	r := &reading{lane: l, flight: f, byID: byID}
	err := r.results(ctx)
	if err == nil {
		if !f.ended {
			f.ended = true
			l.tell(Event{Type: BatchEnded, ID: l.batchID(f), Calls: len(f.rec.Calls)})
		}
		r.missing()
	}
	if e := r.resubmit(); e != nil {
		return e
	}
	return err
}

// reading is one pass over a batch's results.
type reading struct {
	lane   *Lane
	flight *flight
	byID   map[string]int
	asked  map[int]*call // those that waited when it began
	failed []*call       // those to be submitted again
	ended  []int         // their indices
}

// results lands each call for which there is a result.
func (r *reading) results(ctx context.Context) error {
	l, f := r.lane, r.flight
	r.begin()
	quoting := false
	release := func() {
		if quoting {
			f.quoting.Unlock()
			quoting = false
		}
	}
	defer release()
	asked := func(id string) *llm.Request {
		release()
		f.quoting.Lock()
		quoting = true
		return r.request(id)
	}
	for res, err := range l.client.Results(ctx, l.batchID(f), asked) {
		release()
		if err != nil {
			return err
		}
		if i, ok := r.byID[res.ID]; ok {
			r.land(i, res)
		}
	}
	return nil
}

func (r *reading) begin() {
	r.lane.mu.Lock()
	defer r.lane.mu.Unlock()
	r.asked = maps.Clone(r.flight.calls)
}

// request returns what the call of a custom_id asked, nil if nobody waits for it.
func (r *reading) request(id string) *llm.Request {
	i, ok := r.byID[id]
	if !ok {
		return nil
	}
	r.lane.mu.Lock()
	defer r.lane.mu.Unlock()
	if c := r.flight.calls[i]; c != nil {
		return c.req
	}
	return nil
}

// land gives a call its result, unless that is one to try again.
func (r *reading) land(i int, res llm.BatchResult) {
	l, f := r.lane, r.flight
	l.mu.Lock()
	defer l.mu.Unlock()
	c := f.calls[i]
	if c == nil {
		return
	}
	err, again := res.Err, false
	switch res.Outcome {
	case llm.BatchSucceeded:
	case llm.BatchCanceled:
		// A cancellation in an earlier life is not an answer to who asks now.
		err, again = errCanceled, f.adopted && !f.canceling
	case llm.BatchExpired:
		err, again = errExpired, !f.canceling && c.tries < l.opts.Resubmits
	default:
		again = llm.CodeOf(err).Transient() && !c.once && !f.canceling && c.tries < l.opts.Resubmits
	}
	if !again {
		l.land(c, res.Response, err)
		return
	}
	delete(f.calls, i)
	f.over[i] = true
	c.flight = nil
	c.tries++
	r.failed, r.ended = append(r.failed, c), append(r.ended, i)
}

var errExpired = llm.NewError(llm.CodeServer, "the call's batch expired before its turn, more than once: make it live, or try again later", nil)

// resubmit puts calls that came to nothing into another batch. That they did is
// noted first, so that after a crash nobody waits for their answers here.
func (r *reading) resubmit() error {
	if len(r.failed) == 0 {
		return nil
	}
	l, f := r.lane, r.flight
	if !l.isForeign(f) {
		if err := l.store.Ended(f.rec.Nonce, r.ended); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, c := range r.failed {
				l.land(c, nil, storeError(err))
			}
			return err
		}
	}
	return l.again(r.failed)
}

// missing fails the calls that waited for a result that the batch does not have.
func (r *reading) missing() {
	l, f := r.lane, r.flight
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range r.asked {
		if f.calls[i] == c { // and not another that came while the results were read
			l.land(c, nil, llm.NewError(llm.CodeServer, fmt.Sprintf("batch %s has ended without a result for the call", f.rec.BatchID), nil))
		}
	}
}
