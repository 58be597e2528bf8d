package vertex

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2/option"
	"golang.org/x/oauth2"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type tokenFunc func() (*oauth2.Token, error)

func (f tokenFunc) Token() (*oauth2.Token, error) { return f() }

func client(t *testing.T, source tokenFunc, rt transport) *anthropic.Client {
	t.Helper()
	c, err := anthropic.New(anthropic.Options{
		Backend: anthropic.BackendVertex, Region: "global", ProjectID: "p1", HTTPClient: &http.Client{Transport: rt},
		SDKOptions: func(context.Context) ([]option.RequestOption, error) {
			return adapt("global", "p1", tokens{source})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request() *llm.Request {
	return &llm.Request{Model: "claude-haiku-5-5", MaxTokens: 100, Messages: []llm.Message{llm.UserText("hi")}}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	c := client(t, func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "ya29.x"}, nil }, func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if got := r.URL.String(); got != "https://aiplatform.googleapis.com/v1/projects/p1/locations/global/publishers/anthropic/models/claude-haiku-5-5:streamRawPredict" {
			t.Errorf("URL = %s", got)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer ya29.x" {
			t.Errorf("Authorization = %q", got)
		}
		var fields map[string]any
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Error(err)
		}
		if fields["anthropic_version"] != anthropic.APIVersion || fields["model"] != nil || fields["stream"] != true {
			t.Errorf("body = %s", body)
		}
		const events = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n\n" +
			"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n" +
			"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(events)), ContentLength: -1, Request: r}, nil
	})
	resp, err := llm.Collect(c.Stream(t.Context(), request()))
	if err != nil || resp.Usage.OutputTokens != 2 {
		t.Errorf("response = %+v, %v", resp, err)
	}
}

func TestTokenErrors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		err  error
		code llm.Code
	}{
		{&oauth2.RetrieveError{ErrorCode: "invalid_grant", Body: []byte("s3cret")}, llm.CodeAuth},
		{&timeoutError{}, llm.CodeConnection},
		{errors.New("s3cret"), llm.CodeAuth},
	}
	for _, c := range cases {
		m := client(t, func() (*oauth2.Token, error) { return nil, c.err }, func(*http.Request) (*http.Response, error) {
			t.Error("a call was made")
			return nil, io.EOF
		})
		_, err := llm.Collect(m.Stream(t.Context(), request()))
		if llm.CodeOf(err) != c.code || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("err = %v, want code %v", err, c.code)
		}
	}
}

type timeoutError struct{}

func (*timeoutError) Error() string   { return "dial timed out" }
func (*timeoutError) Timeout() bool   { return true }
func (*timeoutError) Temporary() bool { return true }

func TestOptions(t *testing.T) {
	dir := t.TempDir()
	broken, good := filepath.Join(dir, "broken.json"), filepath.Join(dir, "good.json")
	if err := os.WriteFile(broken, []byte(`{"s3cret`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(good, []byte(`{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", broken)
	if _, err := Options(t.Context(), "global", "p"); llm.CodeOf(err) != llm.CodeAuth || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("broken file: err = %v, want code authentication", err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", good)
	if opts, err := Options(t.Context(), "global", "p"); err != nil || len(opts) == 0 {
		t.Errorf("Options = %v, %v", opts, err)
	}
	for _, where := range [][2]string{{"", "p"}, {"global", ""}} {
		if _, err := Options(t.Context(), where[0], where[1]); llm.CodeOf(err) != llm.CodeInvalid {
			t.Errorf("Options(%q): err = %v, want code invalid_request", where, err)
		}
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	const models = "https://us-east5-aiplatform.googleapis.com/v1/projects/p%2F1/locations/us-east5/publishers/anthropic/models/"
	for _, c := range []struct{ path, body, url, sent string }{
		{"/v1/messages", `{"model":"a@1","max_tokens":1}`, models + "a@1:rawPredict", `{"anthropic_version":"v","max_tokens":1}`},
		{"/v1/messages", `{"model":"../x","stream":true,"system":"<&>"}`, models + "..%2Fx:streamRawPredict", `{"anthropic_version":"v","stream":true,"system":"<&>"}`},
		{"/v1/messages", `{"model":"m","anthropic_version":"own"}`, models + "m:rawPredict", `{"anthropic_version":"own"}`},
		{"/v1/messages/count_tokens", `{"model":"m"}`, models + "count-tokens:rawPredict", `{"anthropic_version":"v","model":"m"}`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://us-east5-aiplatform.googleapis.com"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("anthropic-version", "v")
		if err := rewrite(req, "us-east5", "p/1"); err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		sent, err := io.ReadAll(req.Body)
		if err != nil || string(sent) != c.sent || req.ContentLength != int64(len(sent)) {
			t.Errorf("%s: sent %s, %v; want %s", c.body, sent, err, c.sent)
		}
		if got := req.URL.String(); got != c.url || req.Header.Get("anthropic-version") != "" {
			t.Errorf("%s: sent to %s; want %s", c.body, got, c.url)
		}
	}
	for _, c := range [][2]string{{"/v1/models", `{}`}, {"/v1/messages", `{}`}, {"/v1/messages", `{`}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://x"+c[0], strings.NewReader(c[1]))
		if err != nil {
			t.Fatal(err)
		}
		if rewrite(req, "us-east5", "p") == nil {
			t.Errorf("%s %s is accepted", c[0], c[1])
		}
	}
}

// TestEndpoint covers regions that would send the token to another host.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{
		"global": "https://aiplatform.googleapis.com/", "eu": "https://aiplatform.eu.rep.googleapis.com/",
		"us-east5": "https://us-east5-aiplatform.googleapis.com/", "evil.example/": "", "a@b": "", "": "",
	} {
		if got, err := endpoint(region); got != want || (err == nil) == (want == "") {
			t.Errorf("endpoint(%q) = %q, %v; want %q", region, got, err, want)
		}
	}
}
