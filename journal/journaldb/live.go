package journaldb

import (
	"errors"
	"fmt"
	"slices"

	"github.com/claude-force/claude-force/journal"
)

// live is what is known to be under way in a run, up to one of its events.
type live struct {
	journal.Live
	seq int64
}

// move sets the status of a run with an owner to what it is with events that
// are about to be appended. Nothing has been written when it gives a verdict.
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

// catchUp takes in the events of a run that are not known yet: those that others
// have sent, and all of a run that was just taken on.
func (b *batch) catchUp(h *header, known *live) (verdict, err error) {
	if known.seq == h.seq {
		return nil, nil
	}
	err = b.conn.Query(`SELECT `+sealedColumns+` FROM events e LEFT JOIN outputs o ON o.n = e.output WHERE e.id > ? AND e.id <= ? ORDER BY e.id`, func(row *stmt) error {
		r, err := readSealed(h.id, row)
		if err != nil || r.ev.Seq != known.seq+1 {
			return errDamaged
		}
		known.Add(r.ev)
		known.seq++
		return nil
	}, h.event(known.seq), h.event(h.seq))
	if err == nil && known.seq != h.seq {
		err = errDamaged
	}
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("reading event %d of run %s in history %s: %w", known.seq+1, h.id, b.store.path, explain(b.store.path, err)), nil
	}
	return nil, err
}
