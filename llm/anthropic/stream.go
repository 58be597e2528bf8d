package anthropic

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2/packages/ssestream"

	"github.com/claude-force/claude-force/llm"
)

// errSilent is the cancel cause of a call whose stream stays silent.
var errSilent = errors.New("the stream has been silent for too long")

// A connection can be reused only once its response has been read to the end,
// which follows the last event. The wait for it is bounded.
const (
	drainTime  = 100 * time.Millisecond
	drainBytes = 16 << 10
)

// Stream sends req and yields the answer's events as they arrive.
func (c *Client) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		if err := c.stream(ctx, req, yield); err != nil {
			yield(llm.Event{}, err)
		}
	}
}

// stream makes one call and releases it before it returns. It does not yield
// the error.
func (c *Client) stream(ctx context.Context, req *llm.Request, yield func(llm.Event, error) bool) error {
	if ctx.Err() != nil {
		return llm.ContextError(ctx)
	}
	if req.Wire != nil {
		return c.streamWire(ctx, req, yield)
	}
	body, err := encode(req)
	if err != nil {
		return err
	}
	send, err := c.sender(ctx)
	if err != nil {
		return c.setupError(ctx, err)
	}
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var seen, resp *http.Response
	err = send(call, http.MethodPost, "v1/messages", body, &resp, c.callOptions(req, &seen)...)
	if seen != nil && seen.Body != nil {
		defer seen.Body.Close()
	}
	c.observe(req, seen)
	if err != nil {
		return c.callError(ctx, req, seen, err)
	}
	defer resp.Body.Close()
	if err := c.checkStreamed(req, resp); err != nil {
		return err
	}
	return c.read(ctx, call, cancel, req, resp, yield)
}

// read yields the events of a response until it ends, the caller stops, or the
// stream is silent for too long.
func (c *Client) read(ctx, call context.Context, cancel context.CancelCauseFunc, req *llm.Request, resp *http.Response, yield func(llm.Event, error) bool) error {
	silence := c.silenceTimer(func() { cancel(errSilent) })
	defer silence.Stop()
	events := ssestream.NewDecoder(resp)
	var a answer
	for {
		silence.Reset(c.opts.Silence)
		more := events.Next()
		// The caller's own time does not count as silence.
		silence.Stop()
		if ctx.Err() != nil {
			return llm.ContextError(ctx)
		}
		if !more {
			return c.cutError(call, &a, events.Err())
		}
		ev, err := a.add(events.Event().Type, events.Event().Data)
		if refused, ok := errors.AsType[*streamError](err); ok {
			return c.serviceError(req, resp.StatusCode, resp.Header, refused.body)
		}
		if err != nil {
			return err
		}
		if ev.Type == "" {
			continue
		}
		more = yield(ev, nil)
		if ev.Type == llm.EventDone {
			timer := time.AfterFunc(c.drain, func() { cancel(nil) })
			defer timer.Stop()
			// The rest is not part of the answer.
			_, _ = io.CopyN(io.Discard, resp.Body, drainBytes)
			return nil
		}
		if !more {
			return nil
		}
	}
}

// stopper is the subset of time.Timer that read uses.
type stopper interface {
	Reset(time.Duration) bool
	Stop() bool
}

type noTimer struct{}

func (noTimer) Reset(time.Duration) bool { return false }
func (noTimer) Stop() bool               { return false }

// silenceTimer returns a stopped timer that calls f, or one that never fires if
// silence is not limited.
func (c *Client) silenceTimer(f func()) stopper {
	if c.opts.Silence < 0 {
		return noTimer{}
	}
	t := time.AfterFunc(c.opts.Silence, f)
	t.Stop()
	return t
}

// cutError returns the error for a stream that ended without message_stop; err
// is the transport's.
func (c *Client) cutError(call context.Context, a *answer, err error) error {
	switch {
	case errors.Is(context.Cause(call), errSilent):
		return llm.NewError(llm.CodeConnection, fmt.Sprintf("%s has been silent for %s in the middle of an answer", c.host, c.opts.Silence), errSilent)
	case errors.Is(err, bufio.ErrTooLong):
		return llm.NewError(llm.CodeServer, "the service sent an event of more than 32 MiB", err)
	case err != nil:
		return c.networkError(err)
	case !a.started:
		return llm.NewError(llm.CodeIncomplete, fmt.Sprintf("%s answered with a stream without events", c.host), nil)
	}
	return llm.ErrIncomplete
}

// checkStreamed returns an error unless resp is a stream of events.
func (c *Client) checkStreamed(req *llm.Request, resp *http.Response) error {
	if resp.StatusCode >= 300 {
		return c.serviceError(req, resp.StatusCode, resp.Header, nil)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	isJSON := media == "application/json" || strings.HasSuffix(media, "+json")
	if !isJSON && media != "text/html" {
		// Gateways use various media types for streams.
		return nil
	}
	if isJSON {
		// An unreadable body is not an error of the service.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		if e := parseServiceError(body); e.kind == "error" {
			return c.serviceError(req, resp.StatusCode, resp.Header, body)
		}
	}
	err := llm.NewError(llm.CodeInvalid, fmt.Sprintf("%s answered with %s instead of an event stream: check that ANTHROPIC_BASE_URL points at the Messages API", c.host, media), nil)
	err.Status, err.RequestID = resp.StatusCode, resp.Header.Get(requestIDHeader)
	return err
}

// betas returns the value of the anthropic-beta header for req.
func (c *Client) betas(req *llm.Request) string {
	var names []string
	for _, name := range slices.Concat(c.opts.Betas, req.Betas) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

func (c *Client) observe(req *llm.Request, resp *http.Response) {
	if resp != nil && c.opts.OnHeaders != nil {
		c.opts.OnHeaders(req, resp.StatusCode, resp.Header)
	}
}
