package webhook_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/webhook"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"
	newer  = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// TestURLs checks which addresses of webhooks are taken.
func TestURLs(t *testing.T) {
	for url, good := range map[string]bool{
		"https://hooks.example.com/a":                            true,
		"https://hooks.example.com:8443":                         true,
		"https://10.1.2.3/a":                                     true,
		"https://[fd00::1]/a":                                    true,
		"https://100.64.1.2/a":                                   true, // an overlay network
		"http://localhost:9000/a":                                true,
		"http://127.0.0.1:9000":                                  true,
		"http://[::1]:9000":                                      true,
		"":                                                       false,
		"hooks.example.com":                                      false,
		"https:///a":                                             false,
		"http://hooks.example.com":                               false,
		"http://10.1.2.3":                                        false,
		"http://localhost.example.com":                           false,
		"ftp://hooks.example.com":                                false,
		"https://user:pass@hooks.example.com":                    false,
		"https://hooks.example.com/?token=1":                     false,
		"https://hooks.example.com/?":                            false,
		"https://hooks.example.com/#a":                           false,
		"https://169.254.169.254/latest":                         false,
		"http://169.254.169.254/latest":                          false,
		"https://[fe80::1]/":                                     false,
		"https://[::ffff:169.254.169.254]/":                      false,
		"https://[64:ff9b::a9fe:a9fe]/":                          false,
		"https://[2002:a9fe:a9fe::]/":                            false,
		"https://100.100.100.200/":                               false,
		"https://[fd00:ec2::254]/":                               false,
		"https://168.63.129.16/":                                 false,
		"https://192.0.0.192/":                                   false,
		"https://0.0.0.0/":                                       false,
		"https://[::]/":                                          false,
		"https://224.0.0.1/":                                     false,
		"https://255.255.255.255/":                               false,
		"https://hooks.example.com/" + strings.Repeat("a", 2000): false,
	} {
		if err := webhook.CheckURL(url); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		} else if err != nil && !webhook.Refused(err) {
			t.Errorf("%s: the error is not final: %v", url, err)
		}
	}
}

func TestComplete(t *testing.T) {
	h := webhook.Hook{Name: "ops", URL: "https://hooks.example.com", SecretEnv: "SECRET"}
	if err := h.Complete(time.Now()); err != nil || len(h.Events) != 3 || !h.Wants(webhook.RunFinished) {
		t.Errorf("%+v, %v", h, err)
	}
	h = webhook.Hook{Name: "ops", URL: "https://hooks.example.com", SecretEnv: "SECRET", Events: []webhook.Type{"run.finished", "run.finished"}}
	if err := h.Complete(time.Now()); err != nil || len(h.Events) != 1 || h.Wants(webhook.BudgetReached) {
		t.Errorf("%+v, %v", h, err)
	}
	bad := webhook.Hook{Name: "A b", URL: "http://x", SecretEnv: "whsec_MfKQ=", Events: []webhook.Type{"run.ended"}}
	err := bad.Complete(time.Now())
	for _, part := range []string{`"A b"`, "https", "variable of the environment", `"run.ended"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %s", err, part)
		}
	}
	if strings.Contains(err.Error(), "MfKQ") {
		t.Errorf("%v has what may be a secret", err)
	}
}

func TestSecrets(t *testing.T) {
	for value, n := range map[string]int{
		secret: 1, secret + " " + newer: 2, " " + secret + "\n": 1,
		"": 0, "sk-ant-canary": 0, "whsec_canary": 0, "whsec_Y2FuYXJ5": 0, secret + " canary": 0, strings.Repeat(secret+" ", 5): 0,
	} {
		list, err := webhook.Secrets("SECRET", func(string) string { return value })
		if len(list) != n || (err == nil) != (n > 0) {
			t.Errorf("%q: %d secrets, %v", value, len(list), err)
		}
		if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "Y2FuYXJ5") || strings.Contains(err.Error(), "MfKQ")) {
			t.Errorf("the error holds the value: %v", err)
		}
	}
}

// TestSend sends over the wire, and the receiver checks with the standard's own library.
func TestSend(t *testing.T) {
	var got atomic.Value
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for _, s := range []string{secret, newer} {
			check, err := standardwebhooks.NewWebhook(s)
			if err != nil {
				t.Error(err)
			} else if err := check.Verify(body, r.Header); err != nil {
				t.Errorf("not verified: %v", err)
			}
			if err := check.Verify(append(body, ' '), r.Header); err == nil {
				t.Error("another body was verified")
			}
		}
		got.Store(r.Header.Get("webhook-id") + " " + string(body))
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "I have "+secret+strings.Repeat(".", 100_000))
	}))
	defer receiver.Close()
	s := webhook.NewSender()
	defer s.Close()
	h := &webhook.Hook{ID: "1", Name: "ops", URL: receiver.URL}
	body, err := webhook.Body(webhook.RunFinished, time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC), webhook.RunData{RunID: "run_1", Status: "failed"})
	if err != nil || !json.Valid(body) || !strings.HasPrefix(string(body), `{"type":"run.finished","timestamp":"2026-03-01T12:00:00.123Z","data":{"run_id":"run_1",`) {
		t.Fatalf("%s, %v", body, err)
	}
	answer, err := s.Send(t.Context(), h, []string{secret, newer}, &webhook.Event{ID: "msg_1", Type: webhook.RunFinished, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != 503 || answer.RetryAfter != 2*time.Minute || len(answer.Body) > 5000 || strings.Contains(answer.Body, "MfKQ") {
		t.Errorf("%d, %s, %d bytes: %.100s", answer.Status, answer.RetryAfter, len(answer.Body), answer.Body)
	}
	if got.Load() != "msg_1 "+string(body) {
		t.Errorf("received %s", got.Load())
	}
}

// TestNotFollowed: no redirect is followed, and no proxy of the environment is used.
func TestNotFollowed(t *testing.T) {
	var others atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { others.Add(1) }))
	defer other.Close()
	t.Setenv("HTTP_PROXY", other.URL)
	t.Setenv("HTTPS_PROXY", other.URL)
	for _, status := range []int{301, 302, 303, 307, 308} {
		receiver := httptest.NewServer(http.RedirectHandler(other.URL, status))
		s := webhook.NewSender()
		answer, err := s.Send(t.Context(), &webhook.Hook{URL: receiver.URL}, []string{secret}, &webhook.Event{ID: "msg_1", Body: []byte("{}")})
		if err != nil || answer.Status != status {
			t.Errorf("%+v, %v", answer, err)
		}
		if o := webhook.Judge(webhook.DefaultRetry, &webhook.Delivery{Attempts: 1, Created: time.Unix(1, 0)}, answer, nil, time.Unix(1, 0), 0); o.State != webhook.Pending || !strings.Contains(o.Problem, "not followed") {
			t.Errorf("%+v", o)
		}
		s.Close()
		receiver.Close()
	}
	if n := others.Load(); n != 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}

// TestErrorsHoldNoURL: what is wrong with a request has neither the path, which may be
// secret, nor a secret.
func TestErrorsHoldNoURL(t *testing.T) {
	s := webhook.NewSender()
	defer s.Close()
	// No system gives port 1 to who asks for any.
	for _, to := range []string{"http://127.0.0.1:1/canary", "https://hooks.invalid/canary", "https://169.254.169.254/canary"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := s.Send(ctx, &webhook.Hook{URL: to}, []string{secret}, &webhook.Event{ID: "msg_1", Body: []byte("{}")})
		cancel()
		if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "MfKQ") {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// TestRetry checks when a delivery is tried again, and when it is given up.
func TestRetry(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	refused := &webhook.Answer{Status: 500}
	now, waits := start, []time.Duration{}
	d := &webhook.Delivery{Created: start}
	for {
		d.Attempts++
		o := webhook.Judge(webhook.DefaultRetry, d, refused, nil, now, 0)
		if o.State == webhook.Failed {
			break
		}
		waits = append(waits, o.Next.Sub(now))
		now = o.Next
	}
	if total := now.Sub(start); d.Attempts != 8 || total < 20*time.Hour || total > 28*time.Hour || waits[0] != 15*time.Second {
		t.Errorf("%d attempts over %s: %v", d.Attempts, total, waits)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := &webhook.Delivery{Created: start, Attempts: rapid.IntRange(1, 12).Draw(t, "attempts")}
		random := rapid.Float64Range(0, 1).Draw(t, "random")
		answer := &webhook.Answer{Status: rapid.IntRange(100, 599).Draw(t, "status"), RetryAfter: time.Duration(rapid.Int64Range(0, int64(100*24*time.Hour)).Draw(t, "retry after"))}
		now := start.Add(time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "age")))
		o := webhook.Judge(webhook.DefaultRetry, d, answer, nil, now, random)
		switch {
		case answer.Status >= 200 && answer.Status < 300:
			if o.State != webhook.Delivered || o.Problem != "" || !o.Next.IsZero() {
				t.Fatalf("%+v", o)
			}
			return
		case answer.Status == 410:
			if o.State != webhook.Failed || o.Disable == "" {
				t.Fatalf("%+v", o)
			}
			return
		case o.State == webhook.Failed:
			if !o.Next.IsZero() || o.Problem == "" {
				t.Fatalf("%+v", o)
			}
			return
		}
		if d.Attempts >= 8 || o.State != webhook.Pending || o.Disable != "" {
			t.Fatalf("%+v", o)
		}
		wait := o.Next.Sub(now)
		if wait < min(answer.RetryAfter, webhook.MaxWait) || wait > max(webhook.MaxWait, answer.RetryAfter) {
			t.Fatalf("waits %s where the receiver asked for %s", wait, answer.RetryAfter)
		}
	})
	if o := webhook.Judge(webhook.DefaultRetry, &webhook.Delivery{Attempts: 1, Created: start}, nil, &webhook.RefusedError{Reason: "no"}, start, 0); o.State != webhook.Failed {
		t.Errorf("a request that is never sent is tried again: %+v", o)
	}
}
