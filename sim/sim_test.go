package sim_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

// tester is a test of the testing package or of rapid.
type tester interface {
	rapid.TB
	Context() context.Context
}

// post sends a body to /v1/messages in memory.
func post(t tester, server *sim.Server, body string) (*http.Response, string) {
	t.Helper()
	return postTo(t, server, "/v1/messages", body)
}

func postTo(t tester, server *sim.Server, path, body string) (*http.Response, string) {
	t.Helper()
	return send(t, server, http.MethodPost, path, body)
}

func getFrom(t tester, server *sim.Server, path string) (*http.Response, string) {
	t.Helper()
	return send(t, server, http.MethodGet, path, "")
}

func send(t tester, server *sim.Server, method, path, body string) (*http.Response, string) {
	t.Helper()
	return sendVersion(t, server, method, path, body, "2026-10-21")
}

func sendVersion(t tester, server *sim.Server, method, path, body, version string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://sim.invalid"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-api-key", "sk-test")
	req.Header.Set("anthropic-version", version)
	res, err := server.RoundTripper().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(data)
}

// reply holds the fields of an answer that tests check.
type reply struct {
	Content []struct {
		Type, Text, ID, Name, Thinking, Signature string
		Input                                     json.RawMessage
	}
	StopReason   string `json:"stop_reason"`
	StopSequence string `json:"stop_sequence"`
	Usage        struct {
		Input  int `json:"input_tokens"`
		Output int `json:"output_tokens"`
		Write  int `json:"cache_creation_input_tokens"`
		Read   int `json:"cache_read_input_tokens"`
	}
	Error struct{ Type, Message string }
}

// decode parses JSON.
func decode(t tester, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// text returns the text of the answer's text blocks.
func (r reply) text() string {
	text := ""
	for _, b := range r.Content {
		text += b.Text
	}
	return text
}

func answerTo(t tester, server *sim.Server, body string) reply {
	t.Helper()
	_, text := post(t, server, body)
	var r reply
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return r
}

func TestAnswersAreBuiltFromTheRequest(t *testing.T) {
	prompt := "Review this\n\n<file path=\"a.py\">\ndef f():\n    pass  \n# TODO: more\n</file>\n\n<step id=\"linter\">\nfound two problems\n</step>"
	quoted, _ := json.Marshal(prompt)
	body := `{"model":"claude-haiku-5-5","max_tokens":1000,"messages":[{"role":"user","content":` + string(quoted) + `}]}`
	server := sim.New(sim.Options{})
	text := answerTo(t, server, body).text()
	for _, want := range []string{"simulated", `Task: "Review this"`, "a.py: 3 lines", "1 functions", "line 3", "1 lines with trailing space", `linter (3 words): "found two problems"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the answer lacks %q:\n%s", want, text)
		}
	}
	if again := answerTo(t, sim.New(sim.Options{Seed: 9}), body).text(); again != text {
		t.Error("the same request has two answers")
	}
}

func TestAnswerLimits(t *testing.T) {
	server := sim.New(sim.Options{})
	r := answerTo(t, server, `{"model":"claude-haiku-5-5","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}`)
	if r.StopReason != "max_tokens" || r.Usage.Output != 20 || r.text() == "" {
		t.Errorf("stopped by %s after %d tokens", r.StopReason, r.Usage.Output)
	}
	r = answerTo(t, server, `{"model":"claude-haiku-5-5","max_tokens":900,"stop_sequences":["Task"],"messages":[{"role":"user","content":"hi"}]}`)
	if r.StopReason != "stop_sequence" || r.StopSequence != "Task" || strings.Contains(r.text(), "Task") {
		t.Errorf("stopped by %s %q: %s", r.StopReason, r.StopSequence, r.text())
	}
	r = answerTo(t, server, `{"model":"claude-haiku-5-5","max_tokens":0,"messages":[{"role":"user","content":"hi"}]}`)
	if r.StopReason != "max_tokens" || len(r.Content) != 0 || r.Usage.Output != 0 {
		t.Errorf("a call that only warms the cache: %+v", r)
	}
}

func TestSchemas(t *testing.T) {
	schema := `{"type":"object","additionalProperties":false,"required":["list","kind","node"],"properties":{
		"list":{"type":"array","description":"Numbers\n\n{minItems: 3}","items":{"type":"number","description":"{maximum: 3, minimum: 2}"}},
		"kind":{"const":"fixed"},"maybe":{"type":["null","boolean"]},
		"node":{"$ref":"#/$defs/node"}},
		"$defs":{"node":{"type":"object","additionalProperties":false,"required":["name"],"properties":{"name":{"type":"string","description":"{maxLength: 12}"}}}}}`
	r := answerTo(t, sim.New(sim.Options{}), `{"model":"claude-haiku-5-5","max_tokens":9000,"messages":[{"role":"user","content":"hi"}],"output_config":{"format":{"type":"json_schema","schema":`+schema+`}}}`)
	var v struct {
		List  []float64
		Kind  string
		Maybe *bool
		Node  struct{ Name string }
	}
	if err := json.Unmarshal([]byte(r.text()), &v); err != nil {
		t.Fatalf("%v: %s", err, r.text())
	}
	if len(v.List) != 3 || v.Kind != "fixed" || v.Maybe == nil || v.Node.Name == "" || len(v.Node.Name) > 12 {
		t.Errorf("got %s", r.text())
	}
	for _, n := range v.List {
		if n < 2 || n > 3 {
			t.Errorf("%v is out of range", n)
		}
	}
}

func TestInvalidRequests(t *testing.T) {
	user := `"messages":[{"role":"user","content":"hi"}]`
	tests := map[string]struct {
		body    string
		status  int
		message string
	}{
		"not JSON":         {`{`, 400, "not valid JSON"},
		"no model":         {`{"max_tokens":1,` + user + `}`, 400, "model: Field required"},
		"no max_tokens":    {`{"model":"claude-haiku-5-5",` + user + `}`, 400, "max_tokens: Field required"},
		"too many tokens":  {`{"model":"claude-haiku-5-5","max_tokens":128001,` + user + `}`, 400, "maximum allowed number"},
		"no messages":      {`{"model":"claude-haiku-5-5","max_tokens":1,"messages":[]}`, 400, "at least one message"},
		"empty text":       {`{"model":"claude-haiku-5-5","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":""}]}]}`, 400, "non-empty"},
		"wrong role":       {`{"model":"claude-haiku-5-5","max_tokens":1,"messages":[{"role":"robot","content":"x"}]}`, 400, "role"},
		"retired model":    {`{"model":"claude-3-5-haiku-20241022","max_tokens":1,` + user + `}`, 404, "model: claude-3-5-haiku-20241022"},
		"temperature":      {`{"model":"claude-haiku-5-5","max_tokens":1,"temperature":1,` + user + `}`, 400, "temperature"},
		"prefill":          {`{"model":"claude-haiku-5-5","max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, 400, "prefill"},
		"thinking":         {`{"model":"claude-haiku-5-5","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},` + user + `}`, 400, "thinking.type.enabled"},
		"forced tool":      {`{"model":"claude-opus-5-5","max_tokens":1,"tool_choice":{"type":"any"},"tools":[{"name":"a","input_schema":{"type":"object"}}],` + user + `}`, 400, "forced tool use"},
		"unanswered tool":  {`{"model":"claude-haiku-5-5","max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"a","input":{}}]},{"role":"user","content":"b"}]}`, 400, "without `tool_result` blocks immediately after: t1"},
		"unasked result":   {`{"model":"claude-haiku-5-5","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t9","content":"x"}]}]}`, 400, "t9"},
		"breakpoints":      {`{"model":"claude-haiku-5-5","max_tokens":1,"cache_control":{"type":"ephemeral"},"system":[` + strings.Repeat(`{"type":"text","text":"x","cache_control":{"type":"ephemeral"}},`, 3) + `{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],` + user + `}`, 400, "maximum of 4"},
		"short before 1 h": {`{"model":"claude-haiku-5-5","max_tokens":1,"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}},{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}],` + user + `}`, 400, "ttl"},
		"threads":          {`{"model":"claude-haiku-5-5","max_tokens":1,"thread":{"type":"create"},` + user + `}`, 400, "threads"},
	}
	server := sim.New(sim.Options{})
	for name, tt := range tests {
		res, body := post(t, server, tt.body)
		var r reply
		if err := json.Unmarshal([]byte(body), &r); err != nil || res.StatusCode != tt.status || !strings.Contains(r.Error.Message, tt.message) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
		if res.Header.Get("request-id") == "" {
			t.Errorf("%s: no request-id", name)
		}
	}
}

// client returns the project's own provider, connected in memory to the
// simulator.
func client(t *testing.T, server *sim.Server) *anthropic.Client {
	t.Helper()
	c, err := anthropic.New(anthropic.Options{
		APIKey: "sk-test", KeySource: "the test", BaseURL: "http://sim.invalid", HTTPClient: &http.Client{Transport: server.RoundTripper()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProviderSuite(t *testing.T) {
	llmtest.SuiteModel(t, func(t *testing.T) llm.Model {
		return client(t, sim.New(sim.Options{Latency: sim.Fixed(20 * time.Millisecond)}))
	})
}

func TestCredentialsAndVersions(t *testing.T) {
	server := sim.New(sim.Options{})
	body := `{"model":"claude-haiku-5-5","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`
	tests := []struct {
		header, value, version string
		status                 int
	}{
		{"x-api-key", "sk", "2023-06-01", 200},
		{"Authorization", "Bearer sk", "2026-10-21", 200},
		{"x-api-key", "sk", "2020-01-01", 400},
		{"x-api-key", "invalid-key", "2023-06-01", 401},
		{"Authorization", "Basic sk", "2023-06-01", 401},
	}
	for _, tt := range tests {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sim.invalid/gateway/v1/messages?beta=true", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(tt.header, tt.value)
		req.Header.Set("anthropic-version", tt.version)
		res, err := server.RoundTripper().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status {
			t.Errorf("%+v: got %d", tt, res.StatusCode)
		}
	}
}

func FuzzMessages(f *testing.F) {
	for _, seed := range []string{
		`{"model":"claude-haiku-5-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"claude-haiku-5-5","max_tokens":100,"stream":true,"tools":[{"name":"t","input_schema":{"type":"object","properties":{"a":{"$ref":"#"}}}}],"messages":[{"role":"user","content":[{"type":"text","text":"use t","cache_control":{"type":"ephemeral"}}]}]}`,
		`{"model":"claude-haiku-5-5","max_tokens":100,"output_config":{"format":{"type":"json_schema","schema":{"anyOf":[{"$ref":"#"}]}}},"messages":[{"role":"user","content":"x <file path=\"a\">b</file>"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		res, text := post(t, sim.New(sim.Options{}), string(body))
		stream := strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
		if !stream && !json.Valid([]byte(text)) {
			t.Errorf("%d %s", res.StatusCode, text)
		}
		if stream && !strings.HasSuffix(text, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n") {
			t.Errorf("a stream ends with %q", text[max(0, len(text)-80):])
		}
	})
}

func TestTaskIsFound(t *testing.T) {
	server := sim.New(sim.Options{})
	for name, content := range map[string]string{
		"context first, two blocks": `[{"type":"text","text":"<file path=\"a.go\">\npackage a\n</file>\n\n<step id=\"s\">\nfound\n</step>"},{"type":"text","text":"Review the code.\nBe brief."}]`,
		"task first, one text":      `"Review the code.\n\n<file path=\"a.go\">\npackage a\n</file>\n\n<step id=\"s\">\nfound\n</step>"`,
		"context last, two blocks":  `[{"type":"text","text":"Review the code."},{"type":"text","text":"<file path=\"a.go\">\npackage a\n</file>\n<step id=\"s\">\nfound\n</step>"}]`,
	} {
		got := answerTo(t, server, `{"model":"claude-haiku-5-5","max_tokens":1000,"messages":[{"role":"user","content":`+content+`}]}`).text()
		for _, want := range []string{`Task: "Review the code."`, "Files given: 1", "- s (1 words)"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: the answer lacks %q:\n%s", name, want, got)
			}
		}
	}
}
