package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

const (
	// heartbeat is how often a stream of events without events says that it lives.
	heartbeat = 15 * time.Second

	// maxWrite is how long a client may take to accept an event.
	maxWrite = 30 * time.Second

	// maxQueued is how many bytes are written before the client is given more time.
	maxQueued = 32 << 10

	// maxEvents bounds the events of one answer.
	maxEvents = 1000
)

// addEvents adds the operations that give the events of runs.
func (s *Server) addEvents(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: "/api/v1/runs/{run}/events", Tags: []string{"runs"},
		Summary: "List the events of a run, from the journal", Errors: []int{http.StatusNotFound},
	}, s.listEvents)
	add(s, api, &huma.Operation{
		OperationID: "follow-run", Method: http.MethodGet, Path: "/api/v1/runs/{run}/stream", Tags: []string{"runs"},
		Summary: "Follow a run as server-sent events",
		Description: "Each event of the journal is a message whose id is its sequence number: a client that was cut off continues with Last-Event-ID, " +
			"also after a restart of the server, and misses and repeats nothing. A message with the event `run` has the run as it is; " +
			"the last message has the event `end` and the run, which then makes no more events until it is resumed.",
		Errors: []int{http.StatusNotFound},
		Responses: map[string]*huma.Response{"200": {
			Description: "A stream of events.",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, s.follow)
}

type listEventsInput struct {
	RunID
	After int64 `query:"after" minimum:"0" doc:"only events with a higher sequence number"`
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"200"`

	Outline bool `query:"outline" doc:"without the events of the items of a foreach"`
}

// EventList is a page of events.
type EventList struct {
	Events []journal.Event `json:"events"`
	Next   int64           `json:"next,omitempty" doc:"the value of after for the next page; absent on the last one"`
}

func (s *Server) listEvents(ctx context.Context, in *listEventsInput) (*struct{ Body EventList }, error) {
	run, err := runs.Find(ctx, s.store, in.Run)
	if err != nil {
		return nil, err
	}
	list := EventList{Events: []journal.Event{}}
	events := s.store.Events(ctx, run.ID, in.After)
	if in.Outline {
		events = s.store.Outline(ctx, run.ID)
	}
	for ev, err := range events {
		if err != nil {
			return nil, err
		}
		if ev.Seq <= in.After {
			continue // of an outline
		}
		if len(list.Events) == min(in.Limit, maxEvents) {
			list.Next = list.Events[len(list.Events)-1].Seq
			break
		}
		list.Events = append(list.Events, ev)
	}
	return &struct{ Body EventList }{list}, nil
}

type followInput struct {
	RunID
	LastEventID string `header:"Last-Event-ID" doc:"the id of the last message that the client has"`
	After       int64  `query:"after" minimum:"0" doc:"the same, for the first request"`
}

func (s *Server) follow(ctx context.Context, in *followInput) (*huma.StreamResponse, error) {
	run, err := runs.Find(ctx, s.store, in.Run)
	if err != nil {
		return nil, err
	}
	after := in.After
	if in.LastEventID != "" {
		if after, err = strconv.ParseInt(in.LastEventID, 10, 64); err != nil || after < 0 {
			return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "Last-Event-ID is not the id of an event"}
		}
	}
	if known, err := s.hasEvent(ctx, run.ID, after); err != nil || !known {
		return nil, cmp.Or(err, error(&Problem{Status: http.StatusUnprocessableEntity, Code: "event", Detail: "the run has no event of this id; leave it out to begin with the first"}))
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		_, w := humago.Unwrap(hctx)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no") // proxies would hold events back
		w.WriteHeader(http.StatusOK)
		if hctx.Method() == http.MethodHead {
			return
		}
		st := &stream{w: w, control: http.NewResponseController(w)}
		if err := st.follow(hctx.Context(), s.hub, run.ID, after); err != nil && hctx.Context().Err() == nil {
			s.log.Info("stream ended", "run", run.ID, "err", err)
		}
	}}, nil
}

// hasEvent reports whether a run has an event of a sequence number; 0 is before the
// first.
func (s *Server) hasEvent(ctx context.Context, id string, seq int64) (bool, error) {
	if seq == 0 {
		return true, nil
	}
	for ev, err := range s.store.Events(ctx, id, seq-1) {
		return err == nil && ev.Seq == seq, err
	}
	return false, nil
}

// stream writes server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	queued  int // bytes
}

// follow writes the changes of a run, and a comment when nothing happens for long.
func (st *stream) follow(ctx context.Context, h *hub, id string, after int64) error {
	t := h.join(ctx, id, after)
	defer h.leave(t)
	if err := st.write([]byte("retry: 2000\n\n")); err != nil {
		return err
	}
	quiet := time.NewTicker(heartbeat)
	defer quiet.Stop()
	changes := 0
	for {
		n := t.after(after)
		if n.behind {
			if err := st.sendStored(ctx, h.store, id, &after, n.low); err != nil {
				return err
			}
			continue
		}
		for i := range n.events {
			if err := st.queue(n.events[i].message); err != nil {
				return err
			}
			after = n.events[i].seq
		}
		switch {
		case n.err != nil:
			return n.err
		case n.ended:
			return st.send("end", 0, n.run)
		case n.changes != changes:
			if err := st.send("run", 0, n.run); err != nil {
				return err
			}
		}
		if err := st.flush(); err != nil {
			return err
		}
		if n.changes != changes || len(n.events) > 0 {
			changes = n.changes
			quiet.Reset(heartbeat)
		}
		select {
		case <-n.changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-quiet.C:
			if err := st.write([]byte(": \n\n")); err != nil {
				return err
			}
		}
	}
}

// sendStored sends events from the store, up to a sequence number.
func (st *stream) sendStored(ctx context.Context, store journal.Store, id string, after *int64, low int64) error {
	var text []byte
	for ev, err := range store.Events(ctx, id, *after) {
		if err != nil {
			return err
		}
		if ev.Seq > low {
			break
		}
		text, err := appendMessage(text[:0], "", ev.Seq, &ev)
		if err == nil {
			err = st.queue(text)
		}
		if err != nil {
			return err
		}
		*after = ev.Seq
	}
	*after = max(*after, low) // what was removed is not there
	return st.flush()
}

// appendMessage appends a message with v as JSON, which has no line breaks, to text. The
// message has an id if that is above 0.
func appendMessage(text []byte, event string, id int64, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if id > 0 {
		text = fmt.Appendf(text, "id: %d\n", id)
	}
	if event != "" {
		text = fmt.Appendf(text, "event: %s\n", event)
	}
	return fmt.Appendf(text, "data: %s\n\n", data), nil
}

// send writes a message with v as JSON at once.
func (st *stream) send(event string, id int64, v any) error {
	text, err := appendMessage(nil, event, id, v)
	if err != nil {
		return err
	}
	return st.write(text)
}

// write writes at once, with what is queued.
func (st *stream) write(text []byte) error {
	if err := st.queue(text); err != nil {
		return err
	}
	return st.flush()
}

// queue writes a message, which may be kept until the next [stream.flush]. What is kept is
// at most maxQueued bytes and a message.
func (st *stream) queue(text []byte) error {
	if st.queued == 0 {
		if err := st.control.SetWriteDeadline(time.Now().Add(maxWrite)); err != nil {
			return err
		}
	}
	if _, err := st.w.Write(text); err != nil {
		return err
	}
	if st.queued += len(text); st.queued >= maxQueued {
		return st.flush()
	}
	return nil
}

// flush writes what is queued. The client must accept it within [maxWrite].
func (st *stream) flush() error {
	if st.queued == 0 {
		return nil
	}
	st.queued = 0
	return st.control.Flush()
}
