package journalpg

import (
	"fmt"

	"github.com/claude-force/claude-force/journal/journalrow"
)

// catchUp takes in the events of a run that are not known yet: those that others have
// sent, and all of a run that was just taken on.
func (b *batch) catchUp(h *header, known *journalrow.Live) (verdict, err error) {
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
