package journaldb

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// maxText is what one column may hold, with room for what encryption adds.
const maxText = 1e9 - 1024

// eventRow is an event as it is stored, but for its number, which it gets when
// it is written.
type eventRow struct {
	ev     *journal.Event
	time   int64
	key    any // nil for none
	hash   []byte
	output []byte // nil for an empty one
	detail []byte
	sum    []byte      // of all but the number
	adds   journal.Run // what it adds to the header
	exit   []byte      // adds.Exit as it is stored; nil for none
}

// encode prepares events, so that the transaction that writes them is short. It
// fails if one cannot be stored.
func (s *Store) encode(id string, events []journal.Event) (rows []eventRow, size int, err error) {
	now := time.Now()
	rows = make([]eventRow, len(events))
	for i := range events {
		ev := events[i]
		ev.Run = id
		if ev.Time.IsZero() {
			ev.Time = now
		}
		row := eventRow{ev: &ev, time: ev.Time.UnixNano()}
		if err := row.adds.Count(&ev); err != nil {
			return nil, 0, err
		}
		if row.adds.Exit != nil {
			row.exit = s.box.Seal(journal.Detail(row.adds.Exit), bound("exit", id))
		}
		if max(len(ev.Output), len(ev.Detail), len(ev.Step), len(ev.Item)) > maxText {
			return nil, 0, fmt.Errorf("writing run %s: an event of more than a gigabyte cannot be kept", id)
		}
		if ev.Key != (llm.Key{}) {
			row.key = ev.Key[:]
		}
		if ev.Output != "" {
			hash := s.box.Sum([]byte(ev.Output))
			row.hash = hash[:]
			row.output = s.box.Seal([]byte(ev.Output), row.hash)
		}
		if ev.Detail != nil {
			row.detail = nonNil(s.box.Seal(bytes.Clone(ev.Detail), boundTo(&ev)))
		}
		row.sum = row.digest()
		rows[i] = row
		size += len(row.output) + len(row.detail) + len(ev.Step) + len(ev.Item) + 200
	}
	return rows, size, nil
}

// boundTo returns what the detail of an event is bound to.
func boundTo(ev *journal.Event) []byte {
	return bound("detail", ev.Run, string(ev.Type), ev.Step, ev.Item)
}

func (r *eventRow) digest() []byte {
	d := digest{make([]byte, 0, len(r.detail)+256)}
	d.texts(r.ev.Run, string(r.ev.Type), r.ev.Step, r.ev.Item)
	d.blobs(r.ev.Key[:], r.hash, r.detail)
	d.numbers(r.time, int64(r.ev.Attempt))
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
func (b *batch) append(h *header, rows []eventRow, known *live) (verdict, err error) {
	if known != nil {
		if verdict, err := b.move(h, rows, known); verdict != nil || err != nil {
			return verdict, err
		}
	}
	seq := h.seq
	for i := range rows {
		r := &rows[i]
		var output any
		if r.output != nil {
			n, err := b.output(r)
			if err != nil {
				return nil, err
			}
			output = n
		}
		seq++
		if err := b.conn.Run(`INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			h.event(seq), r.time, string(r.ev.Type), r.ev.Step, r.ev.Item, r.ev.Attempt, r.key, output, r.detail, numbered(r.sum, seq)); err != nil {
			return nil, err
		}
		if err := b.notice(r.ev, h.event(seq)); err != nil {
			return nil, err
		}
		h.add(r)
	}
	h.seq, h.dirty = seq, true
	return nil, nil
}

// output returns the number of an output's row, which it makes if there is none.
func (b *batch) output(r *eventRow) (int64, error) {
	made, err := b.conn.Change(`INSERT INTO outputs (hash, data) VALUES (?, ?) ON CONFLICT DO NOTHING`, r.hash, r.output)
	if err != nil {
		return 0, err
	}
	if made > 0 {
		return b.conn.LastInsertRowID(), nil
	}
	_, n, err := b.conn.Sum(`SELECT n FROM outputs WHERE hash = ?`, r.hash)
	return n, err
}

const (
	eventColumns = sealedColumns + `, o.data`
	// sealedColumns are all but the output, which their sum covers by its hash.
	sealedColumns = `e.id & 0xffffffff, e.time, e.type, e.step, e.item, e.attempt, e.key, e.output, e.detail, e.sum, o.hash`
)

// readSealed reads sealedColumns of a run.
func readSealed(id string, row *stmt) (eventRow, error) {
	ev := &journal.Event{
		Run: id, Seq: row.ColumnInt64(0), Time: time.Unix(0, row.ColumnInt64(1)).UTC(), Type: journal.EventType(row.ColumnText(2)),
		Step: row.ColumnText(3), Item: row.ColumnText(4), Attempt: row.ColumnInt(5),
	}
	copy(ev.Key[:], row.ColumnRawBlob(6))
	r := eventRow{ev: ev, time: row.ColumnInt64(1), detail: row.ColumnBlob(8, nil), hash: row.ColumnBlob(10, nil)}
	if !bytes.Equal(numbered(r.digest(), ev.Seq), row.ColumnRawBlob(9)) {
		return r, errDamaged
	}
	return r, nil
}

// readEvent reads eventColumns of a run.
func (s *Store) readEvent(id string, row *stmt) (journal.Event, error) {
	r, err := readSealed(id, row)
	ev := *r.ev
	if err != nil {
		return ev, err
	}
	if len(r.hash) > 0 {
		plain, err := s.box.Open(row.ColumnRawBlob(11), r.hash)
		if hash := s.box.Sum(plain); err != nil || !bytes.Equal(hash[:], r.hash) {
			return ev, errDamaged
		}
		ev.Output = string(plain)
	}
	if len(r.detail) > 0 {
		plain, err := s.box.Open(r.detail, boundTo(&ev))
		if err != nil {
			return ev, errDamaged
		}
		ev.Detail = plain
	}
	return ev, nil
}

// errFull stops reading a page that is long enough.
var errFull = errors.New("the page is full")
