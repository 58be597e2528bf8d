// Package journalrow is the form in which databases keep runs and their events: what was
// asked and answered is sealed and bound to its place, and the header of a run adds up
// its events.
package journalrow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// ErrDamaged is the error of a row whose contents are not what was stored.
var ErrDamaged = errors.New("the row is damaged")

// ErrTooLarge is the error of an event that has more than a value may hold.
var ErrTooLarge = errors.New("an event is too large")

// Event is an event as it is stored, but for its number, which it gets when it is
// written.
type Event struct {
	Event  *journal.Event
	Time   int64  // in nanoseconds since 1970
	Key    []byte // nil for none
	Hash   []byte // of the output; nil for an empty one
	Output []byte // sealed
	Detail []byte // sealed; nil for none
	Sum    []byte // of all but the number, for a store that keeps checksums

	adds journal.Run // what the event adds to the header
	exit []byte      // adds.Exit, sealed; nil for none
}

// Seal prepares events of a run, so that the transaction that writes them is short. It
// fails if one cannot be stored: with [ErrTooLarge] if one of its values has more than
// maxValue bytes. size is about what the rows take, in bytes.
func Seal(box *seal.Box, run string, events []journal.Event, maxValue int) (rows []Event, size int, err error) {
	now := time.Now()
	events = withNext(events)
	rows = make([]Event, len(events))
	for i := range events {
		ev := events[i]
		ev.Run = run
		if ev.Time.IsZero() {
			ev.Time = now
		}
		row := Event{Event: &ev, Time: ev.Time.UnixNano()}
		if err := row.adds.Count(&ev); err != nil {
			return nil, 0, err
		}
		if row.adds.Exit != nil {
			row.exit = box.Seal(journal.Detail(row.adds.Exit), bound("exit", run))
		}
		if max(len(ev.Output), len(ev.Detail), len(ev.Step), len(ev.Item)) > maxValue {
			return nil, 0, fmt.Errorf("writing run %s: %w", run, ErrTooLarge)
		}
		if ev.Key != (llm.Key{}) {
			row.Key = ev.Key[:]
		}
		if ev.Output != "" {
			output := []byte(ev.Output)
			hash := box.Sum(output)
			row.Hash = hash[:]
			row.Output = box.Seal(output, row.Hash)
		}
		if ev.Detail != nil {
			row.Detail = nonNil(box.Seal(bytes.Clone(ev.Detail), boundTo(&ev)))
		}
		rows[i] = row
		size += len(row.Output) + len(row.Detail) + len(ev.Step) + len(ev.Item) + 200
	}
	return rows, size, nil
}

// Counts returns what the event adds to the sums of its run. It is not ok for one by which
// more of the header may change.
func (e *Event) Counts() (c Counts, ok bool) {
	switch e.Event.Type {
	case journal.RunStarted, journal.RunResumed, journal.RunFinished, journal.ApprovalAsked, journal.ApprovalGiven, journal.CancelAsked:
		return c, false
	}
	r := &e.adds
	return Counts{int64(r.Steps), int64(r.Tokens), r.CostUSD}, r.Status == "" && r.Exit == nil && r.FinishedAt.IsZero()
}

// Counts are sums over the events of a run.
type Counts struct {
	Steps, Tokens int64
	USD           float64
}

// Open returns the event as it was appended. The error of one that is not what was
// stored is [ErrDamaged].
func (e *Event) Open(box *seal.Box) (journal.Event, error) {
	ev := *e.Event
	if e.Hash != nil {
		plain, err := box.Open(e.Output, e.Hash)
		if sum := box.Sum(plain); err != nil || !bytes.Equal(sum[:], e.Hash) {
			return ev, ErrDamaged
		}
		ev.Output = string(plain)
	}
	if e.Detail != nil {
		plain, err := box.Open(e.Detail, boundTo(&ev))
		if err != nil {
			return ev, ErrDamaged
		}
		ev.Detail = nonNil(plain)
	}
	return ev, nil
}

// boundTo returns what the detail of an event is bound to.
func boundTo(ev *journal.Event) []byte {
	return bound("detail", ev.Run, string(ev.Type), ev.Step, ev.Item)
}

// bound returns what sealed data is bound to, without ambiguity.
func bound(parts ...string) []byte {
	var b []byte
	for _, s := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// nonNil returns data for a column that tells an empty value from none.
func nonNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}
