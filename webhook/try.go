package webhook

import (
	"context"
	"net/http"
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
