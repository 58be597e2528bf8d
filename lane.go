package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/batch"
)

// batchPatience is how long a call waits for its batch: the day in which the
// service answers it or lets it expire, and some time to find out.
const batchPatience = 26 * time.Hour

// byLane is live with the calls that may wait sent by way of message batches.
func (o *Orchestrator) byLane(provider *anthropic.Client, live llm.Model) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		if !req.Batch {
			return live.Stream(ctx, req)
		}
		lane, err := o.batchLane(provider)
		if err != nil {
			return llm.Fail(llm.NewError(llm.CodeInvalid, err.Error(), err))
		}
		return lane.Model().Stream(ctx, req)
	})
}

// batchLane is the lane of message batches, opened with the first call that
// needs it.
func (o *Orchestrator) batchLane(provider *anthropic.Client) (*batch.Lane, error) {
	o.opening.Lock()
	defer o.opening.Unlock()
	if o.lane != nil {
		return o.lane, nil
	}
	if o.config.DataDir == "" {
		return nil, errors.New("batches need a folder that remembers them: set CLAUDE_FORCE_HOME, or HOME")
	}
	dir := filepath.Join(o.config.DataDir, "batches")
	if o.opts.Simulator != nil { // what it was asked ends with it
		dir = filepath.Join(o.config.DataDir, "batches-simulated")
	}
	store, err := batch.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the folder of batches: %w", err)
	}
	opts := batch.Options{Keyer: provider.Keyer(), OnBatch: o.batchNews}
	if o.opts.Simulator != nil {
		opts.Idle, opts.PollMin = 200*time.Millisecond, 200*time.Millisecond
	}
	o.lane, o.batches = batch.New(provider.Batches(), store, opts), store
	return o.lane, nil
}

// cancelBatches stops what was submitted for a run that was cancelled for good,
// so that it is not paid for. What a batch has answered already is kept.
func (o *Orchestrator) cancelBatches(ctx context.Context) {
	o.opening.Lock()
	lane := o.lane
	o.opening.Unlock()
	if lane == nil {
		return
	}
	if err := lane.Cancel(context.WithoutCancel(ctx)); err != nil {
		o.notice(fmt.Sprintf("the batches could not be cancelled, and may be billed: %v", err))
	}
}

// batchNews tells the user what becomes of a batch.
func (o *Orchestrator) batchNews(ev batch.Event) {
	switch ev.Type {
	case batch.BatchSubmitted:
		o.notice(fmt.Sprintf("batch %s with %d calls was submitted; it is answered within a day, most within an hour", ev.ID, ev.Calls))
	case batch.BatchFound:
		o.notice(fmt.Sprintf("batch %s with %d calls was submitted before; its answers are waited for", ev.ID, ev.Calls))
	case batch.BatchInDoubt:
		o.notice(fmt.Sprintf("whether a batch of %d calls was submitted is not known; it is being looked for", ev.Calls))
	case batch.BatchEnded:
		o.notice(fmt.Sprintf("batch %s has ended", ev.ID))
	}
}
