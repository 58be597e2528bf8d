package journalpg

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// maxText is what one value may hold: half of what the database can send in one
// message.
const maxText = 512 << 20

// eventRow is an event as it is stored, but for its number, which it gets when it is
// written.
type eventRow struct {
	ev     *journal.Event
	time   int64
	key    []byte // nil for none
	hash   []byte // of the output; nil for an empty one
	output []byte
	detail []byte
	adds   journal.Run // what it adds to the header
	exit   []byte      // adds.Exit as it is stored; nil for none
}

// encode prepares events, so that the transaction that writes them is short. It fails
// if one cannot be stored.
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
			return nil, 0, fmt.Errorf("writing run %s: an event of more than 512 MiB cannot be kept", id)
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
		rows[i] = row
		size += len(row.output) + len(row.detail) + len(ev.Step) + len(ev.Item) + 200
	}
	return rows, size, nil
}

// boundTo returns what the detail of an event is bound to.
func boundTo(ev *journal.Event) []byte {
	return bound("detail", ev.Run, string(ev.Type), ev.Step, ev.Item)
}

// storable reports whether the database can hold a text in a column for texts.
func storable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// nonNil returns data for a column that tells an empty value from none.
func nonNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
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
	ev := journal.Event{
		Run: id, Seq: r.seq, Time: time.Unix(0, r.time).UTC(), Type: journal.EventType(r.typ),
		Step: string(r.step), Item: string(r.item), Attempt: r.attempt,
	}
	copy(ev.Key[:], r.key)
	damaged := fmt.Errorf("event %d of run %s: %w", ev.Seq, id, errDamaged)
	if r.hash != nil {
		plain, err := s.box.Open(r.sealedOutput, r.hash)
		if sum := s.box.Sum(plain); err != nil || !bytes.Equal(sum[:], r.hash) {
			return ev, damaged
		}
		ev.Output = string(plain)
	}
	if r.detail != nil {
		plain, err := s.box.Open(r.detail, boundTo(&ev))
		if err != nil {
			return ev, damaged
		}
		ev.Detail = nonNil(plain)
	}
	return ev, nil
}
