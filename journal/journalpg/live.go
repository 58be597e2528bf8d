package journalpg

import (
	"fmt"
	"slices"

	"github.com/claude-force/claude-force/journal"
)

// live is what is known to be under way in a run, up to one of its events.
type live struct {
	journal.Live
	seq int64
}

// move sets the status of a run with an owner to what it is with events that are about
// to be appended. Nothing has been written when it gives a verdict.
func (b *batch) move(h *header, rows []eventRow, known *live) (verdict, err error) {
	if h.status.Ended() || slices.ContainsFunc(rows, func(r eventRow) bool { return r.ev.Type == journal.RunFinished }) {
		return nil, nil
	}
	if verdict, err := b.catchUp(h, known); verdict != nil || err != nil {
		return verdict, err
	}
	for i := range rows {
		known.Add(rows[i].ev)
	}
	known.seq += int64(len(rows))
	h.status = known.Status(h.status)
	return nil, nil
}

// catchUp takes in the events of a run that are not known yet: those that others have
// sent, and all of a run that was just taken on.
func (b *batch) catchUp(h *header, known *live) (verdict, err error) {
	if known.seq == h.seq {
		return nil, nil
	}
	missed, err := b.events(h, known.seq)
	if err != nil {
		return nil, err
	}
	for i := range missed {
		if missed[i].Seq != known.seq+1 {
			break
		}
		known.Add(&missed[i])
		known.seq++
	}
	if known.seq != h.seq {
		return fmt.Errorf("reading event %d of run %s: %w", known.seq+1, h.id, errDamaged), nil
	}
	return nil, nil
}
