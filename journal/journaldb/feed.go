package journaldb

import (
	"context"
	"errors"

	"github.com/claude-force/claude-force/journal"
)

// Notices returns the notices after a number. See [journal.Feed].
func (s *Store) Notices(ctx context.Context, after int64, limit int) (notices []journal.Notice, err error) {
	err = s.reading(ctx, func() error {
		return s.read.Query(`SELECT `+eventColumns+`, f.n, r.id FROM notices f JOIN events e ON e.id = f.event JOIN runs r ON r.n = f.event >> 32
			LEFT JOIN outputs o ON o.n = e.output WHERE f.n > ? ORDER BY f.n`, func(row *stmt) error {
			if len(notices) == limit {
				return errFull
			}
			ev, err := s.readEvent(row.ColumnText(13), row)
			if errors.Is(err, errDamaged) {
				return nil // who reads its run learns of it; the other runs are not to suffer
			}
			notices = append(notices, journal.Notice{N: row.ColumnInt64(12), Event: ev})
			return err
		}, after)
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return notices, err
}

// LastNotice returns the number of the latest notice. See [journal.Feed].
func (s *Store) LastNotice(ctx context.Context) (last int64, err error) {
	err = s.reading(ctx, func() error {
		return s.read.Query(`SELECT seq FROM sqlite_sequence WHERE name = 'notices'`, func(row *stmt) error {
			last = row.ColumnInt64(0)
			return nil
		})
	})
	return last, err
}

// notice adds an event to the notices if it is one.
func (b *batch) notice(ev *journal.Event, id int64) error {
	if !journal.IsNotice(ev.Type) {
		return nil
	}
	return b.conn.Run(`INSERT INTO notices (event) VALUES (?)`, id)
}
