package llm

import (
	"strings"
	"time"
)

// holdbackLimit is the longest that a [Holdback] delays an event.
const holdbackLimit = 10 * time.Second

// Holdback passes the events of one attempt to a consumer, and delays those
// that show nothing of the answer: the start and pings. A layer that may send
// a call again uses one for each attempt, since the contract of [Model]
// forbids that once an event was yielded. A service that accepts a call and
// then reports overload in the stream has shown nothing yet.
//
// The first other event lets the delayed ones pass, in order. So does a start
// or ping that comes ten seconds or more after the first one was delayed,
// because a consumer may take a silent stream for a dead one. To drop what is
// delayed, drop the Holdback.
//
// If the request is Unseen, everything up to [EventDone] is delayed, for as long as
// it takes, and pieces of the same block are merged. A layer that gives up on such
// a call calls FlushUnseen before it yields the error.
//
// A Holdback belongs to one goroutine. Make one with [NewHoldback].
type Holdback struct {
	yield   func(Event, error) bool
	unseen  bool
	held    []Event
	piece   strings.Builder // text of the last of held, while pieces are merged into it
	since   time.Time       // when the first of held came
	began   bool
	shown   bool
	stopped bool
}

// NewHoldback returns a Holdback for an attempt at req in front of yield. A nil
// req is one that is not Unseen.
func NewHoldback(req *Request, yield func(Event, error) bool) *Holdback {
	return &Holdback{yield: yield, unseen: req != nil && req.Unseen}
}

// Yield delays ev or passes it on. It reports false if the consumer broke off,
// as yield does.
func (h *Holdback) Yield(ev Event) (more bool) {
	h.began = true
	if !h.shown && h.hold(ev) {
		return true
	}
	if !h.Flush() {
		return false
	}
	h.stopped = !h.yield(ev, nil)
	return !h.stopped
}

// hold delays ev if it shows nothing and nothing is delayed for too long.
func (h *Holdback) hold(ev Event) bool {
	if h.unseen {
		return h.merge(ev)
	}
	if ev.Type != EventStart && ev.Type != EventPing {
		return false
	}
	if len(h.held) == 0 {
		h.since = time.Now()
	} else if time.Since(h.since) >= holdbackLimit {
		return false
	}
	h.held = append(h.held, ev)
	return true
}

// merge delays ev, unless it ends the answer. Pings are dropped.
func (h *Holdback) merge(ev Event) bool {
	switch ev.Type {
	case EventDone:
		return false
	case EventPing:
		return true
	case EventText, EventThinking, EventToolInput:
		if n := len(h.held); n > 0 && h.held[n-1].Type == ev.Type && h.held[n-1].Index == ev.Index {
			h.piece.WriteString(ev.Text)
			return true
		}
	}
	h.endPiece()
	h.piece.WriteString(ev.Text)
	h.held = append(h.held, ev)
	return true
}

// endPiece sets the text of the last event that pieces were merged into.
func (h *Holdback) endPiece() {
	if n := len(h.held); n > 0 && h.unseen {
		h.held[n-1].Text = h.piece.String()
		h.piece.Reset()
	}
}

// Flush passes on what is delayed, and delays nothing from then on. It reports
// false if the consumer broke off.
func (h *Holdback) Flush() (more bool) {
	h.endPiece()
	h.shown = true
	held := h.held
	h.held = nil
	for _, ev := range held {
		if h.stopped = !h.yield(ev, nil); h.stopped {
			return false
		}
	}
	return true
}

// FlushUnseen passes on what is delayed of an answer that is Unseen and has broken
// off for good. It reports false if the consumer broke off.
func (h *Holdback) FlushUnseen() (more bool) { return !h.unseen || h.Flush() }

// Shown reports whether events are no longer delayed, so that the call must
// not be sent again.
func (h *Holdback) Shown() bool { return h.shown }

// Began reports whether any event came, delayed or not. If so the service has
// worked on the attempt, and may bill it even if it fails; see [Unbilled].
func (h *Holdback) Began() bool { return h.began }

// Stopped reports whether the consumer broke off.
func (h *Holdback) Stopped() bool { return h.stopped }
