package anthropic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

const testKey = "sk-ant-test-0123456789abcdef"

// transport is an in-memory http.RoundTripper.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// respond returns a transport that answers every request with the same status,
// headers and body. header lists names and values alternately.
func respond(status int, body string, header ...string) transport {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, status, io.NopCloser(strings.NewReader(body)), header...), nil
	}
}

func response(r *http.Request, status int, body io.ReadCloser, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}, "Request-Id": {"req_1"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: body, ContentLength: -1, Request: r}
}

func testClient(tb testing.TB, rt http.RoundTripper, change ...func(*Options)) *Client {
	tb.Helper()
	opts := Options{APIKey: testKey, KeySource: "ANTHROPIC_API_KEY", HTTPClient: &http.Client{Transport: rt}}
	for _, f := range change {
		f(&opts)
	}
	c, err := New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func testRequest() *llm.Request {
	return &llm.Request{Model: "claude-haiku-5-5", MaxTokens: 1000, Messages: []llm.Message{llm.UserText("Say hi.")}}
}

// ask makes one call over rt and returns the texts of its events.
func ask(tb testing.TB, rt http.RoundTripper) (*llm.Response, []string, error) {
	tb.Helper()
	return collect(testClient(tb, rt), tb.Context(), testRequest())
}

func collect(m llm.Model, ctx context.Context, req *llm.Request) (resp *llm.Response, events []string, err error) {
	for ev, e := range m.Stream(ctx, req) {
		if e != nil {
			return nil, events, e
		}
		if ev.Type == llm.EventUsage {
			continue // TestReportedUsage looks at these
		}
		events = append(events, strings.TrimSpace(fmt.Sprintf("%s %d %s", ev.Type, ev.Index, ev.Text)))
		resp = ev.Response
	}
	return resp, events, nil
}

// sse encodes events as a stream. The type in an event's JSON gives its event
// line.
func sse(events ...string) string {
	var sb strings.Builder
	for _, e := range events {
		var typed struct{ Type string }
		if err := json.Unmarshal([]byte(e), &typed); err != nil {
			panic(err)
		}
		fmt.Fprintf(&sb, "event: %s\ndata: %s\n\n", typed.Type, e)
	}
	return sb.String()
}

const (
	evStart = `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}`
	evPing  = `{"type":"ping"}`
	evText0 = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"","citations":null}}`
	evHello = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}`
	evThere = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" there"}}`
	evStop0 = `{"type":"content_block_stop","index":0}`
	evEnd   = `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}`
	evStop  = `{"type":"message_stop"}`
)

// hello is a complete answer.
var hello = sse(evStart, evText0, evPing, evHello, evThere, evStop0, evEnd, evStop)

// watchedBody counts open bodies.
type watchedBody struct {
	io.Reader
	open *atomic.Int32
	once atomic.Bool
}

func watch(r io.Reader, open *atomic.Int32) *watchedBody {
	open.Add(1)
	return &watchedBody{Reader: r, open: open}
}

func (b *watchedBody) Close() error {
	if !b.once.Swap(true) {
		b.open.Add(-1)
	}
	return nil
}

// readBody returns a request's body as compact JSON.
func readBody(tb testing.TB, r *http.Request) string {
	tb.Helper()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		tb.Fatal(err)
	}
	var buf bytes.Buffer
	if err := json.Compact(&buf, raw); err != nil {
		tb.Fatalf("the body is not JSON: %v\n%s", err, raw)
	}
	if buf.Len() != len(raw) {
		tb.Errorf("the body is not compact: %s", raw)
	}
	return buf.String()
}

func TestTemperatureIsSentInTheOlderVersion(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"temperature": "2023-06-01", "other": APIVersion} {
		var got string
		client := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Anthropic-Version")
			return response(r, 500, io.NopCloser(strings.NewReader("{}"))), nil
		}))
		req := testRequest()
		req.Extra = map[string]json.RawMessage{name: json.RawMessage("0.5")}
		if _, _, err := collect(client, t.Context(), req); err == nil || got != want {
			t.Errorf("with %s: version %q, want %q (%v)", name, got, want, err)
		}
	}
}
