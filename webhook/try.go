package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// TestResult is what came of sending a test.
type TestResult struct {
	OK      bool   `json:"ok" doc:"the receiver has taken it"`
	Status  int    `json:"status,omitempty" doc:"that was answered"`
	Problem string `json:"problem,omitempty" doc:"why it was not taken"`
	Millis  int64  `json:"duration_ms"`
	Body    string `json:"body,omitempty" doc:"beginning of the answer"`
}

// Try sends a test to a webhook once. id tells it from other tests.
func (s *Sender) Try(ctx context.Context, h *Hook, secrets []string, id string, now time.Time) TestResult {
	body, err := Body(Test, now, TestData{Webhook: h.Name})
	if err != nil {
		return TestResult{Problem: err.Error()}
	}
	start := time.Now()
	answer, err := s.Send(ctx, h, secrets, &Event{ID: EventID(h, Test, id), Type: Test, Body: body})
	r := TestResult{Millis: time.Since(start).Milliseconds()}
	o := Judge(DefaultRetry, &Delivery{Attempts: 1, Created: now}, answer, err, now, 0)
	r.OK, r.Status, r.Problem = o.State == Delivered, o.Status, o.Problem
	if answer != nil {
		r.Body = answer.Body
	}
	if r.Status == http.StatusGone {
		r.Problem += "; an event that is answered so disables the webhook"
	}
	return r
}

// Find returns the webhook of a name, or [ErrNotFound].
func Find(ctx context.Context, store Store, name string) (*Hook, error) {
	list, err := store.List(ctx)
	for i := range list {
		if list[i].Name == name {
			return &list[i], nil
		}
	}
	if err == nil {
		err = ErrNotFound
	}
	return nil, err
}

// Reach connects to the host of a webhook, with TLS if it is of https, and sends nothing.
// It returns why that failed.
func (s *Sender) Reach(ctx context.Context, h *Hook) error {
	if err := CheckURL(h.URL); err != nil {
		return err
	}
	u, err := url.Parse(h.URL)
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	transport, ok := s.client.Transport.(*http.Transport)
	if !ok {
		return errors.New("the sender has no transport of its own")
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme
	}
	conn, err := transport.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return plain(err)
	}
	if u.Scheme == "https" {
		settings := transport.TLSClientConfig.Clone()
		settings.ServerName = u.Hostname()
		secured := tls.Client(conn, settings)
		err = secured.HandshakeContext(ctx)
		conn = secured
	}
	return errors.Join(err, conn.Close())
}
