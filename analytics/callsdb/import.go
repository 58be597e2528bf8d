package callsdb

import (
	"context"
	"iter"

	"github.com/claude-force/claude-force/analytics"
)

// Import adds calls from elsewhere, each once however often it is imported, and
// gives how many were new and how many were known. Errors of the sequence are
// given to skipped, which ends the import if it returns one.
func (s *Store) Import(ctx context.Context, calls iter.Seq2[analytics.Imported, error], skipped func(error) error) (added, known int, err error) {
	var batch []analytics.Imported
	flush := func() error {
		n, err := s.importSome(ctx, batch)
		added, known = added+n, known+len(batch)-n
		batch = batch[:0]
		return err
	}
	for c, err := range calls {
		if err != nil {
			if err := skipped(err); err != nil {
				return added, known, err
			}
			continue
		}
		if batch = append(batch, c); len(batch) == maxBatch {
			if err := flush(); err != nil {
				return added, known, err
			}
		}
	}
	return added, known, flush()
}

func (s *Store) importSome(ctx context.Context, calls []analytics.Imported) (added int, err error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.writing(func() error {
		added = 0
		b := s.batch()
		for i := range calls {
			n, err := s.write.Change(`INSERT OR IGNORE INTO call_imports VALUES (?)`, calls[i].Hash[:])
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			added++
			if err := b.insert(calls[i].Call); err != nil {
				return err
			}
		}
		return b.commit(nil)
	})
	if err != nil {
		added = 0
	}
	return added, err
}
