package coalescevalkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/llm"
)

// event is an event of a call as it is written to a stream, or how the call ended.
type event struct {
	Type     llm.EventType  `json:"t,omitempty"`
	Index    int            `json:"i,omitempty"`
	Text     string         `json:"x,omitempty"`
	Usage    *llm.Usage     `json:"u,omitempty"`
	Response *llm.Response  `json:"r,omitempty"`
	Altered  bool           `json:"a,omitempty"` // of Response
	Wire     *llm.WireEvent `json:"w,omitempty"`

	Failure *failure `json:"f,omitempty"`
	Gone    bool     `json:"g,omitempty"` // the owner makes the call no more
}

// failure is an error of a call.
type failure struct {
	Code        string         `json:"code"`
	Message     string         `json:"message"`
	Status      int            `json:"status,omitempty"`
	RequestID   string         `json:"request,omitempty"`
	ServiceCode string         `json:"service_code,omitempty"`
	RetryAfter  time.Duration  `json:"retry_after"`
	Wire        *llm.WireError `json:"wire,omitempty"`
}

// written returns the form in which an event is written.
func written(ev *llm.Event) event {
	e := event{Type: ev.Type, Index: ev.Index, Text: ev.Text, Usage: ev.Usage, Response: ev.Response, Wire: ev.Wire}
	e.Altered = ev.Response != nil && ev.Response.Altered
	return e
}

// event returns the event for a reader that did not make the call.
func (e *event) event() llm.Event {
	ev := llm.Event{Type: e.Type, Index: e.Index, Text: e.Text, Usage: e.Usage, Response: e.Response, Wire: e.Wire}
	if ev.Response != nil {
		ev.Response.Source, ev.Response.Elsewhere, ev.Response.Altered = llm.SourceCoalesced, true, e.Altered
	}
	if ev.Wire != nil && ev.Wire.Head != nil {
		ev.Wire.Shared = true
	}
	return ev
}

// failed returns the form in which the error of a call is written.
func failed(err error) event {
	f := &failure{Code: llm.CodeOf(err).String(), Message: err.Error(), RetryAfter: -1}
	if e, ok := errors.AsType[*llm.Error](err); ok {
		f.Message, f.Status, f.RequestID, f.ServiceCode, f.RetryAfter = e.Message, e.Status, e.RequestID, e.ServiceCode, e.RetryAfter
		if f.Message == "" && e.Err != nil {
			f.Message = e.Err.Error()
		}
	}
	f.Wire, _ = errors.AsType[*llm.WireError](err)
	return event{Failure: f}
}

func (f *failure) error() error {
	e := llm.NewError(llm.ParseCode(f.Code), f.Message, nil)
	e.Status, e.RequestID, e.ServiceCode, e.RetryAfter = f.Status, f.RequestID, f.ServiceCode, f.RetryAfter
	if f.Wire != nil {
		e.Err = f.Wire
	}
	return e
}

// encode returns events as they are stored, sealed and bound to their flight.
func encode(box *seal.Box, flight string, events []event) ([]byte, error) {
	data, err := json.Marshal(events)
	if err != nil {
		return nil, fmt.Errorf("encoding events: %w", err)
	}
	return box.Seal(data, []byte(flight)), nil
}

func decode(box *seal.Box, flight string, data []byte) (events []event, err error) {
	if data, err = box.Open(data, []byte(flight)); err == nil {
		err = json.Unmarshal(data, &events)
	}
	if err != nil {
		return nil, fmt.Errorf("decoding events: %w", err)
	}
	return events, nil
}
