package journaldb

import (
	"errors"
	"fmt"

	"github.com/claude-force/claude-force/journal/journalrow"
)

// catchUp takes in the events of a run that are not known yet: those that others
// have sent, and all of a run that was just taken on.
func (b *batch) catchUp(h *header, known *journalrow.Live) (verdict, err error) {
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
