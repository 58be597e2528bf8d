package anthropic

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2/option"
	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
)

const aBatch = `{"id":"msgbatch_1","type":"message_batch","processing_status":"%s","request_counts":{"processing":1,"succeeded":2,"errored":3,"canceled":4,"expired":5},"created_at":"2026-11-23T10:00:00Z","expires_at":"2026-11-24T10:00:00Z","ended_at":null}`

func TestBatchCreate(t *testing.T) {
	t.Parallel()
	var body, betas, path string
	b := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
		body, betas, path = readBody(t, r), r.Header.Get(betaHeader), r.URL.Path
		return response(r, 200, io.NopCloser(strings.NewReader(strings.Replace(aBatch, "%s", "in_progress", 1))), "Content-Type", "application/json"), nil
	}), func(o *Options) { o.Betas = []string{"always"} }).Batches()
	params, err := b.Params(testRequest())
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Create(t.Context(), []llm.BatchItem{{ID: "a", Params: params}, {ID: "b", Params: json.RawMessage(`{"x":1}`)}}, []string{"once"})
	if err != nil || got.ID != "msgbatch_1" || got.Requests != 15 || got.Ended || got.Created.Hour() != 10 {
		t.Errorf("created %+v, %v", got, err)
	}
	want := `{"requests":[{"custom_id":"a","params":{"model":"claude-haiku-5-5","max_tokens":1000,"messages":[{"role":"user","content":[{"type":"text","text":"Say hi."}]}]}},{"custom_id":"b","params":{"x":1}}]}`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if betas != "always,once" || path != "/v1/messages/batches" {
		t.Errorf("betas %q, path %q", betas, path)
	}
}

func TestBatchPaths(t *testing.T) {
	t.Parallel()
	var seen []string
	b := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
		seen = append(seen, r.Method+" "+r.URL.RequestURI())
		text := strings.Replace(aBatch, "%s", "ended", 1)
		if r.URL.RawQuery != "" {
			text = `{"data":[` + text + `],"has_more":true,"last_id":"msgbatch_1"}`
		}
		return response(r, 200, io.NopCloser(strings.NewReader(text)), "Content-Type", "application/json"), nil
	})).Batches()
	if got, err := b.Get(t.Context(), "msgbatch_1"); err != nil || !got.Ended {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := b.Get(t.Context(), "other"); err == nil {
		t.Error("a batch with another id is no error")
	}
	page, next, err := b.List(t.Context(), "msgbatch_2")
	if err != nil || len(page) != 1 || next != "msgbatch_1" {
		t.Errorf("listed %v, %q, %v", page, next, err)
	}
	if err := b.Cancel(t.Context(), "msgbatch_1"); err != nil {
		t.Error(err)
	}
	want := []string{
		"GET /v1/messages/batches/msgbatch_1", "GET /v1/messages/batches/other",
		"GET /v1/messages/batches?after_id=msgbatch_2&limit=100", "POST /v1/messages/batches/msgbatch_1/cancel",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestBatchResults(t *testing.T) {
	t.Parallel()
	lines := `{"custom_id":"a","result":{"type":"succeeded","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-5-5","content":[{"type":"text","text":"Hi","citations":null},{"type":"tool_use","id":"toolu_1","name":"grep","input":{"q":"x"}},{"type":"novel","x":1}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":7,"cache_creation_input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":3,"ephemeral_5m_input_tokens":0},"service_tier":"batch"}}}}
{"custom_id":"b","result":{"type":"errored","error":{"type":"error","error":{"type":"overloaded_error","message":"busy with Say hi to everybody out there"},"request_id":null}}}
{"custom_id":"c","result":{"type":"expired"}}
{"custom_id":"d","result":{"type":"canceled"}}
{"custom_id":"e","result":{"type":"novel"}}
{"custom_id":"f","result":{"type":"succeeded","message":{"id":"msg_2","content":[],"usage":{}}}}
`
	accept := ""
	b := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
		accept = r.Header.Get("Accept")
		return response(r, 200, io.NopCloser(strings.NewReader(lines)), "Content-Type", "application/x-jsonl"), nil
	})).Batches()
	got := map[string]llm.BatchResult{}
	for res, err := range b.Results(t.Context(), "msgbatch_1", func(string) *llm.Request {
		return &llm.Request{Messages: []llm.Message{llm.UserText("Say hi to everybody out there")}}
	}) {
		if err != nil {
			t.Fatal(err)
		}
		got[res.ID] = res
	}
	want := &llm.Response{
		ID: "msg_1", Model: "claude-haiku-5-5", StopReason: "end_turn", Source: llm.SourceLive, Attempts: 1,
		Content: []llm.Block{
			llm.TextBlock("Hi"),
			{Type: llm.BlockToolUse, ID: "toolu_1", Name: "grep", Input: json.RawMessage(`{"q":"x"}`)},
			{Type: "novel", Raw: json.RawMessage(`{"type":"novel","x":1}`)},
		},
		Usage: llm.Usage{InputTokens: 5, OutputTokens: 7, CacheWrite1h: 3, Batch: true},
	}
	if diff := cmp.Diff(want, got["a"].Response); diff != "" || got["a"].Outcome != llm.BatchSucceeded {
		t.Errorf("a (-want +got):\n%s", diff)
	}
	if err := got["b"].Err; llm.CodeOf(err) != llm.CodeOverloaded || strings.Contains(err.Error(), "everybody") {
		t.Errorf("b: %v", err)
	}
	if got["c"].Outcome != llm.BatchExpired || got["d"].Outcome != llm.BatchCanceled {
		t.Errorf("c, d: %+v, %+v", got["c"], got["d"])
	}
	if got["e"].Outcome != llm.BatchErrored || llm.CodeOf(got["e"].Err) != llm.CodeServer || llm.CodeOf(got["f"].Err) != llm.CodeIncomplete {
		t.Errorf("e, f: %+v, %+v", got["e"], got["f"])
	}
	if accept != "application/x-jsonl" {
		t.Errorf("accepts %q", accept)
	}
}

func TestBatchResultsBreakOff(t *testing.T) {
	t.Parallel()
	line := `{"custom_id":"a","result":{"type":"expired"}}` + "\n"
	bodies := map[string]struct {
		body io.Reader
		code llm.Code
	}{
		"cut":      {strings.NewReader(line + `{"custom_id":`), llm.CodeConnection},
		"nonsense": {strings.NewReader(line + `<html>`), llm.CodeServer},
		"shape":    {strings.NewReader(line + `{"custom_id":7}`), llm.CodeServer},
	}
	for name, tt := range bodies {
		b := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
			return response(r, 200, io.NopCloser(tt.body), "Content-Type", "application/x-jsonl"), nil
		})).Batches()
		whole, last := 0, error(nil)
		for _, err := range b.Results(t.Context(), "x", func(string) *llm.Request { return nil }) {
			if last = err; err == nil {
				whole++
			}
		}
		if whole != 1 || llm.CodeOf(last) != tt.code {
			t.Errorf("%s: %d results, then %v; want code %v", name, whole, last, tt.code)
		}
	}
}

func TestBatchErrors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		status int
		body   string
		code   llm.Code
		text   string
	}{
		{404, `{"type":"error","error":{"type":"not_found_error","message":"no such batch"}}`, llm.CodeNotFound, "no such batch"},
		{429, `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`, llm.CodeRateLimit, "slow down"},
		{302, ``, llm.CodeInvalid, "redirects"},
		{500, `oops`, llm.CodeServer, "HTTP 500"},
		{200, `not JSON`, llm.CodeServer, "an unexpected response"},
		{200, `<html>`, llm.CodeServer, "an unexpected response"},
		{200, `{}`, llm.CodeServer, "without an id"},
	}
	for _, tt := range cases {
		b := testClient(t, respond(tt.status, tt.body, "Content-Type", "application/json")).Batches()
		_, err := b.Create(t.Context(), []llm.BatchItem{{ID: "a", Params: json.RawMessage(`{}`)}}, nil)
		if llm.CodeOf(err) != tt.code || err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%d %s: %v, want code %v and %q", tt.status, tt.body, err, tt.code, tt.text)
		}
		if err != nil && strings.Contains(err.Error(), testKey) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestBatchParams(t *testing.T) {
	t.Parallel()
	b := testClient(t, respond(200, "")).Batches()
	for _, name := range []string{"stream", "speed", "thread"} {
		req := testRequest()
		req.Extra = map[string]json.RawMessage{name: json.RawMessage(`"x"`)}
		if _, err := b.Params(req); llm.CodeOf(err) != llm.CodeInvalid || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	elsewhere := testClient(t, respond(200, ""), func(o *Options) {
		o.Backend, o.SDKOptions = BackendBedrock, func(context.Context) ([]option.RequestOption, error) { return nil, nil }
	}).Batches()
	if _, err := elsewhere.Params(testRequest()); llm.CodeOf(err) != llm.CodeInvalid || !strings.Contains(err.Error(), "Bedrock") {
		t.Errorf("Bedrock: %v", err)
	}
}
