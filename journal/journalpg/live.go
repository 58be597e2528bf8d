package journalpg

import (
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/journal"
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

// events returns the events of a run above a number, without their outputs: those that
// are stored, then those of this transaction.
func (b *batch) events(h *header, after int64) (events []journal.Event, err error) {
	if after < h.stored {
		if b.blind {
			return nil, errChanged
		}
		rows, err := b.conn.Query(b.ctx, `SELECT e.seq, e.time, e.type, e.step, e.item, e.attempt, e.key, NULL::bytea, e.detail, NULL::bytea
			FROM journal_events e WHERE e.run = $1 AND e.seq > $2 ORDER BY e.seq`, h.N, after)
		if err != nil {
			return nil, err
		}
		if events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.Event, error) { return b.store.readEvent(h.ID, row) }); err != nil {
			return nil, err
		}
	}
	for i := range b.rows[h] {
		ev := *b.rows[h][i].Event
		if ev.Seq = h.stored + int64(i) + 1; ev.Seq > after {
			events = append(events, ev)
		}
	}
	return events, nil
}
