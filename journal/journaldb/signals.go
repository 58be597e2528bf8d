package journaldb

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/journal"
)

// Signals returns what people sent to a run. See [journal.Store].
func (s *Store) Signals(ctx context.Context, id string, after int64) (events []journal.Event, err error) {
	err = s.reading(ctx, func() error {
		var h *header
		if err := s.read.Query(`SELECT `+headerColumns+` FROM runs WHERE id = ?`, func(row *stmt) (err error) {
			h, err = readHeader(row)
			return err
		}, id); err != nil {
			return fmt.Errorf("run %s: %w", id, err)
		}
		if h == nil {
			return journal.ErrNotFound
		}
		// The condition on the type is that of the index, word for word.
		return s.read.Query(`SELECT `+eventColumns+` FROM events e LEFT JOIN outputs o ON o.n = e.output
			WHERE e.type IN ('approval_given', 'cancel_asked') AND e.id > ? AND e.id <= ? ORDER BY e.id`, func(row *stmt) error {
			ev, err := s.readEvent(id, row)
			if err != nil {
				return err
			}
			events = append(events, ev)
			return nil
		}, h.event(max(after, 0)), h.event(h.Seq))
	})
	return events, err
}

// Signaled returns the runs to which people have sent something. See [journal.Joiner].
func (s *Store) Signaled(ctx context.Context, after map[string]int64) (last map[string]int64, err error) {
	return journal.LookForSignals(ctx, s, after)
}
