package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/dustin/go-humanize/english"
)

// BatchTimeout is how long a call waits for its batch: the day in which the
// service answers it or lets it expire, and some time to find out.
const BatchTimeout = 26 * time.Hour

// batched returns next with the calls that may wait sent in message batches, each
// charged and recorded as an attempt.
func (p *Pipeline) batched(next llm.Model, s *service) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		if !req.Batch {
			return next.Stream(ctx, req)
		}
		batcher, err := p.openBatcher(s)
		if err != nil {
			return llm.Fail(llm.NewError(llm.CodeInvalid, err.Error(), err))
		}
		return s.budget.Attempts(p.recordedAttempts(batcher.Model())).Stream(ctx, req)
	})
}

// openBatcher opens the batcher with the first call that needs it.
func (p *Pipeline) openBatcher(s *service) (*batch.Batcher, error) {
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.batcher != nil {
		return p.batcher, nil
	}
	if s.batches == nil {
		return nil, errors.New("this model has no message batches")
	}
	if p.config.DataDir == "" {
		return nil, errors.New("batches need a folder that remembers them: set CLAUDE_FORCE_HOME, or HOME")
	}
	simulated := p.opts.Simulator != nil
	store, err := batch.OpenDir(DataDir(p.config.DataDir).Batches(simulated))
	if err != nil {
		return nil, fmt.Errorf("opening the folder of batches: %w", err)
	}
	opts := batch.Options{Keyer: s.keyer, OnBatch: p.batchChanged}
	if simulated {
		opts.Idle = 200 * time.Millisecond
		opts.PollMin = 200 * time.Millisecond
	}
	p.batches = store
	p.batcher = batch.New(s.batches, store, opts)
	return p.batcher, nil
}

// CancelBatches cancels the message batches that this pipeline has submitted, so
// that they are not paid for. What a batch has answered already is kept.
func (p *Pipeline) CancelBatches(ctx context.Context) {
	p.opening.Lock()
	batcher := p.batcher
	p.opening.Unlock()
	if batcher == nil {
		return
	}
	if err := batcher.Cancel(context.WithoutCancel(ctx)); err != nil {
		p.notice(ctx, fmt.Sprintf("the batches could not be cancelled, and may be billed: %v", err))
	}
}

// batchChanged tells the user what becomes of a batch.
func (p *Pipeline) batchChanged(ev batch.Event) {
	text := ""
	switch ev.Type {
	case batch.BatchSubmitted:
		text = fmt.Sprintf("batch %s with %s was submitted; most batches are answered within an hour, all within a day", ev.ID, english.Plural(ev.Calls, "call", ""))
	case batch.BatchFound:
		text = fmt.Sprintf("batch %s with %s was submitted before; waiting for its answers", ev.ID, english.Plural(ev.Calls, "call", ""))
	case batch.BatchInDoubt:
		text = fmt.Sprintf("whether a batch of %s was submitted is not known; looking for it", english.Plural(ev.Calls, "call", ""))
	case batch.BatchEnded:
		text = fmt.Sprintf("batch %s has ended", ev.ID)
	}
	p.notice(p.background, text)
}
