package journalpg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/journal"
)

var _ journal.Feed = (*Store)(nil)

// Notices returns the notices after a number. See [journal.Feed].
func (s *Store) Notices(ctx context.Context, after int64, limit int) (notices []journal.Notice, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	for len(notices) < limit { // damaged ones leave room for others
		rows, err := s.db.Query(ctx, `SELECT `+eventColumns+`, f.n, r.id FROM journal_notices f JOIN journal_runs r ON r.n = f.run
			JOIN journal_events e ON e.run = f.run AND e.seq = f.seq LEFT JOIN journal_outputs o ON o.hash = e.output
			WHERE f.n > $1 ORDER BY f.n LIMIT $2`, after, limit-len(notices))
		if err != nil {
			return nil, s.failed("reading", err)
		}
		found := 0
		_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
			found++
			var r storedEvent
			var id string
			if err := row.Scan(append(r.fields(), &after, &id)...); err != nil {
				return struct{}{}, err
			}
			ev, err := s.open(id, &r)
			if errors.Is(err, errDamaged) {
				return struct{}{}, nil // who reads its run learns of it; the other runs are not to suffer
			}
			notices = append(notices, journal.Notice{N: after, Event: ev})
			return struct{}{}, err
		})
		if err != nil {
			return nil, s.failed("reading", err)
		}
		if found == 0 {
			break
		}
	}
	return notices, nil
}

// LastNotice returns the number of the latest notice. See [journal.Feed].
func (s *Store) LastNotice(ctx context.Context) (last int64, err error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	if err := s.db.QueryRow(ctx, `SELECT n FROM journal_last_notice`).Scan(&last); err != nil {
		return 0, s.failed("reading", err)
	}
	return last, nil
}
