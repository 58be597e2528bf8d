package batch

import (
	"context"
	"fmt"
	"maps"

	"github.com/claude-force/claude-force/llm"
)

// read delivers the results of an ended batch to its calls.
func (b *Batcher) read(ctx context.Context, s *submission) error {
	byID := make(map[string]int, len(s.rec.Calls))
	for i := range s.rec.Calls {
		byID[s.rec.CustomID(i)] = i
	}
	r := &reading{batcher: b, submission: s, byID: byID}
	err := r.results(ctx)
	if err == nil {
		if !s.ended {
			s.ended = true
			b.emit(Event{Type: BatchEnded, ID: b.batchID(s), Calls: len(s.rec.Calls)})
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
	batcher    *Batcher
	submission *submission
	byID       map[string]int
	waiting    map[int]*call // calls that waited when it started
	failed     []*call       // calls to submit again
	ended      []int         // their indexes
}

// results finishes each call for which there is a result.
func (r *reading) results(ctx context.Context) error {
	b, s := r.batcher, r.submission
	r.begin()
	quoting := false
	release := func() {
		if quoting {
			s.quoting.Unlock()
			quoting = false
		}
	}
	defer release()
	request := func(id string) *llm.Request {
		release()
		s.quoting.Lock()
		quoting = true
		return r.request(id)
	}
	for res, err := range b.client.Results(ctx, b.batchID(s), request) {
		release()
		if err != nil {
			return err
		}
		if i, ok := r.byID[res.ID]; ok {
			r.finish(i, res)
		}
	}
	return nil
}

func (r *reading) begin() {
	r.batcher.mu.Lock()
	defer r.batcher.mu.Unlock()
	r.waiting = maps.Clone(r.submission.calls)
}

// request returns the request of a custom_id's call, or nil if no call waits
// for it.
func (r *reading) request(id string) *llm.Request {
	i, ok := r.byID[id]
	if !ok {
		return nil
	}
	r.batcher.mu.Lock()
	defer r.batcher.mu.Unlock()
	if c := r.submission.calls[i]; c != nil {
		return c.req
	}
	return nil
}

// finish sets a call's result, or marks the call to be submitted again.
func (r *reading) finish(i int, res llm.BatchResult) {
	b, s := r.batcher, r.submission
	b.mu.Lock()
	defer b.mu.Unlock()
	c := s.calls[i]
	if c == nil {
		return
	}
	err, retry := res.Err, false
	switch res.Outcome {
	case llm.BatchSucceeded:
	case llm.BatchCanceled:
		// A cancellation by a previous process must not fail a call made now.
		err, retry = errCanceled, s.adopted && !s.canceling
	case llm.BatchExpired:
		err, retry = errExpired, !s.canceling && c.tries < b.opts.Resubmits
	default:
		retry = llm.CodeOf(err).Transient() && !c.once && !s.canceling && c.tries < b.opts.Resubmits
	}
	if !retry {
		// The service bills only the calls of a batch that it answered.
		b.finish(c, res.Response, llm.NotBilled(err))
		return
	}
	delete(s.calls, i)
	s.done[i] = true
	c.submission = nil
	c.tries++
	r.failed, r.ended = append(r.failed, c), append(r.ended, i)
}

var errExpired = llm.NewError(llm.CodeServer, "the call's batches expired before they reached it: send the call outside a batch, or try again later", nil)

// resubmit puts failed calls into another batch. It records that first, so that
// after a crash no process waits for their answers here.
func (r *reading) resubmit() error {
	if len(r.failed) == 0 {
		return nil
	}
	b, s := r.batcher, r.submission
	if !b.isForeign(s) {
		if err := b.store.Ended(s.rec.Nonce, r.ended); err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, c := range r.failed {
				b.finish(c, nil, storeError(err))
			}
			return err
		}
	}
	return b.requeue(r.failed)
}

// missing fails the waiting calls without a result in the batch.
func (r *reading) missing() {
	b, s := r.batcher, r.submission
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, c := range r.waiting {
		if s.calls[i] == c { // not a call that joined while the results were read
			b.finish(c, nil, llm.NewError(llm.CodeServer, fmt.Sprintf("batch %s has ended without a result for the call", s.rec.BatchID), nil))
		}
	}
}
