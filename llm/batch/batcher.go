package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
)

// Batcher collects calls into batches. Create one with [New]. It is safe for
// concurrent use.
type Batcher struct {
	client Client
	store  Store
	opts   Options

	wakeCollector chan struct{} // wakes the collector
	wg            sync.WaitGroup

	mu           sync.Mutex // guards the fields below, and fields of submissions and calls as noted there
	ctx          context.Context
	stop         context.CancelFunc // nil before the first call
	closed       bool
	flush        bool                   // submit waiting calls now
	cancels      int                    // calls of Cancel
	open         map[llm.Key]*call      // calls that an identical call may join
	abandoned    map[llm.Key][]slot     // pending answers without a waiting call
	submissions  map[string]*submission // by nonce
	waiting      []*call                // for the next batch
	bytes        int                    // size of their bodies
	firstArrival time.Time              // arrival of the first of them
	lastArrival  time.Time
}

// slot is the place of a call in a submission.
type slot struct {
	submission *submission
	index      int
}

// New returns a Batcher that creates batches with client and records them in
// store. It starts nothing before the first call. Close it before the store.
func New(client Client, store Store, opts Options) *Batcher {
	return &Batcher{
		client: client, store: store, opts: opts.withDefaults(), wakeCollector: make(chan struct{}, 1),
		open: map[llm.Key]*call{}, abandoned: map[llm.Key][]slot{}, submissions: map[string]*submission{},
	}
}

// start adopts records and starts the collector with the first call. The caller
// holds mu.
func (b *Batcher) start(ctx context.Context) error {
	switch {
	case b.closed:
		return errClosed
	case b.stop != nil:
		return nil
	}
	records, err := b.store.Adopt()
	if err != nil {
		return storeError(err)
	}
	for _, rec := range records {
		b.adopt(rec)
	}
	// The Batcher outlives the first call's context.
	b.ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	b.wg.Go(b.collect)
	return nil
}

var errClosed = llm.NewError(llm.CodeCanceled, "the batcher was closed; submitted batches continue, and the same calls find their answers when they are repeated", nil)

func storeError(err error) error {
	return llm.NewError(llm.CodeInternal, "batches cannot be recorded, so none is created: "+err.Error(), fault.Input(err))
}

// adopt adds the record of a process that has ended. The caller holds mu.
func (b *Batcher) adopt(rec Record) *submission {
	s := b.submissions[rec.Nonce]
	switch {
	case s == nil:
		s = newSubmission(rec)
		b.submissions[rec.Nonce] = s
	case !s.foreign:
		return s
	}
	s.adopted, s.foreign = true, false
	for i, e := range rec.Calls {
		switch {
		case s.done[i] && !e.Ended:
			s.taken = append(s.taken, i) // while another process owned it
		case !s.done[i] && s.calls[i] == nil:
			b.abandoned[e.Key] = append(b.abandoned[e.Key], slot{s, i})
		}
	}
	return s
}

// takeAbandoned removes and returns a slot with a pending answer for key. The
// caller holds mu.
func (b *Batcher) takeAbandoned(key llm.Key) (slot, bool) {
	for list := b.abandoned[key]; len(list) > 0; list = b.abandoned[key] {
		p := list[0]
		if len(list) == 1 {
			delete(b.abandoned, key)
		} else {
			b.abandoned[key] = list[1:]
		}
		if !p.submission.void && !p.submission.done[p.index] && p.submission.calls[p.index] == nil {
			return p, true
		}
	}
	return slot{}, false
}

// add puts a call into a submission and starts watching it. The caller holds
// mu.
func (b *Batcher) add(c *call, s *submission, index int) {
	c.submission, c.index, c.params = s, index, nil
	s.calls[index] = c
	b.watch(s)
}

// watch starts the submission's goroutine if it has none. The caller holds mu.
func (b *Batcher) watch(s *submission) {
	if s.watched || b.closed {
		return
	}
	s.watched = true
	b.wg.Go(func() { b.run(b.ctx, s) })
}

// Flush submits the waiting calls immediately, because no more are coming.
func (b *Batcher) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush = len(b.waiting) > 0
	wake(b.wakeCollector)
}

// Cancel fails all waiting calls and cancels the submitted batches. Answers
// that a batch already has are still delivered once it has ended, and cost
// money; its other calls fail with [llm.CodeCanceled]. A batch whose creation
// got no response is unknown until it has ended, so it is not canceled. Later
// calls are not affected. The error lists batches that could not be canceled so
// far; the Batcher retries while calls wait for them.
func (b *Batcher) Cancel(ctx context.Context) error {
	b.mu.Lock()
	b.cancels++
	for _, c := range b.waiting {
		b.finish(c, nil, errCanceled)
	}
	b.waiting, b.bytes = nil, 0
	var running []*submission
	for _, s := range b.submissions {
		switch {
		case s.foreign: // another process's batch
			b.giveUp(s, errCanceled)
		case len(s.calls) == 0 || s.canceling:
		default:
			s.canceling = true
			if s.rec.BatchID != "" {
				running = append(running, s)
			}
		}
	}
	b.mu.Unlock()
	var errs []error
	for _, s := range running {
		errs = append(errs, b.cancelBatch(ctx, s))
	}
	return errors.Join(errs...)
}

var errCanceled = llm.NotBilled(llm.NewError(llm.CodeCanceled, "the batch was canceled before it reached the call", nil))

// cancelBatch cancels a submission's batch if that is still pending.
func (b *Batcher) cancelBatch(ctx context.Context, s *submission) error {
	b.mu.Lock()
	id, due := s.rec.BatchID, s.canceling && !s.cancelSent
	b.mu.Unlock()
	if !due {
		return nil
	}
	err := b.client.Cancel(ctx, id)
	switch llm.CodeOf(err) {
	case 0, llm.CodeNotFound, llm.CodeInvalid: // the last two mean that it has ended
	default:
		return fmt.Errorf("canceling batch %s: %w", id, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.cancelSent = true
	wake(s.wake)
	return nil
}

// Close stops the Batcher and waits for its goroutines. Waiting calls fail with
// [llm.CodeCanceled]; submitted batches continue, and the next process that
// opens the store finds them.
func (b *Batcher) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	if b.stop != nil {
		b.stop()
	}
	b.mu.Unlock()
	b.wg.Wait()
	b.mu.Lock()
	for _, c := range b.waiting {
		b.finish(c, nil, errClosed)
	}
	for _, s := range b.submissions {
		b.giveUp(s, errClosed)
	}
	b.mu.Unlock()
	return b.settle()
}

// giveUp fails the calls of a submission whose results cannot be read here; a
// repeated call may find them. The caller holds mu.
func (b *Batcher) giveUp(s *submission, err error) {
	for _, c := range s.calls {
		c.unknown = true
		b.finish(c, nil, err)
	}
}

// wake unblocks a goroutine that waits on ch, now or when it next waits.
func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (b *Batcher) emit(ev Event) {
	if b.opts.OnBatch != nil {
		b.opts.OnBatch(ev)
	}
}
