package journalpg

import (
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

// catchUp takes in the events of a run that are not known yet: those that others have
// sent, and all of a run that was just taken on.
func (b *batch) catchUp(h *header, known *journalrow.Live) (verdict, err error) {
	if known.Seq == h.Seq {
		return nil, nil
	}
	missed, err := b.events(h, known.Seq)
	if err != nil {
		return nil, err
	}
	for i := range missed {
		if !known.Next(&missed[i]) {
			break
		}
	}
	if known.Seq != h.Seq {
		return fmt.Errorf("reading event %d of run %s: %w", known.Seq+1, h.ID, errDamaged), nil
	}
	return nil, nil
}
