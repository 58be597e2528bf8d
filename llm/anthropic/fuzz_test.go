package anthropic

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

// FuzzSSE feeds arbitrary bytes as the body of a stream. The call must yield
// exactly one answer or error, and an answer only if the body holds a
// message_stop.
func FuzzSSE(f *testing.F) {
	f.Add([]byte(hello))
	f.Add([]byte(strings.ReplaceAll(hello, "\n", "\r\n")))
	f.Add([]byte(sse(evStart, evText0, evHello)))
	f.Add([]byte(sse(evStart, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)))
	f.Add([]byte(sse(evStart,
		`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"grep","input":{},"caller":{}}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}`,
		`{"type":"content_block_start","index":2,"content_block":{"type":"text","text":"x","citations":[]}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"type":"x"}}}`,
		`{"type":"content_block_start","index":3,"content_block":{"type":"compaction","content":null}}`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"compaction_delta","content":"x"}}`,
		evEnd, evStop)))
	f.Add([]byte(`{"type":"message","content":[]}`))
	f.Add([]byte("event: message_start\n: comment\ndata:{}\ndata: \n\ndata: [DONE]\n\nevent: message_stop\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var open atomic.Int32
		c := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
			return response(r, 200, watch(bytes.NewReader(body), &open)), nil
		}))
		done, failed := 0, 0
		var text strings.Builder
		var resp *llm.Response
		for ev, err := range c.Stream(t.Context(), testRequest()) {
			switch {
			case done+failed > 0:
				t.Fatalf("pair (%q, %v) after the end", ev.Type, err)
			case err != nil:
				failed++
				if _, ok := errors.AsType[*llm.Error](err); !ok || llm.CodeOf(err).String() == "" {
					t.Errorf("err = %#v is not an *llm.Error", err)
				}
			case ev.Type == llm.EventDone:
				done++
				resp = ev.Response
			case ev.Type == llm.EventText:
				text.WriteString(ev.Text)
			case ev.Type == "":
				t.Error("event without a type")
			}
		}
		if done+failed != 1 {
			t.Fatalf("%d answers and %d errors", done, failed)
		}
		if open.Load() != 0 {
			t.Error("the body is still open")
		}
		if done == 0 {
			return
		}
		// JSON may escape the name.
		if !bytes.Contains(body, []byte("message_stop")) && !bytes.Contains(body, []byte(`\u`)) {
			t.Error("an answer without message_stop")
		}
		if resp == nil || resp.StopReason == "" || resp.Source != llm.SourceLive || resp.Attempts != 1 {
			t.Fatalf("response = %+v", resp)
		}
		if got := resp.Text(); got != text.String() {
			t.Errorf("pieces join to %q, the response's text is %q", text.String(), got)
		}
		// A received answer can be sent back.
		req := testRequest()
		req.Messages = append(req.Messages, llm.Message{Role: llm.RoleAssistant, Content: resp.Content})
		if _, err := encode(req); err != nil {
			t.Errorf("the answer cannot be sent back: %v", err)
		}
		if u := resp.Usage; min(u.InputTokens, u.OutputTokens, u.CacheReadTokens, u.CacheWrite5m, u.CacheWrite1h, u.WebSearches) < 0 {
			t.Errorf("usage = %+v", u)
		}
	})
}

// FuzzErrorBody feeds arbitrary bytes as an error body.
func FuzzErrorBody(f *testing.F) {
	f.Add(400, []byte(apiError("invalid_request_error", "Say hi.", "organization_on_hold")), "true", "7")
	f.Add(502, []byte("<html>"), "", "")
	f.Add(429, []byte(`[{"error":{"message":1}},{}]`), "false", "Tue, 24 Nov 2026 12:00:00 GMT")
	f.Fuzz(func(t *testing.T, status int, body []byte, retry, after string) {
		if status < 300 || status > 999 || status == 304 {
			return // no status of a failure
		}
		c := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
			return response(r, status, io.NopCloser(bytes.NewReader(body)), "X-Should-Retry", retry, "Retry-After", after), nil
		}))
		_, events, err := collect(c, t.Context(), testRequest())
		e, ok := errors.AsType[*llm.Error](err)
		if !ok || len(events) != 0 || e.Code == 0 || e.Message == "" {
			t.Fatalf("events %q, err = %#v", events, err)
		}
		if strings.Contains(e.Error(), testKey) || strings.ContainsAny(e.Error(), "\n\x1b\x00") || len(e.Error()) > 2*maxMessage {
			t.Errorf("err = %q", e)
		}
	})
}
