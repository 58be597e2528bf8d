package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Bounds of a request.
const (
	sendTime   = 15 * time.Second // with its answer
	maxAnswer  = 4 << 10          // bytes of an answer that are read
	maxHeaders = 64 << 10         // bytes
)

// Sender sends events. It follows no redirect, uses no proxy, and checks the address that
// it connects to. Make one with [NewSender]. It is safe for concurrent use.
type Sender struct{ client *http.Client }

// NewSender returns a Sender. Close it when done.
func NewSender() *Sender { return newSender(nil) }

// newSender returns a Sender that resolves names with a resolver; nil for that of the
// system.
func newSender(resolver *net.Resolver) *Sender {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(ctx, resolver, network, address)
	}
	return &Sender{&http.Client{
		Timeout: sendTime,
		Transport: &http.Transport{
			DialContext:         dial,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:   true,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConns:        16, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: maxHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes the connections that are idle.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// dial connects to the host of a webhook, if it is at an address that it may stand for.
func dial(ctx context.Context, resolver *net.Resolver, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Resolver: resolver, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return reachable(host, at.Addr())
	}}
	return dialer.DialContext(ctx, network, address)
}

// Answer is what a receiver answered.
type Answer struct {
	Status     int
	RetryAfter time.Duration // not before then; 0 if it does not say
	Body       string        // the beginning of it, without the secrets: for the operator's eyes, not for logs
}

// Send sends an event once. Neither the answer nor the error holds a secret, and the error
// no part of the answer's body.
func (s *Sender) Send(ctx context.Context, h *Hook, secrets []string, ev *Event) (*Answer, error) {
	if err := CheckURL(h.URL); err != nil { // of a store that another version wrote
		return nil, err
	}
	now := time.Now()
	signature, err := sign(secrets, ev.ID, now, ev.Body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(ev.Body))
	if err != nil {
		return nil, errors.New("the URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "claude-force-webhook")
	req.Header.Set(standardwebhooks.HeaderWebhookID, ev.ID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil { // the status is what counts
		body = nil
	}
	return &Answer{Status: resp.StatusCode, RetryAfter: retryAfter(resp, now), Body: masked(string(body), secrets)}, nil
}

// plain returns an error of the HTTP client without the URL and in few words.
func plain(err error) error {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		if inner.Timeout() {
			return fmt.Errorf("not answered within %s", sendTime)
		}
		return inner.Err
	}
	return err
}

// masked returns a text without secrets.
func masked(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "…")
		text = strings.ReplaceAll(text, strings.TrimPrefix(s, secretPrefix), "…")
	}
	return text
}

// retryAfter returns how long a receiver asks to wait.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(time.Duration(seconds)*time.Second, 0)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
