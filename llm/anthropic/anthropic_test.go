package anthropic

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2/option"
	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestSuite(t *testing.T) {
	llmtest.SuiteModel(t, func(t *testing.T) llm.Model { return testClient(t, respond(200, hello)) })
}

// sent returns the request that one call sends, and its body.
func sent(t *testing.T, req *llm.Request, change ...func(*Options)) (*http.Request, string) {
	t.Helper()
	var got *http.Request
	var body string
	c := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
		got, body = r, readBody(t, r)
		return respond(200, hello)(r)
	}), change...)
	if _, _, err := collect(c, t.Context(), req); err != nil {
		t.Fatal(err)
	}
	return got, body
}

func TestRequestOnTheWire(t *testing.T) {
	// The process's environment must not matter.
	t.Setenv("ANTHROPIC_API_KEY", "sk-from-elsewhere")
	t.Setenv("ANTHROPIC_BASE_URL", "https://elsewhere.example")
	t.Setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Elsewhere: 1")
	req := &llm.Request{
		Model:  "claude-opus-5-5",
		System: []llm.Block{{Type: "text", Text: "You <review> & judge.", CacheControl: json.RawMessage(`{"type": "ephemeral"}`)}},
		Messages: []llm.Message{
			llm.UserText("Look."),
			{Role: "assistant", Content: []llm.Block{
				{Type: "thinking", Text: "hm", Signature: "c2ln"},
				{Type: "tool_use", ID: "toolu_1", Name: "grep", Input: json.RawMessage(`{"z": 1, "a": 1e400}`)},
				{Type: "brand_new", Raw: json.RawMessage(`{"type":"brand_new","x":1.0}`)},
			}},
			{Role: "user", Content: []llm.Block{llm.ToolResult("toolu_1", "3 lines", true)}},
			{Role: "user"},
		},
		Tools: []llm.Tool{
			{Name: "grep", Description: "search", InputSchema: json.RawMessage(`{"type":"object","properties":{}}`)},
			{Name: "web_search", Raw: json.RawMessage(`{"type":"web_search_20260318","name":"web_search"}`)},
		},
		ToolChoice:    json.RawMessage(`{"type":"auto"}`),
		MaxTokens:     64000,
		StopSequences: []string{"END"},
		Thinking:      json.RawMessage(`{"type":"adaptive"}`),
		OutputConfig:  json.RawMessage(`{"effort":"low"}`),
		Extra:         map[string]json.RawMessage{"speed": json.RawMessage(`"fast"`), "brand_new": json.RawMessage(`{"b":1,"a":2}`)},
		Betas:         []string{"beta-1", "beta-2", "beta-1"},
		ServiceTier:   "auto",
		UserID:        "u1",
		Agent:         "not sent",
		Policy:        llm.PolicyRefresh,
	}
	const want = `{"model":"claude-opus-5-5","max_tokens":64000,"stream":true,` +
		`"tools":[{"name":"grep","description":"search","input_schema":{"type":"object","properties":{}}},{"type":"web_search_20260318","name":"web_search"}],` +
		`"tool_choice":{"type":"auto"},` +
		`"system":[{"type":"text","text":"You \u003creview\u003e \u0026 judge.","cache_control":{"type":"ephemeral"}}],` +
		`"messages":[{"role":"user","content":[{"type":"text","text":"Look."}]},` +
		`{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"tool_use","id":"toolu_1","name":"grep","input":{"z":1,"a":1e400}},{"type":"brand_new","x":1.0}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"3 lines","is_error":true}]},` +
		`{"role":"user","content":[]}],` +
		`"thinking":{"type":"adaptive"},"output_config":{"effort":"low"},"stop_sequences":["END"],"service_tier":"auto","metadata":{"user_id":"u1"},` +
		`"brand_new":{"b":1,"a":2},"speed":"fast"}`
	r, body := sent(t, req, func(o *Options) {
		o.Betas = []string{"beta-0"}
		o.Headers = http.Header{"X-Team": {"a", "b"}, "anthropic-beta": {"beta-9"}, "Anthropic-Beta": {"beta-8, beta-2"}}
	})
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if got, want := r.Method+" "+r.URL.String(), "POST https://api.anthropic.com/v1/messages"; got != want {
		t.Errorf("call = %s, want %s", got, want)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + testKey, "Anthropic-Version": APIVersion, "Content-Type": "application/json",
		"Anthropic-Beta": "beta-0,beta-8,beta-2,beta-1", "X-Team": "a|b", "X-Elsewhere": "", "X-Stainless-Retry-Count": "0",
	} {
		if got := strings.Join(r.Header.Values(name), "|"); got != want {
			t.Errorf("header %s = %q, want %q", name, got, want)
		}
	}
	_, again := sent(t, req)
	if again != body {
		t.Error("the same request has two bodies")
	}
}

func TestMinimalRequest(t *testing.T) {
	t.Parallel()
	r, body := sent(t, testRequest(), func(o *Options) { o.APIKey, o.AuthToken, o.BaseURL = "", "token", "http://127.0.0.1:9/px/" })
	const want = `{"model":"claude-haiku-5-5","max_tokens":1000,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"Say hi."}]}]}`
	if body != want {
		t.Errorf("body = %s, want %s", body, want)
	}
	if got := r.URL.String(); got != "http://127.0.0.1:9/px/v1/messages" {
		t.Errorf("URL = %s", got)
	}
	if got := r.Header.Get("Authorization"); got != "Bearer token" {
		t.Errorf("Authorization = %q", got)
	}
	if _, ok := r.Header["Anthropic-Beta"]; ok {
		t.Error("anthropic-beta is sent without a beta")
	}
}

func TestHeadersReplaceCredential(t *testing.T) {
	t.Parallel()
	r, _ := sent(t, testRequest(), func(o *Options) { o.Headers = http.Header{"Authorization": {"Token gateway"}} })
	if got := r.Header.Values("Authorization"); len(got) != 1 || got[0] != "Token gateway" {
		t.Errorf("Authorization = %q", got)
	}
}

func TestInvalidRequests(t *testing.T) {
	t.Parallel()
	c := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
		t.Error("a call was made")
		return respond(200, hello)(r)
	}))
	cases := map[string]func(*llm.Request){
		"max_tokens":           func(r *llm.Request) { r.MaxTokens = 0 },
		"thinking":             func(r *llm.Request) { r.Thinking = json.RawMessage(`{"type":`) },
		"messages":             func(r *llm.Request) { r.Messages[0].Content[0] = llm.Block{Type: "image"} },
		`extra field "model"`:  func(r *llm.Request) { r.Extra = map[string]json.RawMessage{"model": json.RawMessage(`"x"`)} },
		`extra field "stream"`: func(r *llm.Request) { r.Extra = map[string]json.RawMessage{"stream": json.RawMessage(`false`)} },
	}
	for saying, change := range cases {
		req := testRequest()
		change(req)
		if _, _, err := collect(c, t.Context(), req); llm.CodeOf(err) != llm.CodeInvalid || !strings.Contains(err.Error(), saying) {
			t.Errorf("err = %v, want code invalid_request and %q", err, saying)
		}
	}
}

func TestCountTokens(t *testing.T) {
	t.Parallel()
	req := testRequest()
	req.UserID, req.StopSequences, req.System = "u", []string{"x"}, []llm.Block{llm.TextBlock("s")}
	var path, body string
	c := testClient(t, transport(func(r *http.Request) (*http.Response, error) {
		path, body = r.URL.Path, readBody(t, r)
		return respond(200, `{"input_tokens":42}`, "Content-Type", "application/json")(r)
	}))
	n, err := c.CountTokens(t.Context(), req)
	const want = `{"model":"claude-haiku-5-5","system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"Say hi."}]}]}`
	if n != 42 || err != nil || path != "/v1/messages/count_tokens" || body != want {
		t.Errorf("CountTokens = %d, %v at %s with %s", n, err, path, body)
	}
	c = testClient(t, respond(529, apiError("overloaded_error", "Overloaded", ""), "Content-Type", "application/json"))
	if _, err := c.CountTokens(t.Context(), req); llm.CodeOf(err) != llm.CodeOverloaded {
		t.Errorf("err = %v, want code overloaded", err)
	}
}

func TestOnHeaders(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 429} {
		var got []string
		c := testClient(t, respond(status, hello, "Anthropic-Ratelimit-Requests-Limit", "50"), func(o *Options) {
			o.OnHeaders = func(req *llm.Request, status int, h http.Header) {
				got = append(got, req.Model, http.StatusText(status), h.Get("Anthropic-Ratelimit-Requests-Limit"))
			}
		})
		_, _, _ = collect(c, t.Context(), testRequest())
		if diff := cmp.Diff([]string{"claude-haiku-5-5", http.StatusText(status), "50"}, got); diff != "" {
			t.Errorf("OnHeaders (-want +got):\n%s", diff)
		}
	}
}

func TestInvalidOptions(t *testing.T) {
	t.Parallel()
	cases := []struct {
		opts   Options
		code   llm.Code
		saying string
	}{
		{Options{}, llm.CodeAuth, "set ANTHROPIC_API_KEY"},
		{Options{APIKey: "sk-line\nbreak", KeySource: "claude-force.yaml"}, llm.CodeAuth, "API key from claude-force.yaml"},
		{Options{AuthToken: "“curly”"}, llm.CodeAuth, "auth token contains"},
		{Options{APIKey: "k", BaseURL: "pa55word@nowhere"}, llm.CodeInvalid, "ANTHROPIC_BASE_URL"},
		{Options{APIKey: "k", BaseURL: "ftp://pa55word@nowhere"}, llm.CodeInvalid, "ANTHROPIC_BASE_URL"},
		{Options{Backend: "azure"}, llm.CodeInvalid, `unknown backend "azure"`},
		{Options{Backend: "bedrock", Region: "us-east-1"}, llm.CodeInvalid, "bedrock"},
	}
	for _, c := range cases {
		_, err := New(c.opts)
		if llm.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.saying) || strings.Contains(err.Error(), "pa55word") || strings.Contains(err.Error(), "break)") {
			t.Errorf("New = %v, want code %v and %q", err, c.code, c.saying)
		}
	}
	if _, err := New(Options{}); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("New(Options{}) = %v, want ErrNoCredentials", err)
	}
}

func TestBackendOptions(t *testing.T) {
	t.Parallel()
	var calls int
	fail := true
	c := testClient(t, respond(200, hello), func(o *Options) {
		o.APIKey, o.Backend, o.Region = "", BackendBedrock, "us-east-1"
		o.SDKOptions = func(ctx context.Context) ([]option.RequestOption, error) {
			calls++
			if fail {
				return nil, errors.New("no credential in any file")
			}
			if ctx.Done() != nil {
				t.Error("the context ends with the call")
			}
			return []option.RequestOption{option.WithBaseURL("https://bedrock.example")}, nil
		}
	})
	if calls != 0 {
		t.Error("New makes the backend's options")
	}
	_, _, err := collect(c, t.Context(), testRequest())
	if llm.CodeOf(err) != llm.CodeAuth || !strings.Contains(err.Error(), "no credential in any file") {
		t.Errorf("err = %v, want code authentication", err)
	}
	fail = false
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := collect(c, t.Context(), testRequest()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if calls != 2 {
		t.Errorf("the options were made %d times, want 2", calls)
	}
}

func TestKeyer(t *testing.T) {
	t.Parallel()
	want := llm.Keyer{Provider: "anthropic", APIVersion: "2026-10-21", Namespace: llm.Namespace(testKey)}
	same := map[string]Options{
		"key":              {APIKey: testKey},
		"source":           {APIKey: testKey, KeySource: "x"},
		"default base URL": {APIKey: testKey, BaseURL: "https://api.anthropic.com/", Backend: "anthropic"},
		"unused token":     {APIKey: testKey, AuthToken: "t"},
	}
	for name, opts := range same {
		if got := Keyer(opts); got != want {
			t.Errorf("%s: Keyer = %+v, want %+v", name, got, want)
		}
	}
	if got := testClient(t, respond(200, hello)).Keyer(); got != want {
		t.Errorf("Client.Keyer = %+v, want %+v", got, want)
	}
	other := []Options{
		{},
		{APIKey: "other"},
		{APIKey: testKey, BaseURL: "http://127.0.0.1:9"},
		{APIKey: testKey, BaseURL: "http://127.0.0.1:9/px"},
		{APIKey: testKey, Betas: []string{"b1"}},
		{APIKey: testKey, Betas: []string{"b1", "b2"}},
		{APIKey: testKey, Headers: http.Header{"X-Route": {"a"}}},
		{APIKey: testKey, Headers: http.Header{"X-Route": {"b"}}},
		{APIKey: testKey, Headers: http.Header{"X-Route": {"a", "b"}}},
		{Backend: "bedrock", Region: "us-east-1"},
		{Backend: "bedrock", Region: "eu-west-1"},
		{Backend: "bedrock", Region: "eu-west-1", Account: "p"},
		{Backend: "vertex", Region: "us-east-1"},
		{Backend: "vertex", Region: "us-east-1", ProjectID: "p"},
	}
	seen := map[llm.Keyer]Options{want: {APIKey: testKey}}
	for _, opts := range other {
		k := Keyer(opts)
		if first, dup := seen[k]; dup {
			t.Errorf("%+v has the keyer of %+v", opts, first)
		}
		seen[k] = opts
	}
	if got := Keyer(Options{APIKey: "k", BaseURL: "https://user:pa55word@gw.example"}).Provider; got != "https://gw.example" {
		t.Errorf("Provider = %q", got)
	}
	// Order and repetition of betas do not matter.
	if a, b := Keyer(Options{Betas: []string{"x", "y"}}), Keyer(Options{Betas: []string{"y", "x", "y"}}); a != b {
		t.Errorf("%+v != %+v", a, b)
	}
}

func TestFromEnv(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		env  map[string]string
		want Options
		code llm.Code
	}{
		{"nothing", nil, Options{}, llm.CodeAuth},
		{"empty", map[string]string{"ANTHROPIC_API_KEY": "", "ANTHROPIC_BASE_URL": ""}, Options{}, llm.CodeAuth},
		{"key", map[string]string{"ANTHROPIC_API_KEY": " sk-1\n", "ANTHROPIC_AUTH_TOKEN": "t"}, Options{APIKey: "sk-1", KeySource: "ANTHROPIC_API_KEY"}, 0},
		{"token", map[string]string{"ANTHROPIC_AUTH_TOKEN": "t", "ANTHROPIC_BASE_URL": "http://gw"}, Options{AuthToken: "t", BaseURL: "http://gw", KeySource: "ANTHROPIC_AUTH_TOKEN"}, 0},
		{
			"headers", map[string]string{"ANTHROPIC_CUSTOM_HEADERS": "x-api-key: k:1\nnonsense\n: empty\nX-Team: a\nx-team: b\r\n"},
			Options{Headers: http.Header{"X-Api-Key": {"k:1"}, "X-Team": {"a", "b"}}, KeySource: "ANTHROPIC_CUSTOM_HEADERS"}, 0,
		},
		{"what else there is", map[string]string{"ANTHROPIC_BASE_URL": "http://gw"}, Options{BaseURL: "http://gw"}, llm.CodeAuth},
		{
			"bedrock", map[string]string{"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "us-east-1", "AWS_PROFILE": "work", "ANTHROPIC_API_KEY": "sk-1", "ANTHROPIC_BASE_URL": "http://gw"},
			Options{Backend: "bedrock", Region: "us-east-1", Account: "work\x00\x00\x00"}, 0,
		},
		{"bedrock, off", map[string]string{"CLAUDE_CODE_USE_BEDROCK": "0", "ANTHROPIC_API_KEY": "sk-1"}, Options{APIKey: "sk-1", KeySource: "ANTHROPIC_API_KEY"}, 0},
		{"bedrock somewhere", map[string]string{"CLAUDE_CODE_USE_BEDROCK": "true"}, Options{Backend: "bedrock"}, llm.CodeInvalid},
		{
			"vertex", map[string]string{"CLAUDE_CODE_USE_VERTEX": "1", "CLOUD_ML_REGION": "global", "ANTHROPIC_VERTEX_PROJECT_ID": "p"},
			Options{Backend: "vertex", Region: "global", ProjectID: "p"}, 0,
		},
		{"vertex somewhere", map[string]string{"CLAUDE_CODE_USE_VERTEX": "1", "CLOUD_ML_REGION": "global"}, Options{Backend: "vertex", Region: "global"}, llm.CodeInvalid},
	}
	for _, c := range cases {
		got, err := FromEnv(func(name string) string { return c.env[name] })
		if llm.CodeOf(err) != c.code {
			t.Errorf("%s: err = %v, want code %v", c.name, err, c.code)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	secret := "bedrock-secret-token"
	opts, _ := FromEnv(func(name string) string {
		return map[string]string{"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "r", "AWS_BEARER_TOKEN_BEDROCK": secret}[name]
	})
	if opts.Account == "" || strings.Contains(opts.Account, secret) {
		t.Errorf("Account = %q", opts.Account)
	}
}
