package journalpg

import (
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// maxText is what one value may hold: half of what the database can send in one
// message.
const maxText = 512 << 20

// seal prepares events, so that the transaction that writes them is short. It fails if
// one cannot be stored.
func (s *Store) seal(id string, events []journal.Event) (rows []journalrow.Event, size int, err error) {
	rows, size, err = journalrow.Seal(s.box, id, events, maxText)
	if errors.Is(err, journalrow.ErrTooLarge) {
		return nil, 0, fmt.Errorf("writing run %s: an event of more than 512 MiB cannot be kept", id)
	}
	return rows, size, err
}

const eventColumns = `e.seq, e.time, e.type, e.step, e.item, e.attempt, e.key, e.output, e.detail, o.data`

const eventTables = ` FROM journal_events e LEFT JOIN journal_outputs o ON o.hash = e.output `

// storedEvent is eventColumns.
type storedEvent struct {
	seq, time                       int64
	typ                             string
	step, item                      []byte
	attempt                         int
	key, hash, detail, sealedOutput []byte
}

// fields returns where to scan eventColumns to.
func (r *storedEvent) fields() []any {
	return []any{&r.seq, &r.time, &r.typ, &r.step, &r.item, &r.attempt, &r.key, &r.hash, &r.detail, &r.sealedOutput}
}

// readEvent reads eventColumns of a run.
func (s *Store) readEvent(id string, row pgx.CollectableRow) (journal.Event, error) {
	var r storedEvent
	if err := row.Scan(r.fields()...); err != nil {
		return journal.Event{}, err
	}
	return s.open(id, &r)
}

// open returns an event of a run as it was appended.
func (s *Store) open(id string, r *storedEvent) (journal.Event, error) {
	ev := &journal.Event{
		Run: id, Seq: r.seq, Time: time.Unix(0, r.time).UTC(), Type: journal.EventType(r.typ),
		Step: string(r.step), Item: string(r.item), Attempt: r.attempt,
	}
	copy(ev.Key[:], r.key)
	sealed := journalrow.Event{Event: ev, Hash: r.hash, Output: r.sealedOutput, Detail: r.detail}
	opened, err := sealed.Open(s.box)
	if err != nil {
		return opened, fmt.Errorf("event %d of run %s: %w", ev.Seq, id, errDamaged)
	}
	return opened, nil
}
