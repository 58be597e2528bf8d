package batch

import (
	"context"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// clockSkew is by how much this machine's clock and the service's may differ.
const clockSkew = 10 * time.Minute

// search looks for the batch that an intent may have become. It is told by its
// size, and by the nonce in its results once it has ended.
func (l *Lane) search(ctx context.Context, f *flight) error {
	if f.doubt.IsZero() {
		f.doubt = time.Now()
	}
	// Read before the list: only a list from after the grace period shows that
	// there is no batch.
	late := time.Since(f.doubt) >= l.opts.Grace
	candidates, err := l.candidates(ctx, f)
	if err != nil {
		return err
	}
	open := false
	for _, b := range candidates {
		if !b.Ended {
			open = true
			continue
		}
		ours, known, err := l.recognize(ctx, f, b.ID)
		switch {
		case err != nil && llm.CodeOf(err) != llm.CodeNotFound:
			return err
		case ours:
			return l.submitted(f, b.ID, BatchFound)
		case known || err != nil: // another's, or its results are gone for good
			f.checked[b.ID] = true
		}
	}
	if !open && late {
		return l.resubmit(f)
	}
	return errNotYet
}

// candidates returns the batches that may be a flight's: not created before it was
// meant to be, of its size, and not known to be another's.
func (l *Lane) candidates(ctx context.Context, f *flight) (list []llm.Batch, err error) {
	since := f.rec.Created.Add(-clockSkew)
	taken := l.batchIDs()
	for after := ""; ; {
		page, next, err := l.client.List(ctx, after)
		if err != nil {
			return nil, err
		}
		for _, b := range page {
			if b.Created.Before(since) {
				return list, nil // the newest come first
			}
			if b.Requests == len(f.rec.Calls) && !taken[b.ID] && !f.checked[b.ID] {
				list = append(list, b)
			}
		}
		if next == "" {
			return list, nil
		}
		after = next
	}
}

// batchIDs returns the batches of all flights.
func (l *Lane) batchIDs() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := map[string]bool{}
	for _, f := range l.flights {
		ids[f.rec.BatchID] = true
	}
	return ids
}

// recognize reports whether an ended batch is a flight's, by its first result.
func (l *Lane) recognize(ctx context.Context, f *flight, id string) (ours, known bool, err error) {
	for res, err := range l.client.Results(ctx, id, func(string) *llm.Request { return nil }) {
		if err != nil {
			return false, false, err
		}
		return nonceOf(res.ID) == f.rec.Nonce, true, nil
	}
	return false, true, nil
}
