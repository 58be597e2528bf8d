package bedrock

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2/option"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hermetic keeps the machine's own AWS configuration out of the test.
func hermetic(t *testing.T) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func client(t *testing.T, rt transport) *anthropic.Client {
	t.Helper()
	c, err := anthropic.New(anthropic.Options{
		Backend: anthropic.BackendBedrock, Region: "us-east-1", HTTPClient: &http.Client{Transport: rt},
		SDKOptions: func(ctx context.Context) ([]option.RequestOption, error) { return Options(ctx, "us-east-1") },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request() *llm.Request {
	return &llm.Request{Model: "anthropic.claude-haiku-5-5", MaxTokens: 100, Messages: []llm.Message{llm.UserText("hi")}, Betas: []string{"b1"}}
}

// frames returns events in the binary framing of AWS.
func frames(t *testing.T, headers map[string]string, events ...string) io.ReadCloser {
	t.Helper()
	var buf bytes.Buffer
	for _, e := range events {
		payload := []byte(e)
		if headers[":message-type"] == "event" {
			payload, _ = json.Marshal(map[string]string{"bytes": base64.StdEncoding.EncodeToString([]byte(e))})
		}
		var h eventstream.Headers
		for name, value := range headers {
			h.Set(name, eventstream.StringValue(value))
		}
		if err := eventstream.NewEncoder().Encode(&buf, eventstream.Message{Headers: h, Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	return io.NopCloser(&buf)
}

func stream(r *http.Request, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/vnd.amazon.eventstream"}, "X-Amzn-Requestid": {"aws-1"}}, Body: body, ContentLength: -1, Request: r}
}

func TestAnswer(t *testing.T) {
	hermetic(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	c := client(t, func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if got := r.URL.String(); got != "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-haiku-5-5/invoke-with-response-stream" {
			t.Errorf("URL = %s", got)
		}
		if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") {
			t.Errorf("Authorization = %q", got)
		}
		var fields map[string]any
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Error(err)
		}
		if fields["anthropic_version"] != anthropic.APIVersion || fields["model"] != nil || fields["anthropic_beta"] == nil {
			t.Errorf("body = %s", body)
		}
		return stream(r, frames(t, map[string]string{":message-type": "event", ":event-type": "chunk"},
			`{"type":"message_start","message":{"id":"msg_1","model":"claude-haiku-5-5","usage":{"input_tokens":3,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}`,
			`{"type":"content_block_stop","index":0}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`,
			`{"type":"message_stop"}`)), nil
	})
	resp, err := llm.Collect(c.Stream(t.Context(), request()))
	if err != nil || resp.Text() != "hello" || resp.Usage.OutputTokens != 2 {
		t.Errorf("response = %+v, %v", resp, err)
	}
}

func TestErrors(t *testing.T) {
	hermetic(t)
	t.Setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-secret")
	cases := []struct {
		name string
		rt   transport
		code llm.Code
	}{
		{"exception in the stream", func(r *http.Request) (*http.Response, error) {
			return stream(r, frames(t, map[string]string{":message-type": "exception", ":exception-type": "throttlingException"}, `{"message":"Too many tokens"}`)), nil
		}, llm.CodeRateLimit},
		{"refusal", func(r *http.Request) (*http.Response, error) {
			if got := r.Header.Get("Authorization"); got != "Bearer bedrock-secret" {
				t.Errorf("Authorization = %q", got)
			}
			return &http.Response{StatusCode: 403, Header: http.Header{"Content-Type": {"application/json"}, "X-Amzn-Requestid": {"aws-1"}}, Body: io.NopCloser(strings.NewReader(`{"message":"You don't have access to the model"}`)), Request: r}, nil
		}, llm.CodeAuth},
		{"cut", func(r *http.Request) (*http.Response, error) {
			return stream(r, io.NopCloser(strings.NewReader("\x00\x00"))), nil
		}, llm.CodeConnection},
	}
	for _, c := range cases {
		_, err := llm.Collect(client(t, c.rt).Stream(t.Context(), request()))
		if llm.CodeOf(err) != c.code || strings.Contains(err.Error(), "bedrock-secret") {
			t.Errorf("%s: err = %v, want code %v", c.name, err, c.code)
		}
		if e, ok := errors.AsType[*llm.Error](err); ok && c.name != "cut" && e.RequestID != "aws-1" {
			t.Errorf("%s: request id = %q", c.name, e.RequestID)
		}
	}
}

func TestNoCredentials(t *testing.T) {
	hermetic(t)
	c := client(t, func(r *http.Request) (*http.Response, error) {
		t.Error("a call was made")
		return nil, io.EOF
	})
	_, err := llm.Collect(c.Stream(t.Context(), request()))
	if llm.CodeOf(err) != llm.CodeAuth || !strings.Contains(err.Error(), "AWS_PROFILE") {
		t.Errorf("err = %v, want code authentication and what to do", err)
	}
	if _, err := Options(t.Context(), ""); llm.CodeOf(err) != llm.CodeInvalid {
		t.Errorf("no region: err = %v, want code invalid_request", err)
	}
	t.Setenv("AWS_PROFILE", "missing")
	if _, err := Options(t.Context(), "us-east-1"); llm.CodeOf(err) != llm.CodeAuth {
		t.Errorf("no such profile: err = %v, want code authentication", err)
	}
}

func TestCredentialsCannotBeFetched(t *testing.T) {
	t.Parallel()
	_, err := credentials{aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, &timeoutError{}
	})}.Retrieve(t.Context())
	if llm.CodeOf(err) != llm.CodeConnection {
		t.Errorf("err = %v, want code connection", err)
	}
}

type timeoutError struct{}

func (*timeoutError) Error() string   { return "dial timed out" }
func (*timeoutError) Timeout() bool   { return true }
func (*timeoutError) Temporary() bool { return true }
