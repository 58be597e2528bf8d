package journaldb

import (
	"errors"
	"fmt"

	"github.com/claude-force/claude-force/journal/journalrow"
)

// move sets the status of a run with an owner to what it is with events that are about
// to be appended. Nothing has been written when it gives a verdict.
func (b *batch) move(h *header, rows []journalrow.Event, known *journalrow.Live) (verdict, err error) {
	return known.Move(&h.Header, rows, func() (verdict, err error) { return b.catchUp(h, known) })
}

// mostLives is for how many runs that engines own the store knows what is under way.
const mostLives = 100

// liveOf returns what is known to be under way in a run that an engine owns: what one of
// its logs has written, the others need not read.
func (s *Store) liveOf(run string) *journalrow.Live {
	known := s.lives[run]
	if known == nil {
		if len(s.lives) >= mostLives {
			clear(s.lives) // what is needed is read again
		}
		known = &journalrow.Live{}
		s.lives[run] = known
	}
	return known
}

// catchUp takes in the events of a run that are not known yet: those that others
// have sent, and all of a run that was just taken on.
func (b *batch) catchUp(h *header, known *journalrow.Live) (verdict, err error) {
	if known.Seq == h.Seq {
		return nil, nil
	}
	err = b.conn.Query(`SELECT `+sealedColumns+` FROM events e LEFT JOIN outputs o ON o.n = e.output WHERE e.id > ? AND e.id <= ? ORDER BY e.id`, func(row *stmt) error {
		r, err := readSealed(h.ID, row)
		if err != nil || !known.Next(r.Event) {
			return errDamaged
		}
		return nil
	}, h.event(known.Seq), h.event(h.Seq))
	if err == nil && known.Seq != h.Seq {
		err = errDamaged
	}
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("reading event %d of run %s in history %s: %w", known.Seq+1, h.ID, b.store.path, explain(b.store.path, err)), nil
	}
	return nil, err
}
