package journaldb

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// maxText is what one column may hold, with room for what encryption adds.
const maxText = 1e9 - 1024

// seal prepares events, so that the transaction that writes them is short. It fails if
// one cannot be stored.
func (s *Store) seal(id string, events []journal.Event) (rows []journalrow.Event, size int, err error) {
	rows, size, err = journalrow.Seal(s.box, id, events, maxText)
	if errors.Is(err, journalrow.ErrTooLarge) {
		return nil, 0, fmt.Errorf("writing run %s: an event of more than a gigabyte cannot be kept", id)
	}
	for i := range rows {
		rows[i].Sum = checksum(&rows[i])
	}
	return rows, size, err
}

// checksum returns that of an event without its number.
func checksum(r *journalrow.Event) []byte {
	d := digest{make([]byte, 0, len(r.Detail)+256)}
	d.texts(r.Event.Run, string(r.Event.Type), r.Event.Step, r.Event.Item)
	d.blobs(r.Event.Key[:], r.Hash, r.Detail)
	d.numbers(r.Time, int64(r.Event.Attempt))
	return d.sum()
}

// numbered returns the checksum of an event with its number.
func numbered(sum []byte, seq int64) []byte {
	var d digest
	d.blobs(sum)
	d.numbers(seq)
	return d.sum()
}

// append writes events behind the last of a run, and adds them to what is known
// to be under way in it; nil if the run's status does not depend on them.
func (b *batch) append(h *header, rows []journalrow.Event, known *journalrow.Live) (verdict, err error) {
	if known != nil {
		verdict, err := known.Move(&h.Header, rows, func(l *journalrow.Live) (verdict, err error) { return b.catchUp(h, l) })
		if verdict != nil || err != nil {
			return verdict, err
		}
	}
	seq := h.Seq
	for i := range rows {
		r := &rows[i]
		var output any
		if r.Output != nil {
			n, err := b.output(r)
			if err != nil {
				return nil, err
			}
			output = n
		}
		seq++
		if err := b.conn.Run(`INSERT INTO events (id, time, type, step, item, attempt, key, output, detail, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			h.event(seq), r.Time, string(r.Event.Type), r.Event.Step, r.Event.Item, r.Event.Attempt, r.Key, output, r.Detail, numbered(r.Sum, seq)); err != nil {
			return nil, err
		}
		if err := b.notice(r.Event, h.event(seq)); err != nil {
			return nil, err
		}
		h.Add(r)
	}
	h.Seq, h.Dirty = seq, true
	return nil, nil
}

// output returns the number of an output's row, which it makes if there is none.
func (b *batch) output(r *journalrow.Event) (int64, error) {
	made, err := b.conn.Change(`INSERT INTO outputs (hash, data) VALUES (?, ?) ON CONFLICT DO NOTHING`, r.Hash, r.Output)
	if err != nil {
		return 0, err
	}
	if made > 0 {
		return b.conn.LastInsertRowID(), nil
	}
	_, n, err := b.conn.Sum(`SELECT n FROM outputs WHERE hash = ?`, r.Hash)
	return n, err
}

const (
	eventColumns = sealedColumns + `, o.data`
	// sealedColumns are all but the output, which their sum covers by its hash.
	sealedColumns = `e.id & 0xffffffff, e.time, e.type, e.step, e.item, e.attempt, e.key, e.output, e.detail, e.sum, o.hash`
)

// readSealed reads sealedColumns of a run.
func readSealed(id string, row *stmt) (journalrow.Event, error) {
	ev := &journal.Event{
		Run: id, Seq: row.ColumnInt64(0), Time: time.Unix(0, row.ColumnInt64(1)).UTC(), Type: journal.EventType(row.ColumnText(2)),
		Step: row.ColumnText(3), Item: row.ColumnText(4), Attempt: row.ColumnInt(5),
	}
	copy(ev.Key[:], row.ColumnRawBlob(6))
	r := journalrow.Event{Event: ev, Time: row.ColumnInt64(1), Detail: row.ColumnBlob(8, nil), Hash: row.ColumnBlob(10, nil)}
	if !bytes.Equal(numbered(checksum(&r), ev.Seq), row.ColumnRawBlob(9)) {
		return r, errDamaged
	}
	return r, nil
}

// readEvent reads eventColumns of a run.
func (s *Store) readEvent(id string, row *stmt) (journal.Event, error) {
	r, err := readSealed(id, row)
	if err != nil {
		return *r.Event, err
	}
	r.Output = row.ColumnRawBlob(11)
	ev, err := r.Open(s.box)
	if err != nil {
		return ev, errDamaged
	}
	return ev, nil
}

// errFull stops reading a page that is long enough.
var errFull = errors.New("the page is full")
