package claudeforce

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": -1, "x": -1, "-5": -1, "0": 0, "7": 7 * time.Second, "99999999999": 24 * time.Hour, "1000000": 24 * time.Hour,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v; want %v", header, got, want)
		}
	}
}

func TestAnswersOfRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		output    workflow.RunOutput
		was       answered
		want, err string
	}{
		{workflow.OutputText, answered{Status: 200, Body: "a\n"}, "a\n", ""},
		{workflow.OutputText, answered{Status: 204}, "", ""},
		{workflow.OutputLines, answered{Status: 200, Body: "a\r\nb\n"}, `["a","b"]`, ""},
		{workflow.OutputJSON, answered{Status: 200, Body: "{\"a\": 1.0}"}, `{"a": 1.0}`, ""},
		{workflow.OutputJSON, answered{Status: 204}, "", "the answer is not json"},
		{workflow.OutputText, answered{Status: 200, Binary: true, Headers: map[string]string{"content-type": "image/png"}}, "", "the answer is no UTF-8 text (image/png)"},
		{workflow.OutputResponse, answered{Status: 201, Headers: map[string]string{"a": "b"}, Body: "x"}, `{"status":201,"headers":{"a":"b"},"body":"x"}`, ""},
		{workflow.OutputText, answered{Status: 404, Body: strings.Repeat("é", 10_000)}, "", "answered with 404 Not Found: " + strings.Repeat("é", 500) + "… "},
	} {
		got, err := bodyOf(&workflow.HTTP{Output: c.output}, workflow.HTTPRequest{}, c.was)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s of %+v: %q, %v", c.output, c.was, got, err)
		}
	}
}

// TestStatuses covers which statuses another attempt may change.
func TestStatuses(t *testing.T) {
	t.Parallel()
	for status, again := range map[int]bool{300: false, 304: false, 400: false, 401: false, 404: false, 408: true, 409: false, 425: false, 429: true, 500: true, 503: true, 599: true} {
		_, err := bodyOf(&workflow.HTTP{}, workflow.HTTPRequest{}, answered{Status: status})
		code := llm.CodeOf(err)
		if got := code.Transient() || code == llm.CodeTimeout; err == nil || got != again {
			t.Errorf("%d: %v", status, err)
		}
	}
}
