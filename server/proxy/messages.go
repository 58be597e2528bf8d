package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Headers of answers that say what the proxy did.
const (
	cacheHeader = "X-Claude-Force-Cache"
	savedHeader = "X-Claude-Force-Saved-Usd"
)

// Values of the cache header.
const (
	cacheHit       = "hit"       // the answer was in the response cache
	cacheMiss      = "miss"      // it was not, and is from the service
	cacheCoalesced = "coalesced" // it is that of an identical call in flight
	cacheBypass    = "bypass"    // nothing was looked for
)

// messages answers a call of a model.
func (p *Proxy) messages(w http.ResponseWriter, r *http.Request) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		WriteError(w, http.StatusUnsupportedMediaType, "the request's body is encoded with "+strconv.Quote(encoding)+"; send it as it is")
		return
	}
	body, err := p.readBody(r)
	if err != nil {
		if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
			writeTooLarge(w, over.Limit)
			return
		}
		WriteError(w, http.StatusBadRequest, "the request's body ended early")
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the answer may take longer; a writer without deadlines is no server's
	share, err := p.opts.Cache.of(r.Header)
	if err != nil {
		WriteError(w, http.StatusBadRequest, err.Error())
		return
	}
	asked := askedOf(r.Header, r.URL.RawQuery, share)
	req := p.repeats.find(body, asked)
	repeated := req != nil
	if repeated {
		p.bodies.put(body)
	} else if req, err = readRequest(body, r.Header, r.URL.RawQuery, share); err != nil {
		WriteError(w, http.StatusBadRequest, err.Error())
		return
	}
	req.Agent, req.Wire.Header = p.opts.Agent, p.header(r)
	ctx, cancel := p.context(r)
	defer cancel()
	a := &answer{proxy: p, w: w, control: control, req: req}
	for ev, err := range p.opts.Upstream.Model().Stream(ctx, req) {
		if err != nil {
			a.fail(ctx, err)
			return
		}
		if !a.take(ev) {
			return
		}
	}
	if a.hit && !repeated {
		p.repeats.add(req, asked)
	}
}

// readBody reads the whole body of a request.
func (p *Proxy) readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 || r.ContentLength > maxMessage {
		return io.ReadAll(r.Body)
	}
	body := p.bodies.get(int(r.ContentLength))
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// answer writes the answer to one call.
type answer struct {
	proxy   *Proxy
	w       http.ResponseWriter
	control *http.ResponseController
	req     *llm.Request

	seen    bool // the head came
	started bool // the head was written
	passing bool // the bytes are written as they come
	shared  bool // they are those of another call
	hit     bool // the answer was in the response cache
}

// take writes what an event brings. It reports whether more is wanted.
func (a *answer) take(ev llm.Event) bool {
	if w := ev.Wire; w != nil && w.Head != nil && !a.seen {
		// The service may answer in another form than was asked for, which the
		// client is shown; what another call asked for, it is not.
		a.seen, a.shared = true, w.Shared
		a.passing = !w.Shared || a.req.Wire.Stream == isStream(w.Head)
		if a.passing {
			a.start(w.Head, ev.Response)
		}
	}
	if ev.Type == llm.EventDone && !a.passing {
		a.replay(ev.Response)
		return true
	}
	if a.passing && ev.Wire != nil {
		if !a.write(ev.Wire.Bytes) {
			return false
		}
	}
	if ev.Type == llm.EventDone && a.shared && a.req.Wire.Stream {
		a.setSaved(ev.Response) // in the trailer
	}
	return true
}

func isStream(head *llm.WireHead) bool {
	media, _, _ := mime.ParseMediaType(head.Header.Get("Content-Type"))
	return media == streamType
}

const streamType = "text/event-stream"

// start writes the head of the service's answer. The response is set if it is there.
func (a *answer) start(head *llm.WireHead, resp *llm.Response) {
	h := a.w.Header()
	copyHeader(h, head.Header)
	if isStream(head) {
		delete(h, "Content-Length") // one that is cut off must not look whole
	}
	switch {
	case !a.shared:
		a.setSource(a.fresh())
		h.Set(savedHeader, "0")
	case resp != nil:
		a.setSource(cacheCoalesced)
		a.setSaved(resp)
	default:
		a.setSource(cacheCoalesced)
		h.Set("Trailer", savedHeader)
	}
	a.started = true
	a.w.WriteHeader(head.Status)
}

// fresh returns the value of the cache header of an answer of the service.
func (a *answer) fresh() string {
	if a.req.Policy == llm.PolicyOff {
		return cacheBypass
	}
	return cacheMiss
}

func (a *answer) setSource(source string) { a.w.Header().Set(cacheHeader, source) }

// setSaved says what the answer would have cost.
func (a *answer) setSaved(resp *llm.Response) {
	if cost, _, ok := a.proxy.opts.Upstream.Prices().CostOfAnswer(a.req, resp); ok {
		a.w.Header().Set(savedHeader, strconv.FormatFloat(cost.USD(), 'f', -1, 64))
	}
}

// write writes a piece of the answer at once. It reports false if the client is gone.
func (a *answer) write(piece []byte) bool {
	if len(piece) == 0 {
		return true
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(writeTime)) // a writer without deadlines is no server's
	if _, err := a.w.Write(piece); err != nil {
		return false
	}
	err := a.control.Flush()
	return err == nil || errors.Is(err, http.ErrNotSupported)
}

// replay writes an answer that is complete, in the form that the client asked for.
func (a *answer) replay(resp *llm.Response) {
	var body []byte
	err := errors.New("the answer has no bytes")
	if resp.Wire != nil {
		body, err = resp.Wire.Body, nil
		switch {
		case a.req.Wire.Stream && !resp.Wire.Stream:
			body, err = eventsOf(body)
		case !a.req.Wire.Stream && resp.Wire.Stream:
			body, err = documentOf(body)
		}
	}
	if err != nil {
		a.proxy.log.Error("an answer cannot be shown in the form that was asked for", "err", err)
		WriteError(a.w, http.StatusBadGateway, "the answer cannot be shown in the form that was asked for; send the request with "+modeHeader+": off")
		return
	}
	h := a.w.Header()
	h.Set("Content-Type", "application/json")
	if a.req.Wire.Stream {
		h.Set("Content-Type", streamType+"; charset=utf-8")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Request-Id", newRequestID())
	switch resp.Source {
	case llm.SourceCache:
		a.hit = true
		a.setSource(cacheHit)
		a.setSaved(resp)
		h.Set("Age", strconv.Itoa(max(0, int(time.Since(resp.StoredAt).Seconds()))))
	case llm.SourceCoalesced:
		a.setSource(cacheCoalesced)
		a.setSaved(resp)
	default:
		a.setSource(a.fresh())
		h.Set(savedHeader, "0")
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(writeTime)) // see write
	_, _ = a.w.Write(body)                                    // the client may be gone
}

// fail ends the answer to a call that failed.
func (a *answer) fail(ctx context.Context, err error) {
	wire, fromService := errors.AsType[*llm.WireError](err)
	if a.started {
		if fromService && ctx.Err() == nil {
			a.write(wire.Body) // the error as an event of the stream, which ends it
			return
		}
		panic(http.ErrAbortHandler) // so that the client sees that something is missing
	}
	a.setSource(a.fresh())
	switch {
	case !fromService:
		if code := llm.CodeOf(err); code != llm.CodeCanceled && code != llm.CodeInvalid {
			a.proxy.log.Warn("call failed", "model", a.req.Model, "code", code, "err", err)
		}
		if e, ok := errors.AsType[*llm.Error](err); ok && redirects(e.Status) {
			writeRedirect(a.w)
			return
		}
		writeCallError(a.w, err)
	default:
		h := a.w.Header()
		copyHeader(h, wire.Head.Header)
		delete(h, "Content-Length")
		a.w.WriteHeader(wire.Head.Status)
		a.write(bytes.Join([][]byte{wire.Before, wire.Body}, nil))
	}
}
