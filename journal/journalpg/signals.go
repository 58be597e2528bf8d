package journalpg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal"
)

// Signals returns what people sent to a run. See [journal.Store].
func (s *Store) Signals(ctx context.Context, id string, after int64) (events []journal.Event, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if !postgres.Storable(id) {
		return nil, journal.ErrNotFound
	}
	// A run without any gives one row, without an event. The condition on the type is
	// that of the index, word for word.
	rows, err := s.db.Query(ctx, `SELECT coalesce(e.seq, 0), coalesce(e.time, 0), coalesce(e.type, ''), e.step, e.item, coalesce(e.attempt, 0), e.key, e.output, e.detail, o.data
		FROM journal_runs r LEFT JOIN journal_events e ON e.run = r.n AND e.type IN ('approval_given', 'cancel_asked') AND e.seq > $2
		LEFT JOIN journal_outputs o ON o.hash = e.output
		WHERE r.id = $1 ORDER BY e.seq`, id, max(after, 0))
	if err != nil {
		return nil, s.failed("reading", err)
	}
	found := false
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		found = true
		ev, err := s.readEvent(id, row)
		if err == nil && ev.Seq > 0 {
			events = append(events, ev)
		}
		return struct{}{}, err
	})
	switch {
	case err != nil:
		return nil, s.failed("reading", err)
	case !found:
		return nil, journal.ErrNotFound
	}
	return events, nil
}
