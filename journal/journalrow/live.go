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

// Move sets the status of a run with an owner to what it is with events that are about
// to be appended. catchUp adds the run's events that are not known yet; what it returns
// keeps Move from changing anything.
func (l *Live) Move(h *Header, events []Event, catchUp func() (verdict, err error)) (verdict, err error) {
	if h.Status.Ended() || slices.ContainsFunc(events, func(e Event) bool { return e.Event.Type == journal.RunFinished }) {
		return nil, nil
	}
	if verdict, err := catchUp(); verdict != nil || err != nil {
		return verdict, err
	}
	for i := range events {
		l.Add(events[i].Event)
	}
	l.Seq += int64(len(events))
	h.Status = l.Status(h.Status)
	return nil, nil
}
