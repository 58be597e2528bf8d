package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/webhook"
)

// TestWebhookProblem says what is wrong with webhooks, the worst first, and what to do.
func TestWebhookProblem(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hook := webhook.Hook{Name: "ops", SecretEnv: "OPS_SECRET"}
	off := hook
	off.Disabled = "the receiver answered 410 Gone"
	failing := &webhook.Delivery{State: webhook.Pending, Problem: "answered 503 Service Unavailable"}
	taken := &webhook.Delivery{State: webhook.Delivered}
	for name, c := range map[string]struct {
		view       webhook.View
		reached    error
		oldest     time.Time
		what, hint string
	}{
		"good":        {webhook.View{Hook: hook, Last: taken, Delivered: 3}, nil, time.Time{}, "", ""},
		"new":         {webhook.View{Hook: hook}, nil, time.Time{}, "", ""},
		"just now":    {webhook.View{Hook: hook, Pending: 1}, nil, now.Add(-time.Second), "", ""},
		"disabled":    {webhook.View{Hook: off, Last: failing}, errors.New("refused"), time.Time{}, "is disabled: the receiver answered 410", "webhooks retry ops"},
		"unreachable": {webhook.View{Hook: hook, Pending: 2}, errors.New("connection refused"), now.Add(-3 * time.Hour), "cannot be reached: connection refused; the oldest of 2 events waits since 3 hours", "webhooks test ops"},
		"failing":     {webhook.View{Hook: hook, Last: failing, Pending: 1}, nil, now.Add(-48 * time.Hour), "fails: answered 503 Service Unavailable; the oldest of 1 event waits since 2 days", "webhooks retry ops"},
		"not sent":    {webhook.View{Hook: hook, Pending: 1}, nil, now.Add(-time.Hour), "is not sent to", "with OPS_SECRET in its environment"},
		"given up":    {webhook.View{Hook: hook, Last: taken, Failed: 4}, nil, time.Time{}, "did not take 4 events", "webhooks retry ops"},
	} {
		what, hint := webhookProblem(&c.view, c.reached, c.oldest, now)
		if !strings.HasPrefix(what, c.what) || (what == "") != (c.what == "") || !strings.Contains(hint, c.hint) {
			t.Errorf("%s: %q, %q; want %q, %q", name, what, hint, c.what, c.hint)
		}
	}
}
