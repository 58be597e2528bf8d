// Package messages has what services of benchmarks share that stand for the Messages
// API. It imports nothing of the project, so that what they count is a second opinion.
package messages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Serve prints the address of a service and serves until the standard input ends,
// which the parent holds. GET /connections tells how many connections are open.
func Serve(mux *http.ServeMux) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var open atomic.Int64
	mux.HandleFunc("GET /connections", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, open.Load()) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ConnState: func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Printf("http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Read returns the body of a request.
func Read(r *http.Request) ([]byte, error) { return io.ReadAll(io.LimitReader(r.Body, 64<<20)) }

// Key returns the key that a request is made with.
func Key(r *http.Request) string {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return token
	}
	return r.Header.Get("X-Api-Key")
}

// Refuse answers with an error of the API.
func Refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"error","error":{"type":%q,"message":%q}}`, kind, message)
}

// Stream is an answer that is sent event by event.
type Stream struct {
	Pause time.Duration // before each piece of a block

	w http.ResponseWriter
	r *http.Request
}

// NewStream begins an answer to a request.
func NewStream(w http.ResponseWriter, r *http.Request) *Stream {
	w.Header().Set("Content-Type", "text/event-stream")
	return &Stream{w: w, r: r}
}

// Event sends an event, whose data is JSON, and reports whether the client is there.
func (s *Stream) Event(name, data string) bool {
	_, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", name, data)
	if err == nil {
		err = http.NewResponseController(s.w).Flush()
	}
	return err == nil && s.r.Context().Err() == nil
}

// Begin sends the event that an answer begins with.
func (s *Stream) Begin(id, model string, input int) bool {
	return s.Event("message_start", fmt.Sprintf(`{"type":"message_start","message":{"id":%q,"type":"message","role":"assistant","model":%q,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":%d,"output_tokens":1}}}`, id, model, input))
}

// Text sends a block of text, in pieces.
func (s *Stream) Text(index int, pieces ...string) bool {
	ok := s.Event("content_block_start", fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":{"type":"text","text":""}}`, index))
	for _, piece := range pieces {
		time.Sleep(s.Pause)
		ok = ok && s.Event("content_block_delta", fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%q}}`, index, piece))
	}
	return ok && s.stop(index)
}

// Tool sends a call of a tool, its input in two pieces.
func (s *Stream) Tool(index int, id, name, input string) bool {
	ok := s.Event("content_block_start", fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":{"type":"tool_use","id":%q,"name":%q,"input":{}}}`, index, id, name))
	for _, piece := range []string{input[:len(input)/2], input[len(input)/2:]} {
		time.Sleep(s.Pause)
		ok = ok && s.Event("content_block_delta", fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":"input_json_delta","partial_json":%q}}`, index, piece))
	}
	return ok && s.stop(index)
}

func (s *Stream) stop(index int) bool {
	return s.Event("content_block_stop", fmt.Sprintf(`{"type":"content_block_stop","index":%d}`, index))
}

// End sends the end of an answer, and reports whether the client has all that counts:
// it may close the connection before the last event.
func (s *Stream) End(reason string, output int) bool {
	ok := s.Event("message_delta", fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":%q,"stop_sequence":null},"usage":{"output_tokens":%d}}`, reason, output))
	if ok {
		s.Event("message_stop", `{"type":"message_stop"}`)
	}
	return ok
}
