package journalpg

import (
	"fmt"
	"math"
	"slices"

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

// maxSince is how many events that others have written to a run are read with its header.
const maxSince = 1000

// eventsSince selects the events of a run behind one, without their outputs.
const eventsSince = `SELECT e.seq, e.time, e.type, e.step, e.item, e.attempt, e.key, NULL::bytea, e.detail, NULL::bytea
	FROM journal_events e WHERE e.run = (SELECT n FROM journal_runs WHERE id = $1) AND e.seq > $2 ORDER BY e.seq LIMIT $3`

// knownRuns returns the runs to whose parts jobs append, and of which the store knows earlier
// events: what others have written since is needed.
func (b *batch) knownRuns(jobs []*job) (ids []string) {
	for _, j := range jobs {
		if j.Log != nil && j.Part != "" && b.store.lives.Seq(j.Run) > 0 && !slices.Contains(ids, j.Run) {
			ids = append(ids, j.Run)
		}
	}
	return ids
}

// readSince reads eventsSince. An event that cannot be read is left to who needs it.
func (b *batch) readSince(id string, results pgx.BatchResults) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	stored, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*storedEvent, error) {
		r := &storedEvent{}
		return r, row.Scan(r.fields()...)
	})
	for _, r := range stored {
		ev, err := b.store.open(id, r)
		if err != nil {
			break
		}
		b.since[id] = append(b.since[id], ev)
	}
	return err
}

// events returns the events of a run above a number, without their outputs: those that
// are stored, then those of this transaction.
func (b *batch) events(h *header, after int64) (events []journal.Event, err error) {
	if after < h.stored {
		if b.blind {
			return nil, errChanged
		}
		if events, ok := b.readEvents(h, after); ok {
			return append(events, b.written(h, after)...), nil
		}
		rows, err := b.conn.Query(b.ctx, eventsSince, h.ID, after, int64(math.MaxInt64))
		if err != nil {
			return nil, err
		}
		if events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.Event, error) { return b.store.readEvent(h.ID, row) }); err != nil {
			return nil, err
		}
	}
	return append(events, b.written(h, after)...), nil
}

// readEvents returns the stored events of a run above a number, if all were read with its header.
func (b *batch) readEvents(h *header, after int64) (events []journal.Event, ok bool) {
	since := b.since[h.ID]
	if len(since) == 0 || since[0].Seq > after+1 || since[len(since)-1].Seq != h.stored {
		return nil, false
	}
	return slices.Clone(since[after+1-since[0].Seq:]), true
}

// written returns the events of this transaction above a number.
func (b *batch) written(h *header, after int64) (events []journal.Event) {
	for i := range b.rows[h] {
		ev := *b.rows[h][i].Event
		if ev.Seq = h.stored + int64(i) + 1; ev.Seq > after {
			events = append(events, ev)
		}
	}
	return events
}
