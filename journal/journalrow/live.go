package journalrow

import (
	"slices"

	"github.com/claude-force/claude-force/journal"
)

// Live is what is known to be under way in a run, up to one of its events.
type Live struct {
	journal.Live
	Seq int64 // of that event
}

// Next adds a stored event, and reports whether it is the one behind the last.
func (l *Live) Next(ev *journal.Event) bool {
	if ev.Seq != l.Seq+1 {
		return false
	}
	l.Add(ev)
	l.Seq++
	return true
}

// Move sets the status of a run to what it is with events that are about to be appended.
// catchUp adds the run's events that are not known yet to l; what it returns keeps Move from
// changing anything.
func (l *Live) Move(h *Header, events []Event, catchUp func(*Live) (verdict, err error)) (verdict, err error) {
	if h.Status.Ended() || slices.ContainsFunc(events, func(e Event) bool { return e.Event.Type == journal.RunFinished }) {
		return nil, nil
	}
	if l.Seq != h.Seq {
		if verdict, err := catchUp(l); verdict != nil || err != nil {
			return verdict, err
		}
	}
	for i := range events {
		l.Add(events[i].Event)
	}
	l.Seq += int64(len(events))
	h.Status = l.Status(h.Status)
	return nil, nil
}

// maxLives is how many runs [Lives] knows.
const maxLives = 100

// Lives is what is known to be under way in runs that engines own: what one log of a run
// has written, the store's other logs need not read. The zero value is ready.
type Lives struct {
	known map[string]*Live // by the run's id
}

// Of returns what is known of a run. Events are added to it.
func (l *Lives) Of(run string) *Live {
	known := l.known[run]
	if known == nil {
		if l.known == nil || len(l.known) >= maxLives {
			l.known = map[string]*Live{} // what is needed is read again
		}
		known = &Live{}
		l.known[run] = known
	}
	return known
}

// Seq returns the number of the last event of a run that is known; 0 for none.
func (l *Lives) Seq(run string) int64 {
	if known := l.known[run]; known != nil {
		return known.Seq
	}
	return 0
}

// Asks reports whether a question of a run is open, as far as its events are known.
func (l *Lives) Asks(run string) bool {
	known := l.known[run]
	return known != nil && known.Asks()
}

// Forget drops what is known of a run.
func (l *Lives) Forget(run string) { delete(l.known, run) }

// Clear drops all that is known.
func (l *Lives) Clear() { clear(l.known) }
