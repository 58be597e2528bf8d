package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// RoundTripper returns a transport that calls the server in memory, without a
// network. Responses are streamed as they are written. It works in a synctest
// bubble and leaves no goroutine behind once the response's body is closed.
func (s *Server) RoundTripper() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(req.Context())
	inner := req.Clone(ctx)
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	// Unblock a waiting reader when the request's context ends.
	release := context.AfterFunc(ctx, func() { writer.CloseWithError(ctx.Err()) })
	w := &response{header: http.Header{}, body: writer, started: make(chan struct{})}
	done := make(chan struct{})
	go func() { // waited for by the body's Close, or below
		defer close(done)
		defer inner.Body.Close()
		err := serve(t.server, w, inner)
		w.start(http.StatusOK)
		writer.CloseWithError(err) // nil is io.EOF
	}()
	body := &body{PipeReader: reader, close: func() {
		cancel()
		release()
		reader.Close()
		<-done
	}}
	select {
	case <-w.started:
	case <-ctx.Done():
		body.close()
		return nil, context.Cause(req.Context())
	}
	if w.status == 0 { // dropped before anything was sent
		body.close()
		return nil, fmt.Errorf("simulated connection: %w", io.ErrUnexpectedEOF)
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body, ContentLength: -1, Request: req,
	}, nil
}

// serve runs the handler. It returns io.ErrUnexpectedEOF if the handler aborts
// the response.
func serve(h http.Handler, w *response, r *http.Request) (err error) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if aborted, ok := cause.(error); !ok || !errors.Is(aborted, http.ErrAbortHandler) {
			panic(cause)
		}
		err = io.ErrUnexpectedEOF
		w.abort()
	}()
	h.ServeHTTP(w, r)
	return nil
}

// body is a response body. Close cancels the request and waits until its
// handler has returned.
type body struct {
	*io.PipeReader
	once  sync.Once
	close func()
}

func (b *body) Close() error {
	b.once.Do(b.close)
	return nil
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.PipeReader.Read(p)
	if errors.Is(err, io.ErrClosedPipe) {
		err = http.ErrBodyReadAfterClose
	}
	return n, err
}

// response is the http.ResponseWriter of one request. Its header is sent with
// the first byte, as over a network.
type response struct {
	header, sent http.Header
	status       int // 0 if the connection was dropped before anything was sent
	body         *io.PipeWriter
	once         sync.Once
	started      chan struct{} // closed when the fields above are final
}

func (r *response) Header() http.Header { return r.header }

func (r *response) WriteHeader(status int) { r.start(status) }

func (r *response) start(status int) {
	r.once.Do(func() {
		r.status, r.sent = status, r.header.Clone()
		close(r.started)
	})
}

func (r *response) abort() { r.once.Do(func() { close(r.started) }) }

func (r *response) Write(p []byte) (int, error) {
	r.start(http.StatusOK)
	return r.body.Write(p)
}

func (r *response) Flush() { r.start(http.StatusOK) }
