package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// submission is a batch and its calls in this process.
type submission struct {
	wake    chan struct{} // ends the wait between two polls
	quoting sync.Mutex    // held while a call's request is used in an error message

	// The fields below belong to the submission's goroutine.

	items      []llm.BatchItem // calls to submit; nil once the batch is created
	betas      string
	doubtSince time.Time       // since when it is unknown whether the batch exists
	rejected   map[string]bool // batches that belong to other clients
	announced  bool            // BatchFound or BatchInDoubt was sent
	ended      bool            // BatchEnded was sent

	// The Batcher's mu guards the fields below.

	rec        Record
	foreign    bool          // owned by another process
	adopted    bool          // owned before by a process that has ended
	watched    bool          // has a goroutine
	canceling  bool          // by Cancel of this Batcher
	cancelSent bool          // the API accepted the cancellation
	void       bool          // the batch does not exist
	calls      map[int]*call // waiting calls by their index in rec
	done       map[int]bool  // calls whose answers were taken
	taken      []int         // of those, calls not yet recorded
}

func newSubmission(rec Record) *submission {
	s := &submission{
		rec: rec, wake: make(chan struct{}, 1), calls: map[int]*call{}, done: map[int]bool{}, rejected: map[string]bool{},
	}
	for i, e := range rec.Calls {
		if e.Ended {
			s.done[i] = true
		}
	}
	return s
}

// finished reports whether the submission has no more answers for this process.
// The caller holds mu.
func (s *submission) finished() bool {
	return !s.watched && len(s.calls) == 0 && (s.void || s.foreign || len(s.done) == len(s.rec.Calls))
}

// run creates, finds or polls a batch until it has ended or no call waits for
// it.
func (b *Batcher) run(ctx context.Context, s *submission) {
	b.announce(s)
	for wait := b.opts.backoff(); ; {
		var err error
		switch {
		case b.stopWatching(ctx, s):
			return
		case b.batchID(s) != "":
			err = b.poll(ctx, s)
		case b.isForeign(s):
			err = b.followOwner(s)
		case s.items != nil:
			err = b.create(ctx, s)
		default:
			err = b.search(ctx, s)
		}
		if err == nil {
			wait = b.opts.backoff()
			continue
		}
		pause := wait.take()
		if !errors.Is(err, errNotYet) && ctx.Err() == nil {
			b.emit(Event{Type: BatchTrouble, ID: b.batchID(s), Calls: len(s.rec.Calls), Err: err})
			if e, ok := errors.AsType[*llm.Error](err); ok {
				pause = max(pause, e.RetryAfter)
			}
		}
		if s.sleep(ctx, pause) {
			wait = b.opts.backoff()
		}
	}
}

// announce sends BatchFound or BatchInDoubt once for a batch that was not
// created here.
func (b *Batcher) announce(s *submission) {
	b.mu.Lock()
	ev, here := Event{BatchFound, s.rec.BatchID, len(s.rec.Calls), nil}, !s.adopted && !s.foreign
	if ev.ID == "" {
		ev.Type, here = BatchInDoubt, here || s.foreign
	}
	b.mu.Unlock()
	if !here && !s.announced {
		s.announced = true
		b.emit(ev)
	}
}

// errNotYet means that the next step is due after a wait. Other errors mean
// that too, but are reported.
var errNotYet = errors.New("not yet")

// sleep waits for d and reports whether it was woken before.
func (s *submission) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.wake:
		return true
	}
	return false
}

// stopWatching reports whether the submission's goroutine must end: the Batcher
// is closed, or no call waits.
func (b *Batcher) stopWatching(ctx context.Context, s *submission) bool {
	b.mu.Lock()
	if ctx.Err() == nil && len(s.calls) > 0 && !s.void {
		b.mu.Unlock()
		return false
	}
	s.watched = false
	unsent := s.items != nil && !s.void // it was never submitted
	s.void = s.void || unsent
	b.mu.Unlock()
	if unsent {
		s.items = nil
		if err := b.store.Void(s.rec.Nonce); err != nil {
			b.emit(Event{Type: BatchTrouble, Calls: len(s.rec.Calls), Err: err})
		}
	}
	return true
}

func (b *Batcher) batchID(s *submission) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.rec.BatchID
}

func (b *Batcher) isForeign(s *submission) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.foreign
}

// create creates the batch.
func (b *Batcher) create(ctx context.Context, s *submission) error {
	b.mu.Lock()
	canceled := s.canceling
	b.mu.Unlock()
	if canceled {
		return b.discard(s, errCanceled)
	}
	var betas []string
	if s.betas != "" {
		betas = strings.Split(s.betas, ",")
	}
	made, err := b.client.Create(ctx, s.items, betas)
	switch {
	case err == nil:
		s.items = nil
		return b.submitted(s, made.ID, BatchSubmitted)
	case !llm.Unbilled(err): // a batch may have been created
		s.items, s.announced, s.doubtSince = nil, true, time.Now()
		b.emit(Event{Type: BatchInDoubt, Calls: len(s.rec.Calls), Err: err})
		return errNotYet
	case llm.CodeOf(err).Transient():
		return err
	}
	return b.discard(s, err)
}

// submitted records the batch that an intent has become.
func (b *Batcher) submitted(s *submission, id string, how EventType) error {
	b.mu.Lock()
	s.rec.BatchID = id
	b.mu.Unlock()
	b.emit(Event{Type: how, ID: id, Calls: len(s.rec.Calls)})
	if err := b.store.Submitted(s.rec.Nonce, id); err != nil {
		// After a crash the batch is searched for, as after a lost response.
		b.emit(Event{Type: BatchTrouble, ID: id, Calls: len(s.rec.Calls), Err: err})
	}
	return errNotYet
}

// discard ends a submission whose batch will never exist, and fails its calls
// with cause.
func (b *Batcher) discard(s *submission, cause error) error {
	err := b.store.Void(s.rec.Nonce)
	s.items = nil
	b.mu.Lock()
	defer b.mu.Unlock()
	s.void = true
	for _, c := range b.removeAll(s) {
		b.finish(c, nil, cause)
	}
	return err
}

// resubmit ends a submission whose batch does not exist and puts its calls into
// another batch.
func (b *Batcher) resubmit(s *submission) error {
	b.mu.Lock()
	canceled := s.canceling
	b.mu.Unlock()
	if canceled {
		return b.discard(s, errCanceled)
	}
	if err := b.store.Void(s.rec.Nonce); err != nil {
		return err
	}
	b.emit(Event{Type: BatchVoid, Calls: len(s.rec.Calls)})
	b.mu.Lock()
	s.void = true
	calls := b.removeAll(s)
	b.mu.Unlock()
	return b.requeue(calls)
}

// removeAll removes all calls from a submission and returns them. The caller
// holds mu.
func (b *Batcher) removeAll(s *submission) (calls []*call) {
	for i, c := range s.calls {
		delete(s.calls, i)
		c.submission = nil
		calls = append(calls, c)
	}
	return calls
}

// requeue puts calls into the queue for another batch.
func (b *Batcher) requeue(calls []*call) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range calls {
		if c.readers == 0 {
			continue
		}
		params, err := b.client.Params(c.req)
		if err != nil {
			b.finish(c, nil, err)
			continue
		}
		c.params = params
		b.wait(c)
	}
	return nil
}

// followOwner checks whether the process that owns the record has submitted its
// batch.
func (b *Batcher) followOwner(s *submission) error {
	rec, alive, err := b.store.Get(s.rec.Nonce)
	switch {
	case err != nil:
		return err
	case rec.Nonce == "": // no batch was created
		b.mu.Lock()
		s.void = true
		calls := b.removeAll(s)
		b.mu.Unlock()
		return b.requeue(calls)
	case rec.BatchID != "" || alive:
		b.mu.Lock()
		s.rec.BatchID = rec.BatchID
		b.mu.Unlock()
		return errNotYet
	}
	records, err := b.store.Adopt()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		b.adopt(r)
	}
	return errNotYet
}

// poll gets the batch's state and reads its answers once it has ended.
func (b *Batcher) poll(ctx context.Context, s *submission) error {
	if err := b.cancelBatch(ctx, s); err != nil {
		return err
	}
	id := b.batchID(s)
	batch, err := b.client.Get(ctx, id)
	if err == nil && !batch.Ended {
		return errNotYet
	}
	if err == nil {
		err = b.read(ctx, s)
	}
	code := llm.CodeOf(err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || code.Transient() || code == llm.CodeTimeout:
		return err
	case code == llm.CodeNotFound && b.isAdopted(s):
		return b.resubmit(s) // it may have been deleted
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.giveUp(s, fmt.Errorf("polling batch %s: %w", id, err))
	return nil
}

// isAdopted reports whether the record belonged to a process that has ended.
func (b *Batcher) isAdopted(s *submission) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.adopted
}
