package batch

import (
	"context"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// clockSkew is the largest difference between this machine's clock and the
// API's.
const clockSkew = 10 * time.Minute

// search looks for the batch that an intent may have become, by the number of
// its requests and, once it has ended, by the nonce in its results.
func (b *Batcher) search(ctx context.Context, s *submission) error {
	if s.doubtSince.IsZero() {
		s.doubtSince = time.Now()
	}
	// Evaluated before the list is fetched: only a list from after the grace
	// period proves that the batch does not exist.
	late := time.Since(s.doubtSince) >= b.opts.Grace
	candidates, err := b.candidates(ctx, s)
	if err != nil {
		return err
	}
	open := false
	for _, batch := range candidates {
		if !batch.Ended {
			open = true
			continue
		}
		ours, known, err := b.recognize(ctx, s, batch.ID)
		switch {
		case err != nil && llm.CodeOf(err) != llm.CodeNotFound:
			return err
		case ours:
			return b.submitted(s, batch.ID, BatchFound)
		case known || err != nil: // another client's, or its results were deleted
			s.rejected[batch.ID] = true
		}
	}
	if !open && late {
		return b.resubmit(s)
	}
	return errNotYet
}

// candidates returns the batches that may be the submission's: created after
// its intent, with its number of requests, and not known to belong to others.
func (b *Batcher) candidates(ctx context.Context, s *submission) (list []llm.Batch, err error) {
	since := s.rec.Created.Add(-clockSkew)
	taken := b.batchIDs()
	for after := ""; ; {
		page, next, err := b.client.List(ctx, after)
		if err != nil {
			return nil, err
		}
		for _, batch := range page {
			if batch.Created.Before(since) {
				return list, nil // the list is newest first
			}
			if batch.Requests == len(s.rec.Calls) && !taken[batch.ID] && !s.rejected[batch.ID] {
				list = append(list, batch)
			}
		}
		if next == "" {
			return list, nil
		}
		after = next
	}
}

// batchIDs returns the batch ids of all submissions.
func (b *Batcher) batchIDs() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := map[string]bool{}
	for _, s := range b.submissions {
		ids[s.rec.BatchID] = true
	}
	return ids
}

// recognize reports whether an ended batch is the submission's, by its first
// result.
func (b *Batcher) recognize(ctx context.Context, s *submission, id string) (ours, known bool, err error) {
	for res, err := range b.client.Results(ctx, id, func(string) *llm.Request { return nil }) {
		if err != nil {
			return false, false, err
		}
		return nonceOf(res.ID) == s.rec.Nonce, true, nil
	}
	return false, true, nil
}
