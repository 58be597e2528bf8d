package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
)

// maxDocument bounds the description of a batch, or a page of them.
const maxDocument = 16 << 20

// pass sends a request on to the service, and its answer back.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := p.context(r)
	defer cancel()
	control := http.NewResponseController(w)
	var body io.Reader
	if r.ContentLength != 0 {
		body = r.Body
		// Uploads take longer than other requests. A writer without deadlines is no server's,
		// and one without a body would be canceled at its deadline.
		_ = control.SetReadDeadline(time.Now().Add(uploadTime))
	}
	resp, err := p.opts.Upstream.Forward(ctx, &anthropic.Forwarded{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: p.header(r), Body: body, Length: r.ContentLength,
	})
	_ = control.SetReadDeadline(time.Time{})
	if err != nil {
		if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
			writeTooLarge(w, over.Limit)
			return
		}
		writeCallError(w, err)
		return
	}
	defer resp.Body.Close()
	if redirects(resp.StatusCode) {
		writeRedirect(w)
		return
	}
	if describesBatch(r.URL.Path) && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
		if err != nil {
			writeCallError(w, llm.NewError(llm.CodeConnection, "the connection to the service broke", nil))
			return
		}
		text = ownResults(text, baseOf(r))
		delete(resp.Header, "Content-Length")
		resp.Body = io.NopCloser(bytes.NewReader(text))
	}
	copyHeader(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	if err := copyBody(w, control, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // so that the client sees that something is missing
	}
}

// createBatch sends a message batch on, unless a budget is set: what a batch costs is
// known when it has ended, and no layer sees that.
func (p *Proxy) createBatch(w http.ResponseWriter, r *http.Request) {
	if p.opts.Upstream.Budgeted() {
		WriteError(w, http.StatusForbidden, "message batches are not passed on while a budget is set, since what they cost would not be counted; send the calls one by one, or run a workflow in batches")
		return
	}
	p.pass(w, r)
}

// redirects reports whether a status sends the client elsewhere, where it would take the
// server's key.
func redirects(status int) bool {
	return status >= 300 && status < 400 && status != http.StatusNotModified
}

func writeRedirect(w http.ResponseWriter) {
	WriteError(w, http.StatusBadGateway, "the service redirects the request, and redirects are not followed: check ANTHROPIC_BASE_URL of the server")
}

func writeTooLarge(w http.ResponseWriter, limit int64) {
	WriteError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request's body is larger than %d MB", limit>>20))
}

// copyBody copies a body piece by piece, as it arrives.
func copyBody(w io.Writer, control *http.ResponseController, body io.Reader) error {
	piece := make([]byte, 32<<10)
	for {
		n, err := body.Read(piece)
		if n > 0 {
			_ = control.SetWriteDeadline(time.Now().Add(writeTime)) // see pass
			if _, err := w.Write(piece[:n]); err != nil {
				return err
			}
			if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

const batchesPath = "/v1/messages/batches"

// describesBatch reports whether the answer to a request describes message batches.
func describesBatch(path string) bool {
	return strings.HasPrefix(path, batchesPath) && !strings.HasSuffix(path, "/results")
}

// ownResults returns the description of batches with the address of their results at
// this proxy: clients fetch it as it is, with the key of the server.
func ownResults(text []byte, base string) []byte {
	const name = `"results_url"`
	var out bytes.Buffer
	for {
		i := bytes.Index(text, []byte(name))
		if i < 0 {
			break
		}
		s := scanner{text: text, at: i + len(name)}
		if !s.take(':') {
			break
		}
		s.space()
		start := s.at
		value, ok := s.value()
		if !ok {
			break
		}
		url, isText := unquote(value)
		if _, path, found := strings.Cut(url, batchesPath); isText && found && !strings.ContainsAny(path, `"\`) {
			out.Write(text[:start])
			out.WriteString(`"` + base + batchesPath + path + `"`)
		} else {
			out.Write(text[:s.at])
		}
		text = text[s.at:]
	}
	out.Write(text)
	return out.Bytes()
}

// baseOf returns the address at which the client asked. The guard has checked the host.
func baseOf(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
