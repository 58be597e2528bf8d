package anthropic

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
)

func TestAnswer(t *testing.T) {
	t.Parallel()
	resp, events, err := ask(t, respond(200, hello))
	if err != nil {
		t.Fatal(err)
	}
	want := &llm.Response{
		ID: "msg_1", Model: "claude-haiku-5-5", StopReason: "end_turn",
		Content: []llm.Block{llm.TextBlock("Hello there")},
		Usage:   llm.Usage{InputTokens: 25, OutputTokens: 15},
		Source:  llm.SourceLive, Attempts: 1,
	}
	if diff := cmp.Diff(want, resp); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	wantEvents := []string{"start 0", "ping 0", "text 0 Hello", "text 0  there", "done 0"}
	if diff := cmp.Diff(wantEvents, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestUsage feeds the usage of message_start and of the message_deltas.
func TestUsage(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		start  string
		deltas []string
		want   llm.Usage
	}{
		{"cumulative, not summed", `{"input_tokens":10,"output_tokens":1}`, []string{`{"output_tokens":5}`, `{"output_tokens":9}`}, llm.Usage{InputTokens: 10, OutputTokens: 9}},
		{"last word on the input too", `{"input_tokens":10,"output_tokens":1}`, []string{`{"input_tokens":12,"cache_read_input_tokens":7,"output_tokens":5}`}, llm.Usage{InputTokens: 12, CacheReadTokens: 7, OutputTokens: 5}},
		{"writes without a split are of 5 minutes", `{"input_tokens":1,"cache_creation_input_tokens":40,"output_tokens":1}`, nil, llm.Usage{InputTokens: 1, OutputTokens: 1, CacheWrite5m: 40}},
		{"split writes", `{"cache_creation_input_tokens":40,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":30}}`, []string{`{"cache_creation_input_tokens":40,"output_tokens":2}`}, llm.Usage{OutputTokens: 2, CacheWrite5m: 10, CacheWrite1h: 30}},
		{"split without a total", `{"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":2}}`, nil, llm.Usage{CacheWrite5m: 1, CacheWrite1h: 2}},
		{"total beyond the split", `{"cache_creation_input_tokens":50,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":30}}`, nil, llm.Usage{CacheWrite5m: 20, CacheWrite1h: 30}},
		{"web searches", `{"server_tool_use":null}`, []string{`{"server_tool_use":{"web_search_requests":3,"web_fetch_requests":1},"output_tokens":2}`}, llm.Usage{OutputTokens: 2, WebSearches: 3}},
		{"nulls and nonsense", `{"input_tokens":null,"output_tokens":-3,"service_tier":"standard"}`, []string{`{}`}, llm.Usage{}},
	}
	for _, c := range cases {
		events := []string{`{"type":"message_start","message":{"id":"m","model":"x","usage":` + c.start + `}}`}
		for _, d := range c.deltas {
			events = append(events, `{"type":"message_delta","delta":{},"usage":`+d+`}`)
		}
		events = append(events, `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`, evStop)
		resp, _, err := ask(t, respond(200, sse(events...)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if resp.Usage != c.want {
			t.Errorf("%s: usage = %+v, want %+v", c.name, resp.Usage, c.want)
		}
	}
}

func TestStopReasons(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded", "brand_new"} {
		resp, _, err := ask(t, respond(200, sse(evStart, `{"type":"message_delta","delta":{"stop_reason":"`+reason+`","stop_sequence":"END","stop_details":{"type":"refusal","category":null}},"usage":{"output_tokens":1}}`, evStop)))
		if err != nil || resp.StopReason != reason || resp.StopSequence != "END" {
			t.Errorf("stop reason %s: %+v, %v", reason, resp, err)
		}
	}
}

// errReader returns an error instead of io.EOF.
type errReader struct {
	io.Reader
	err error
}

func (r errReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = r.err
	}
	return n, err
}

func TestBrokenStreams(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		body io.Reader
		code llm.Code
	}{
		{"cut after a delta", strings.NewReader(sse(evStart, evText0, evHello)), llm.CodeIncomplete},
		{"cut before message_stop", strings.NewReader(sse(evStart, evText0, evHello, evStop0, evEnd)), llm.CodeIncomplete},
		{"cut inside message_stop", strings.NewReader(strings.TrimSuffix(hello, "\n")), llm.CodeIncomplete},
		{"no stop reason", strings.NewReader(sse(evStart, evText0, evHello, evStop0, evStop)), llm.CodeIncomplete},
		{"empty", strings.NewReader(""), llm.CodeIncomplete},
		{"only pings", strings.NewReader(sse(evPing, evPing)), llm.CodeIncomplete},
		{"JSON in disguise", strings.NewReader(`{"type":"message","content":[]}`), llm.CodeIncomplete},
		{"connection broke", errReader{strings.NewReader(sse(evStart, evText0)), io.ErrUnexpectedEOF}, llm.CodeConnection},
		{"connection broke at once", errReader{strings.NewReader(""), errors.New("stream error: INTERNAL_ERROR")}, llm.CodeConnection},
		{"not JSON", strings.NewReader("event: message_start\ndata: {\n\n"), llm.CodeServer},
		{"a known field of another type", strings.NewReader(sse(`{"type":"message_start","message":7}`)), llm.CodeServer},
		{"events before the start", strings.NewReader(sse(evText0)), llm.CodeServer},
		{"end before the start", strings.NewReader(sse(evStop)), llm.CodeServer},
		{"two starts", strings.NewReader(sse(evStart, evStart)), llm.CodeServer},
		{"delta of no block", strings.NewReader(sse(evStart, evHello)), llm.CodeServer},
		{"a block too far", strings.NewReader(sse(evStart, `{"type":"content_block_start","index":1000000000,"content_block":{"type":"text","text":""}}`)), llm.CodeServer},
		{"negative index", strings.NewReader(sse(evStart, evText0, `{"type":"content_block_delta","index":-1,"delta":{"type":"text_delta","text":"x"}}`)), llm.CodeServer},
		{"a block of no type", strings.NewReader(sse(evStart, `{"type":"content_block_start","index":0,"content_block":{}}`)), llm.CodeServer},
		{"a line beyond all bounds", io.MultiReader(strings.NewReader("data: "), io.LimitReader(zeros{}, 40<<20)), llm.CodeServer},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var open atomic.Int32
			_, events, err := ask(t, transport(func(r *http.Request) (*http.Response, error) {
				return response(r, 200, watch(c.body, &open)), nil
			}))
			if _, ok := errors.AsType[*llm.Error](err); !ok || llm.CodeOf(err) != c.code {
				t.Errorf("err = %v after %q, want code %v", err, events, c.code)
			}
			if open.Load() != 0 {
				t.Error("the body is still open")
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestErrorEvents(t *testing.T) {
	t.Parallel()
	cases := map[string]llm.Code{
		"overloaded_error":      llm.CodeOverloaded,
		"api_error":             llm.CodeServer,
		"timeout_error":         llm.CodeServer,
		"rate_limit_error":      llm.CodeRateLimit,
		"invalid_request_error": llm.CodeInvalid,
		"authentication_error":  llm.CodeAuth,
		"throttlingException":   llm.CodeRateLimit,
		"brand_new":             llm.CodeServer,
	}
	for typ, code := range cases {
		body := sse(evStart, evText0, evHello, `{"type":"error","error":{"type":"`+typ+`","message":"Something happened"}}`, evEnd, evStop)
		// The headers precede the stream's failure and do not describe it.
		_, events, err := ask(t, respond(200, body, "Retry-After", "7", "X-Should-Retry", "false"))
		e, ok := errors.AsType[*llm.Error](err)
		if !ok || e.Code != code || e.RequestID != "req_1" || e.RetryAfter >= 0 || !strings.Contains(e.Message, "Something happened") {
			t.Errorf("%s: err = %#v, want code %v", typ, err, code)
		}
		if len(events) != 2 {
			t.Errorf("%s: events = %q", typ, events)
		}
	}
	_, _, err := ask(t, respond(200, "event: error\ndata: gone\n\n"))
	if llm.CodeOf(err) != llm.CodeServer {
		t.Errorf("error event that is not JSON: err = %v, want code server", err)
	}
}

func TestNotAStream(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		rt     transport
		code   llm.Code
		saying string
	}{
		{"a whole answer as JSON", respond(200, `{"type":"message","content":[{"type":"text","text":"secret answer"}]}`, "Content-Type", "application/json"), llm.CodeInvalid, "ANTHROPIC_BASE_URL"},
		{"an error as JSON", respond(200, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, "Content-Type", "application/json; charset=utf-8"), llm.CodeOverloaded, "Overloaded"},
		{"a web page", respond(200, `<html>Welcome</html>`, "Content-Type", "text/html"), llm.CodeInvalid, "text/html"},
		{"a redirect", respond(302, ``, "Content-Type", "text/html", "Location", "https://elsewhere.example/"), llm.CodeInvalid, "redirects"},
	}
	for _, c := range cases {
		client := testClient(t, c.rt, func(o *Options) { o.HTTPClient.CheckRedirect = newHTTPClient().CheckRedirect })
		_, events, err := collect(client, t.Context(), testRequest())
		if llm.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.saying) || len(events) != 0 {
			t.Errorf("%s: events %q, err = %v; want code %v and %q", c.name, events, err, c.code, c.saying)
		}
	}
	// Some gateways send streams with another media type.
	if _, _, err := ask(t, respond(200, hello, "Content-Type", "text/plain; charset=utf-8")); err != nil {
		t.Errorf("a stream as text/plain: %v", err)
	}
}

func TestBreakClosesTheBody(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 5; n++ {
		var open atomic.Int32
		c := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
			return response(r, 200, watch(strings.NewReader(hello), &open)), nil
		}))
		seen := 0
		for _, err := range c.Stream(t.Context(), testRequest()) {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == n {
				break
			}
		}
		if open.Load() != 0 {
			t.Errorf("break after %d events leaves the body open", n)
		}
	}
}

// slowStream returns a transport whose body stays open until the request's
// context ends, like a silent service.
func slowStream(first string) transport {
	return func(r *http.Request) (*http.Response, error) {
		pr, pw := io.Pipe()
		go func() {
			_, _ = io.WriteString(pw, first)
			<-r.Context().Done()
			pw.CloseWithError(r.Context().Err())
		}()
		return response(r, 200, pr), nil
	}
}

func TestContextEndsTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("the user went home")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(gone) })
		begin := time.Now()
		_, events, err := collect(testClient(t, slowStream(sse(evStart, evText0, evHello))), ctx, testRequest())
		if llm.CodeOf(err) != llm.CodeCanceled || !errors.Is(err, gone) || len(events) != 2 {
			t.Errorf("events %q, err = %v", events, err)
		}
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("ended after %v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _, err := collect(testClient(t, slowStream(sse(evStart))), ctx, testRequest())
		if llm.CodeOf(err) != llm.CodeTimeout {
			t.Errorf("err = %v, want code timeout", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _, err := collect(testClient(t, transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})), ctx, testRequest())
		if llm.CodeOf(err) != llm.CodeTimeout {
			t.Errorf("no headers: err = %v, want code timeout", err)
		}
	})
}

func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c := testClient(t, slowStream(sse(evStart, evPing)))
		_, _, err := collect(c, t.Context(), testRequest())
		if llm.CodeOf(err) != llm.CodeConnection || !strings.Contains(err.Error(), "silent for 5m0s") {
			t.Errorf("err = %v, want a word on silence", err)
		}
		if d := time.Since(begin); d != 5*time.Minute {
			t.Errorf("ended after %v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// The caller's own time does not count as silence.
		c := testClient(t, respond(200, hello), func(o *Options) { o.Silence = time.Second })
		for _, err := range c.Stream(t.Context(), testRequest()) {
			if err != nil {
				t.Error(err)
			}
			<-time.After(time.Minute)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		c := testClient(t, slowStream(sse(evStart)), func(o *Options) { o.Silence = -1 })
		if _, _, err := collect(c, ctx, testRequest()); llm.CodeOf(err) != llm.CodeTimeout {
			t.Errorf("err = %v, want code timeout", err)
		}
	})
}

// TestDrainIsBounded checks that a server that leaves the connection open after
// the last event does not delay the caller.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		resp, _, err := collect(testClient(t, slowStream(hello)), t.Context(), testRequest())
		if err != nil || resp.Text() != "Hello there" {
			t.Errorf("response %v, err = %v", resp, err)
		}
		if d := time.Since(begin); d > drainTime {
			t.Errorf("ended after %v", d)
		}
	})
}

// TestReportedUsage reads what the service reports before an answer breaks off,
// since it bills that.
func TestReportedUsage(t *testing.T) {
	t.Parallel()
	start := `{"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":7,"cache_creation_input_tokens":3,"output_tokens":1}}}`
	huge := `{"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":9000000000000000000,"output_tokens":9000000000000000000}}}`
	delta := `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}`
	for name, c := range map[string]struct {
		body string
		want llm.Usage
	}{
		"at the start":    {sse(start, evText0), llm.Usage{InputTokens: 7, CacheWrite5m: 3, OutputTokens: 1}},
		"before the end":  {sse(start, evText0, evStop0, delta), llm.Usage{InputTokens: 7, CacheWrite5m: 3, OutputTokens: 5}},
		"beyond all sums": {sse(huge, evText0), llm.Usage{InputTokens: maxTokens, OutputTokens: maxTokens}},
	} {
		client := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
			return response(r, 200, io.NopCloser(strings.NewReader(c.body))), nil
		}))
		meter := llm.NewMeter(testRequest())
		for ev, err := range client.Stream(t.Context(), testRequest()) {
			meter.See(ev, err)
		}
		charge := meter.Charge(llm.Prices())
		if charge.Usage != c.want || charge.Basis != llm.BasisPart || charge.Cost < 0 {
			t.Errorf("%s: %+v", name, charge)
		}
	}
}
