package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

// MaxResponse bounds the body of an answer to a request, unpacked.
const MaxResponse = 8 << 20

// Sender sends requests that no model asked for. Public hosts are reached over https.
// Plain http, addresses instead of names, and hosts that are not public need that the
// user has named exactly the host, and an address that is not public that he has named
// the address itself, so that a name that comes to stand for it gains nothing. It is
// safe for concurrent use.
type Sender struct {
	client *http.Client
	named  func(host string) bool
}

// NewSender returns a Sender. named reports whether the user has granted exactly that
// host, which may be an address.
func NewSender(named func(host string) bool) *Sender {
	s := &Sender{named: named}
	client := newClient(nil, nil, nil)
	transport, _ := client.Transport.(*http.Transport)
	transport.DialContext = s.dial
	transport.ResponseHeaderTimeout = 0 // a request ends with its step's timeout
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client = client
	return s
}

// Close closes the connections that are idle.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Request is a request to send.
type Request struct {
	Method  string
	URL     string
	Header  http.Header
	Body    string
	Secrets []string // values that are in no answer and no error

	// Permit returns why a request may not be sent, also one after a redirect.
	Permit func(ctx context.Context, method, url, body string) error

	// Expects reports whether a redirect is the answer that is wanted, which is not
	// followed then.
	Expects func(status int) bool
}

// Answer is what a server answered.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	Cut    bool // the body is longer than [MaxResponse]
}

// RefusedError is a request that is never sent, whoever allows it.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// Check reports a URL that is never requested, whoever allows it: a [*RefusedError].
// It resolves no names.
func (s *Sender) Check(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return &RefusedError{"the URL cannot be read"}
	}
	return s.check(u)
}

// Send sends a request and follows redirects, each as far as it is permitted. Neither
// the answer nor an error holds one of the secrets.
func (s *Sender) Send(ctx context.Context, r Request) (*Answer, error) {
	mask := masker(r.Secrets)
	answer, err := s.follow(ctx, r, mask)
	if err != nil {
		return nil, masked(err, mask)
	}
	answer.Body = mask.Replace(answer.Body)
	for name, values := range answer.Header {
		for i := range values {
			values[i] = mask.Replace(values[i])
		}
		answer.Header[name] = values
	}
	return answer, nil
}

func (s *Sender) follow(ctx context.Context, r Request, mask *strings.Replacer) (*Answer, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, &RefusedError{"the URL cannot be read"}
	}
	method, header, body := r.Method, r.Header.Clone(), r.Body
	if header == nil {
		header = http.Header{}
	}
	for hop := 0; ; hop++ {
		if err := s.check(u); err != nil {
			return nil, err
		}
		if err := r.Permit(ctx, method, mask.Replace(u.String()), mask.Replace(body)); err != nil {
			return nil, err
		}
		resp, err := s.send(ctx, method, u, header, body)
		if err != nil {
			return nil, err
		}
		to, err := redirect(resp, u, r.Expects)
		if err != nil || to == nil {
			answer, readErr := read(resp)
			return answer, errors.Join(err, readErr)
		}
		resp.Body.Close()
		if hop == maxRedirects {
			return nil, &RefusedError{fmt.Sprintf("stopped after %d redirects", maxRedirects)}
		}
		if method, err = nextMethod(method, resp.StatusCode, sameOrigin(u, to)); err != nil {
			return nil, fmt.Errorf("%w: %s answered %s to %s", err, u, resp.Status, to)
		}
		if method == http.MethodGet && r.Method != http.MethodGet {
			body = ""
			header.Del("Content-Type")
		}
		if !sameOrigin(u, to) {
			header = harmless(header)
		}
		u = to
	}
}

func (s *Sender) send(ctx context.Context, method string, u *url.URL, header http.Header, body string) (*http.Response, error) {
	var reader io.Reader // nil: without a body
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), reader)
	if err != nil {
		return nil, &RefusedError{unwrapURL(err).Error()}
	}
	req.Header = header.Clone()
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "claude-force (step of a workflow)")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, u, unwrapURL(err))
	}
	return resp, nil
}

// redirect returns where an answer leads; nil if it is the answer to the request.
func redirect(resp *http.Response, from *url.URL, expects func(int) bool) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	location := resp.Header.Get("Location")
	if location == "" || expects(resp.StatusCode) {
		return nil, nil
	}
	to, err := from.Parse(location)
	if err != nil {
		return nil, &RefusedError{fmt.Sprintf("%s answered %s to something that is no URL", from, resp.Status)}
	}
	if from.Scheme == "https" && to.Scheme != "https" {
		return nil, &RefusedError{fmt.Sprintf("%s answered %s to %s, which is not followed: it is not over https", from, resp.Status, to)}
	}
	to.Fragment, to.RawFragment = "", ""
	return to, nil
}

// nextMethod returns the method of a request after a redirect. What may have effects is
// sent again only to where it was sent, and never turned into something else, unless
// the server says that the result is to be read elsewhere.
func nextMethod(method string, status int, same bool) (string, error) {
	switch {
	case method == http.MethodGet || method == http.MethodHead:
		return method, nil
	case status == http.StatusSeeOther,
		method == http.MethodPost && (status == http.StatusMovedPermanently || status == http.StatusFound):
		return http.MethodGet, nil
	case same && (status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect):
		return method, nil
	}
	return "", &RefusedError{method + " is not sent again elsewhere; name that URL"}
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// harmless returns the headers that another host may see: any other may be a secret.
func harmless(header http.Header) http.Header {
	kept := http.Header{}
	for _, name := range []string{"Accept", "Accept-Language", "User-Agent"} {
		if values := header.Values(name); values != nil {
			kept[name] = values
		}
	}
	return kept
}

// check reports a URL that is not requested, whoever allows it.
func (s *Sender) check(u *url.URL) error {
	host := strings.TrimSuffix(u.Hostname(), ".")
	_, err := netip.ParseAddr(host)
	named := s.named(host)
	rule := "WebFetch(domain:" + host + ")"
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return &RefusedError{fmt.Sprintf("requests are sent over https or http, not %q", u.Scheme)}
	case u.User != nil:
		return &RefusedError{"a URL with a user name or a password is not requested"}
	case host == "":
		return &RefusedError{"the URL has no host"}
	case err != nil && isAddress(host):
		return &RefusedError{host + " is an address that is not written in the usual form"}
	case named:
		return nil
	case u.Scheme == "http":
		return &RefusedError{u.String() + " is not over https, which needs a rule for exactly this host: " + rule}
	case err == nil:
		return &RefusedError{host + " is an address, which needs a rule for exactly it: " + rule}
	case !strings.Contains(host, "."):
		return &RefusedError{host + " is not a host on the public internet, which needs a rule for exactly it: " + rule}
	}
	return nil
}

// dial connects to a host.
func (s *Sender) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{
		Timeout: 15 * time.Second,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return s.reachable(host, at)
		},
	}
	return dialer.DialContext(ctx, network, address)
}

// reachable reports an address that a host may not stand for.
func (s *Sender) reachable(host string, at netip.AddrPort) error {
	err := public(at)
	if err == nil {
		return nil
	}
	addr := at.Addr().WithZone("").Unmap()
	if s.named(host) && (s.named(addr.String()) || addr.IsLoopback() && strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")) {
		return nil
	}
	return &RefusedError{fmt.Sprintf("%s is at %s, which is not on the public internet and needs a rule for exactly this address: WebFetch(domain:%s)", host, addr, addr)}
}

// Lasting reports whether a request that failed so would fail again.
func Lasting(err error) bool {
	_, refused := errors.AsType[*RefusedError](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	return refused || certificate
}

func read(resp *http.Response) (*Answer, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxResponse+1))
	if err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	a := &Answer{Status: resp.StatusCode, Header: resp.Header, Cut: len(body) > MaxResponse}
	body = body[:min(len(body), MaxResponse)]
	if !utf8.Valid(body) && strings.Contains(strings.ToLower(resp.Header.Get("Content-Type")), "charset=") {
		r, err := charset.NewReader(bytes.NewReader(body), resp.Header.Get("Content-Type"))
		if err == nil {
			body, err = io.ReadAll(io.LimitReader(r, 4*MaxResponse))
		}
		if err != nil {
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
	}
	a.Body = string(body)
	return a, nil
}

// masker replaces secrets, also as they stand in JSON and URLs.
func masker(secrets []string) *strings.Replacer {
	var all []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted, err := json.Marshal(s)
		if err == nil {
			all = append(all, strings.Trim(string(quoted), `"`))
		}
		all = append(all, s, url.QueryEscape(s), url.PathEscape(s))
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // one within another
	var pairs []string
	for _, s := range all {
		pairs = append(pairs, s, "***")
	}
	return strings.NewReplacer(pairs...)
}

// maskedError is an error whose text holds no secret.
type maskedError struct {
	text string
	err  error
}

func (e *maskedError) Error() string { return e.text }
func (e *maskedError) Unwrap() error { return e.err }

func masked(err error, mask *strings.Replacer) error {
	if text := mask.Replace(err.Error()); text != err.Error() {
		return &maskedError{text, err}
	}
	return err
}
