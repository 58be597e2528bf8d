package anthropic

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/llm"
)

// Forwarded is a request of a client of the API that is sent on to the service.
type Forwarded struct {
	Method string
	Path   string // such as /v1/files, as it is on the wire
	Query  string
	Header http.Header
	Body   io.Reader // nil for none
	Length int64     // of Body; -1 if it is unknown
}

// connectionHeaders concern one connection and are not sent on; see RFC 9110, 7.6.1.
var connectionHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// clientHeaders are of the client and the server that it asked, and not for the service:
// credentials above all.
var clientHeaders = []string{"Authorization", "X-Api-Key", "Cookie", "Host", "Content-Length", "Accept-Encoding", "Expect"}

// originHeaders are what a service says to browsers of its own host, and would be taken for
// that of the proxy: cookies, and that the host and all below it are to be asked by https or
// at another port. Services behind a content delivery network send them with every answer.
var originHeaders = []string{"Set-Cookie", "Strict-Transport-Security", "Alt-Svc", "Clear-Site-Data", "Report-To", "Reporting-Endpoints", "Nel"}

// CheckForward returns why requests of clients cannot be sent on to the service, or nil
// if they can. A credential is sent without encryption only to this machine.
func (c *Client) CheckForward() error {
	if c.opts.Backend != BackendAnthropic {
		return llm.NewError(llm.CodeInvalid, fmt.Sprintf("requests can be sent on to Anthropic's API or a gateway that speaks it, not to %s", c.host), nil)
	}
	u, err := url.Parse(c.baseURL())
	if err != nil || u.Scheme != "https" && !sameMachine(u.Hostname()) {
		return llm.NewError(llm.CodeInvalid, "requests are sent on to another machine over https alone: check ANTHROPIC_BASE_URL", nil)
	}
	return nil
}

// sameMachine reports whether a host is this machine, or none at all, as that of a
// simulator in this process.
func sameMachine(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".invalid")
}

func (c *Client) baseURL() string {
	if c.opts.BaseURL != "" {
		return c.opts.BaseURL
	}
	return defaultBaseURL
}

// Forward sends a request of a client on to the service and returns the response as it
// came; the caller closes its body. The client's credential is replaced by the one of c,
// headers that concern the connection alone are left out both ways, redirects are not
// followed, and no error response holds the credential of c.
func (c *Client) Forward(ctx context.Context, f *Forwarded) (*http.Response, error) {
	if err := c.CheckForward(); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, f.Method, c.baseURL()+f.Path, f.Body)
	if err != nil {
		return nil, llm.NewError(llm.CodeInvalid, "the request cannot be sent on: its path is not one", nil)
	}
	req.URL.RawQuery, req.Header, req.ContentLength = f.Query, c.forwardedHeader(f.Header), f.Length
	if f.Body == nil || f.Length == 0 {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	c.mu.Lock()
	transport := c.httpClient().Transport
	c.mu.Unlock()
	if transport == nil {
		transport = http.DefaultTransport
	}
	resp, err := transport.RoundTrip(req) // a client would follow redirects
	if err != nil {
		if ctx.Err() != nil {
			return nil, llm.ContextError(ctx)
		}
		return nil, c.networkError(err)
	}
	c.cleanResponse(resp)
	return resp, nil
}

// forwardedHeader returns the headers with which a client's request is sent on.
func (c *Client) forwardedHeader(client http.Header) http.Header {
	h := withoutConnection(client)
	for _, name := range clientHeaders {
		delete(h, name)
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // else the transport adds its own
	}
	h["Accept-Encoding"] = []string{"identity"} // what is compressed cannot be read on its way
	if len(c.opts.Betas) > 0 {
		betas := splitList(strings.Join(h[betaHeader], ","))
		for _, name := range c.opts.Betas {
			if !slices.Contains(betas, name) {
				h.Add(betaHeader, name)
			}
		}
	}
	switch {
	case c.opts.APIKey != "":
		h.Set("X-Api-Key", c.opts.APIKey)
	case c.opts.AuthToken != "":
		h.Set("Authorization", "Bearer "+c.opts.AuthToken)
	}
	maps.Copy(h, c.opts.Headers)
	return h
}

// withoutConnection returns a copy of headers without those that concern the connection
// alone, and those that the Connection header names.
func withoutConnection(h http.Header) http.Header {
	kept := make(http.Header, len(h)+2)
	maps.Copy(kept, h)
	dropConnection(kept)
	return kept
}

// dropConnection removes the headers that concern the connection alone, and those that the
// Connection header names.
func dropConnection(h http.Header) {
	for _, value := range h["Connection"] {
		for _, name := range splitList(value) {
			h.Del(name)
		}
	}
	for _, name := range connectionHeaders {
		delete(h, name)
	}
}

// cleanResponse takes from a response what concerns the connection alone, what the service
// says of its own host, and the credential of c, should the service repeat it.
func (c *Client) cleanResponse(resp *http.Response) {
	dropConnection(resp.Header)
	for _, name := range originHeaders {
		delete(resp.Header, name)
	}
	for name, values := range resp.Header {
		if slices.ContainsFunc(values, c.hasSecret) {
			delete(resp.Header, name)
		}
	}
	if resp.StatusCode < 400 {
		return
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		body = []byte(unreadable) // the credential may be in it
		delete(resp.Header, "Content-Encoding")
		resp.Header.Set("Content-Type", "application/json")
	}
	rest := io.Reader(bytes.NewReader(c.cleanBytes(body)))
	if err != nil {
		rest = io.MultiReader(rest, failing{err})
	}
	if len(body) != int(resp.ContentLength) || c.hasSecret(string(body)) {
		delete(resp.Header, "Content-Length")
		resp.ContentLength = -1
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{rest, resp.Body}
}

// unreadable stands for the body of an error that is compressed, which was not asked for.
const unreadable = `{"type":"error","error":{"type":"api_error","message":"the service gave the reason in a compressed form, which is not passed on"}}`

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// minSecret is the length of the shortest text that is taken for a secret: a shorter one
// is a word, and part of what it is not.
const minSecret = 6

func (c *Client) hasSecret(text string) bool {
	return slices.ContainsFunc(c.secrets, func(s string) bool { return len(s) >= minSecret && strings.Contains(text, s) })
}

// cleanBytes returns text without the credential of c.
func (c *Client) cleanBytes(text []byte) []byte {
	for _, s := range c.secrets {
		if len(s) >= minSecret && bytes.Contains(text, []byte(s)) {
			text = bytes.ReplaceAll(text, []byte(s), []byte("[credential]"))
		}
	}
	return text
}

// refuseLinkLocal fails a connection to a link-local address, where clouds serve the
// credentials of the machine.
func refuseLinkLocal(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(host)
	if err == nil && addr.Unmap().IsLinkLocalUnicast() {
		return llm.NewError(llm.CodeInvalid, "the service's name leads to a link-local address: check ANTHROPIC_BASE_URL", nil)
	}
	return nil
}
