package callsdb

import (
	"context"
	"iter"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
)

// Import adds calls from elsewhere, each once however often it is imported, and
// gives how many were new and how many were known. Errors of the sequence are
// given to skipped, which ends the import if it returns one.
func (s *Store) Import(ctx context.Context, calls iter.Seq2[analytics.Imported, error], skipped func(error) error) (added, known int, err error) {
	return callsql.Import(calls, maxBatch, skipped, func(batch []analytics.Imported) (int, error) { return s.importSome(ctx, batch) })
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
			n, err := s.write.Change(`INSERT OR IGNORE INTO call_imports (hash) VALUES (?)`, calls[i].Hash[:])
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
