package server

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// kept is how many of the latest events of a run that is followed are kept for its
// followers. Who is further behind reads the store.
const kept = 1024

// wakeEvery bounds how many events of a look followers are not woken for.
const wakeEvery = kept / 4

// hub follows each run once, however many clients do: looking at the store and encoding
// what is sent costs the same for one and for a thousand.
type hub struct {
	store journal.Store

	mu     sync.Mutex // guards the field below, and the followers of topics
	topics map[string]*topic
}

// topic is a run that is followed.
type topic struct {
	id        string
	start     int64 // the sequence number that it was followed from
	cancel    context.CancelFunc
	followers int

	mu      sync.Mutex     // guards the fields below
	low     int64          // the sequence number before the first of events
	events  []encodedEvent // in order, without a gap
	run     []byte         // the run as it is, as JSON; empty at first
	changes int            // of the run
	ended   bool           // the run makes no more events
	err     error          // of the store
	changed chan struct{}  // closed when anything above changes
}

// encodedEvent is an event as it is sent to followers.
type encodedEvent struct {
	seq     int64
	message []byte
}

func newHub(store journal.Store) *hub { return &hub{store: store, topics: map[string]*topic{}} }

// join returns the topic of a run for one more follower, who has the events up to a
// sequence number that the run has, or none (0). Call leave when it has gone.
func (h *hub) join(ctx context.Context, id string, after int64) *topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[id]
	if t == nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlasts this follower
		t = &topic{id: id, cancel: cancel, start: after, low: after, changed: make(chan struct{})}
		h.topics[id] = t
		go h.follow(ctx, t) // until the last follower leaves
	}
	t.followers++
	return t
}

// leave ends the topic with its last follower.
func (h *hub) leave(t *topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.followers--; t.followers == 0 {
		h.remove(t)
		t.cancel()
	}
}

// remove lets the next follower of the run begin a topic of its own. The caller holds
// h.mu.
func (h *hub) remove(t *topic) {
	if h.topics[t.id] == t {
		delete(h.topics, t.id)
	}
}

// follow collects what happens in a run.
func (h *hub) follow(ctx context.Context, t *topic) {
	for c, err := range runs.WatchAfter(ctx, h.store, t.id, t.start) {
		t.add(c, err)
	}
	h.mu.Lock()
	h.remove(t) // who comes now may find that the run was resumed
	h.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	close(t.changed)
	t.changed = make(chan struct{})
}

// add takes in a change.
func (t *topic) add(c runs.Change, err error) {
	var text []byte
	switch {
	case err != nil:
	case c.Event != nil:
		text, err = appendMessage(nil, "", c.Event.Seq, c.Event)
	default:
		text, err = json.Marshal(runs.WithStatus(c.Run))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		t.err = err
	case c.Event != nil:
		if len(t.events) == 2*kept { // half are dropped at once: to move all for each would be slow
			t.low = t.events[kept-1].seq
			t.events = append(make([]encodedEvent, 0, 2*kept), t.events[kept:]...)
		}
		t.events = append(t.events, encodedEvent{c.Event.Seq, text})
	default:
		t.run = text
		t.changes++
	}
	if c.More && c.Event.Seq%wakeEvery != 0 {
		return // the followers are woken once for all of a look
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// news is what a follower has not seen yet.
type news struct {
	events  []encodedEvent
	behind  bool // events are missing before these: they are in the store up to low
	low     int64
	run     json.RawMessage
	changes int
	ended   bool
	err     error
	changed <-chan struct{} // closed when there is more
}

// after returns what follows an event.
func (t *topic) after(seq int64) news {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := news{low: t.low, behind: seq < t.low, run: t.run, changes: t.changes, ended: t.ended, err: t.err, changed: t.changed}
	if n.behind {
		return n
	}
	for i := len(t.events); ; i-- {
		if i == 0 || t.events[i-1].seq <= seq {
			n.events = t.events[i:len(t.events):len(t.events)]
			return n
		}
	}
}
