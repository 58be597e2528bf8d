package anthropic

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/claude-force/claude-force/llm"
)

const (
	messagesPath = "/v1/messages"
	// wireDrain is how long what follows an answer's last event is waited for, to be
	// passed on as well.
	wireDrain = time.Second
	// maxFrame bounds one event of a stream, in bytes.
	maxFrame = 32 << 20
)

// streamWire makes a call of a client of the API as the client wrote it, and yields what
// comes back with its bytes.
func (c *Client) streamWire(ctx context.Context, req *llm.Request, yield func(llm.Event, error) bool) error {
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := req.Wire
	resp, err := c.Forward(call, &Forwarded{
		Method: http.MethodPost, Path: messagesPath, Query: w.Query, Header: w.Header, Body: bytes.NewReader(w.Body), Length: int64(len(w.Body)),
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	c.observe(req, resp)
	head := &llm.WireHead{Status: resp.StatusCode, Header: resp.Header}
	if resp.StatusCode >= http.StatusMultipleChoices {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // the status is enough
		return c.wireError(req, head, nil, body)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media != "text/event-stream" || resp.Header.Get("Content-Encoding") != "" { // of what is compressed no event can be read
		return c.readDocument(ctx, req, head, resp, yield)
	}
	r := &wireReader{c: c, req: req, head: head, frames: frames{r: bufio.NewReaderSize(resp.Body, 16<<10)}, cancel: cancel, yield: yield}
	return r.read(ctx, call)
}

// wireError returns the error of an answer that is one, with the bytes that came.
func (c *Client) wireError(req *llm.Request, head *llm.WireHead, before, body []byte) error {
	err := c.serviceError(req, head.Status, head.Header, body)
	if e, ok := errors.AsType[*llm.Error](err); ok && (head.Status < 300 || head.Status >= 400) {
		e.Err = &llm.WireError{Head: head, Before: before, Body: c.cleanBytes(body)}
	}
	return err
}

// readDocument yields an answer that comes as one JSON document.
func (c *Client) readDocument(ctx context.Context, req *llm.Request, head *llm.WireHead, resp *http.Response, yield func(llm.Event, error) bool) error {
	body, err := readAnswer(resp)
	switch {
	case ctx.Err() != nil:
		return llm.ContextError(ctx)
	case err != nil:
		return c.networkError(err)
	case bytes.Contains(body, []byte(`"`+eventError+`"`)) && parseServiceError(body).kind == eventError:
		return c.wireError(req, head, nil, body)
	}
	answer := decodeDocument(body)
	answer.Wire = &llm.WireAnswer{Body: body}
	yield(llm.Event{Type: llm.EventDone, Response: answer, Wire: &llm.WireEvent{Head: head, Bytes: body}}, nil)
	return nil
}

// readAnswer returns the body of an answer.
func readAnswer(resp *http.Response) ([]byte, error) {
	if resp.ContentLength <= 0 || resp.ContentLength > maxKnownAnswer {
		return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	}
	body := make([]byte, resp.ContentLength)
	n, err := io.ReadFull(resp.Body, body)
	return body[:n], err
}

// maxKnownAnswer is the largest body for which memory is taken before it comes.
const maxKnownAnswer = 1 << 20

// decodeDocument returns the answer that a JSON document holds. It is marked as altered,
// so that no one keeps it, if it is none.
func decodeDocument(body []byte) *llm.Response {
	var m message
	err := json.Unmarshal(body, &m)
	if err != nil {
		m.Usage, _ = usageOf(body) // it may be behind what was not understood
	}
	resp := m.response()
	resp.Altered = err != nil || m.StopReason == ""
	return resp
}

// message is an answer as one JSON document.
type message struct {
	ID           string      `json:"id"`
	Model        string      `json:"model"`
	Content      []llm.Block `json:"content"`
	StopReason   string      `json:"stop_reason"`
	StopSequence string      `json:"stop_sequence"`
	Usage        wireUsage   `json:"usage"`
}

// response returns the answer of one live attempt.
func (m *message) response() *llm.Response {
	return &llm.Response{
		ID: m.ID, Model: m.Model, Content: m.Content, StopReason: m.StopReason, StopSequence: m.StopSequence,
		Usage: m.Usage.total(), Source: llm.SourceLive, Attempts: 1,
	}
}

// wireReader reads the stream of an answer whose bytes are passed on.
type wireReader struct {
	c      *Client
	req    *llm.Request
	head   *llm.WireHead
	frames frames
	cancel context.CancelCauseFunc
	yield  func(llm.Event, error) bool

	answer answer
	headed bool          // the head was yielded
	opaque bool          // an event was not understood: bytes are still passed on
	done   *llm.Response // the answer; nil until its last event came
	shown  bool          // more than the start was yielded
	body   []byte        // all that came
}

// read yields the stream until it ends, the caller stops, or it is silent for too long.
func (r *wireReader) read(ctx, call context.Context) error {
	silence := r.c.silenceTimer(func() { r.cancel(errSilent) })
	defer silence.Stop()
	var drain *time.Timer
	for {
		if r.done == nil {
			silence.Reset(r.c.opts.Silence)
		}
		f, err := r.frames.next()
		silence.Stop()
		if ctx.Err() != nil {
			return llm.ContextError(ctx)
		}
		last := errors.Is(err, io.EOF) && len(f.data) > 0 && r.done == nil // an event without the empty line that ends it
		if err != nil && !last {
			return r.end(call, f, err)
		}
		if len(r.body)+len(f.raw) > maxAnswer {
			return malformed("more than 256 MiB of events in one answer")
		}
		ev, takeErr := r.take(f)
		switch {
		case takeErr != nil:
			return takeErr
		case last && r.done == nil: // it is not whole, or others are missing
			return r.end(call, f, err)
		}
		if r.body = append(r.body, f.raw...); !r.pass(ev, f.raw) {
			return nil
		}
		if r.done != nil && drain == nil {
			drain = time.AfterFunc(wireDrain, func() { r.cancel(nil) })
			defer drain.Stop()
		}
	}
}

// pass yields an event with its bytes. It reports whether the caller wants more.
func (r *wireReader) pass(ev llm.Event, raw []byte) bool {
	ev.Wire = &llm.WireEvent{Bytes: raw}
	if !r.headed {
		ev.Wire.Head, r.headed = r.head, true
	}
	r.shown = r.shown || ev.Type != llm.EventStart && ev.Type != llm.EventPing
	return r.yield(ev, nil)
}

// take reads one event of the stream. An event of a kind that is not known shows
// nothing of the answer, as a ping does.
func (r *wireReader) take(f frame) (llm.Event, error) {
	none := llm.Event{Type: llm.EventPing}
	if r.done != nil || f.name == "" && len(f.data) == 0 {
		return none, nil
	}
	if !r.opaque {
		ev, err := r.answer.add(f.name, f.data)
		if _, refused := errors.AsType[*streamError](err); refused {
			return none, r.refused(f)
		}
		if err == nil {
			if ev.Type == llm.EventDone {
				r.done = ev.Response
				return llm.Event{Type: llm.EventWire}, nil
			}
			if ev.Type == "" && knownEvent(f.name) {
				ev.Type = llm.EventWire
			} else if ev.Type == "" {
				ev = none
			}
			return ev, nil
		}
		r.opaque = true
	}
	ev := llm.Event{Type: llm.EventWire}
	if u, ok := usageOf(f.data); ok { // what is not understood is paid for as well
		r.answer.usage.merge(u)
		ev.Usage = new(r.answer.usage.total())
	}
	switch f.kind() {
	case eventError:
		return none, r.refused(f)
	case eventMessageStop:
		r.done = &llm.Response{ID: r.answer.resp.ID, Model: r.answer.resp.Model, Usage: r.answer.usage.total(), Source: llm.SourceLive, Attempts: 1, Altered: true}
	}
	return ev, nil
}

// refused returns the error that the stream reports.
func (r *wireReader) refused(f frame) error {
	var before []byte
	if !r.shown {
		before = r.body
	}
	err := r.c.wireError(r.req, r.head, before, f.data)
	if e, ok := errors.AsType[*llm.WireError](err); ok {
		e.Body = r.c.cleanBytes(f.raw)
	}
	return err
}

// end yields the answer, if the stream was whole; f is what followed its last event.
func (r *wireReader) end(call context.Context, f frame, err error) error {
	if r.done != nil {
		r.body = append(r.body, f.raw...)
		r.done.Wire = &llm.WireAnswer{Stream: true, Body: r.body}
		ev := llm.Event{Type: llm.EventDone, Response: r.done}
		if len(f.raw) > 0 {
			ev.Wire = &llm.WireEvent{Bytes: f.raw}
		}
		r.yield(ev, nil)
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return r.c.cutError(call, &r.answer, err)
}

// frame is one event of a stream.
type frame struct {
	raw  []byte // as it came, with the empty line that ends it
	name string // of its event field; may be empty
	data []byte // of its data fields, joined
}

// kind returns the type of the event, which its data says if there is no event field.
func (f *frame) kind() string {
	if f.name != "" {
		return f.name
	}
	var ev struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(f.data, &ev) // an event of no kind
	return ev.Type
}

// frames splits a stream into its events. Lines end as in the format of event streams: with
// a line feed, a carriage return, or both.
type frames struct {
	r  *bufio.Reader
	cr bool // the last line ended with a carriage return, to which a line feed may belong
}

// next returns the next event. With an error, what was read of an event that did not
// end is in its raw bytes, and in its fields as far as lines have ended. The end of the
// stream ends a line.
func (f *frames) next() (frame, error) {
	var fr frame
	fields := 0 // of data
	for {
		start := len(fr.raw)
		err := f.line(&fr.raw)
		if err != nil && !errors.Is(err, io.EOF) {
			return fr, err
		}
		line := bytes.Trim(fr.raw[start:], "\r\n")
		if len(line) == 0 {
			return fr, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			fr.name = string(value)
		case "data":
			if fields++; fields == 1 {
				fr.data = bytes.Clone(value) // raw may move as it grows
			} else {
				fr.data = append(append(fr.data, '\n'), value...)
			}
		}
		if err != nil {
			return fr, err
		}
	}
}

// line appends the next line to raw, with what ends it. The line feed of a carriage return
// that came before is at its beginning if it came later.
func (f *frames) line(raw *[]byte) error {
	for {
		if _, err := f.r.Peek(1); err != nil {
			return err
		}
		buf, _ := f.r.Peek(f.r.Buffered()) // is there
		n, ended := lineEnd(buf)
		if f.cr && buf[0] == '\n' {
			n, ended = 1, false
		}
		*raw = append(*raw, buf[:n]...)
		f.cr = ended && buf[n-1] == '\r'
		if _, err := f.r.Discard(n); err != nil {
			return err
		}
		switch {
		case ended:
			return nil
		case len(*raw) > maxFrame:
			return bufio.ErrTooLong
		}
	}
}

// lineEnd returns the length of the first line in text, with what ends it; all of it if
// it does not end there.
func lineEnd(text []byte) (n int, ended bool) {
	feed := bytes.IndexByte(text, '\n')
	end := feed
	if feed < 0 {
		end = len(text)
	}
	if cr := bytes.IndexByte(text[:end], '\r'); cr >= 0 && cr+1 != feed {
		return cr + 1, true
	}
	if feed < 0 {
		return len(text), false
	}
	return feed + 1, true
}
