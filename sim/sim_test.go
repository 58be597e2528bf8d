package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

// post sends a body to /v1/messages in memory.
func post(t *testing.T, server *sim.Server, body string) (*http.Response, string) {
	t.Helper()
	return postTo(t, server, "/v1/messages", body)
}

func postTo(t *testing.T, server *sim.Server, path, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sim.invalid"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-api-key", "sk-test")
	req.Header.Set("anthropic-version", "2026-10-21")
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

// reply is what tests look at in an answer.
type reply struct {
	Content []struct {
		Type, Text string
		Input      json.RawMessage
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

func answer(t *testing.T, server *sim.Server, body string) reply {
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
	text := answer(t, server, body).Content[0].Text
	for _, want := range []string{"simulated", `Task: "Review this"`, "a.py: 3 lines", "1 functions", "line 3", "1 lines with trailing space", `linter (3 words): "found two problems"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the answer lacks %q:\n%s", want, text)
		}
	}
	if again := answer(t, sim.New(sim.Options{Seed: 9}), body).Content[0].Text; again != text {
		t.Error("the same request has two answers")
	}
}

func TestLimitsOfAnswers(t *testing.T) {
	server := sim.New(sim.Options{})
	r := answer(t, server, `{"model":"claude-haiku-5-5","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}`)
	if r.StopReason != "max_tokens" || r.Usage.Output != 20 {
		t.Errorf("stopped by %s after %d tokens", r.StopReason, r.Usage.Output)
	}
	r = answer(t, server, `{"model":"claude-haiku-5-5","max_tokens":900,"stop_sequences":["Task"],"messages":[{"role":"user","content":"hi"}]}`)
	if r.StopReason != "stop_sequence" || r.StopSequence != "Task" || strings.Contains(r.Content[0].Text, "Task") {
		t.Errorf("stopped by %s %q: %s", r.StopReason, r.StopSequence, r.Content[0].Text)
	}
	r = answer(t, server, `{"model":"claude-haiku-5-5","max_tokens":0,"messages":[{"role":"user","content":"hi"}]}`)
	if r.StopReason != "max_tokens" || len(r.Content) != 0 || r.Usage.Output != 0 {
		t.Errorf("a call that only warms the cache: %+v", r)
	}
}

func TestSchemas(t *testing.T) {
	schema := `{"type":"object","required":["list","kind","node"],"properties":{
		"list":{"type":"array","minItems":3,"items":{"type":"number","minimum":2,"maximum":3}},
		"kind":{"const":"fixed"},"maybe":{"type":["null","boolean"]},
		"node":{"$ref":"#/$defs/node"}},
		"$defs":{"node":{"type":"object","required":["name"],"properties":{"name":{"type":"string","maxLength":12},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}}}}}`
	r := answer(t, sim.New(sim.Options{}), `{"model":"claude-haiku-5-5","max_tokens":9000,"messages":[{"role":"user","content":"hi"}],"output_config":{"format":{"type":"json_schema","schema":`+schema+`}}}`)
	var v struct {
		List  []float64
		Kind  string
		Maybe *bool
		Node  struct{ Name string }
	}
	if err := json.Unmarshal([]byte(r.Content[0].Text), &v); err != nil {
		t.Fatalf("%v: %s", err, r.Content[0].Text)
	}
	if len(v.List) != 3 || v.Kind != "fixed" || v.Maybe == nil || v.Node.Name == "" || len(v.Node.Name) > 12 {
		t.Errorf("got %s", r.Content[0].Text)
	}
	for _, n := range v.List {
		if n < 2 || n > 3 {
			t.Errorf("%v is out of range", n)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
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
		"forced tool":      {`{"model":"claude-opus-5-5","max_tokens":1,"tool_choice":{"type":"any"},"tools":[{"name":"a","input_schema":{}}],` + user + `}`, 400, "forced tool use"},
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

func TestFixedLatencyIsExact(t *testing.T) {
	for _, stream := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := sim.New(sim.Options{Latency: sim.Fixed(time.Second)})
			start := time.Now()
			var calls sync.WaitGroup
			for i := range 3 {
				calls.Go(func() {
					post(t, server, fmt.Sprintf(`{"model":"claude-haiku-5-5","max_tokens":500,"stream":%t,"messages":[{"role":"user","content":"task %d"}]}`, stream, i))
				})
			}
			calls.Wait()
			if took := time.Since(start); took != time.Second {
				t.Errorf("stream %t: three calls at once took %v; want 1s", stream, took)
			}
			if s := server.Stats(); s.MaxInFlight != 3 || s.InFlight != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestTimeScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(scale float64) time.Duration {
			start := time.Now()
			post(t, sim.New(sim.Options{Latency: sim.Realistic(), TimeScale: scale}), `{"model":"claude-sonnet-5-5","max_tokens":500,"messages":[{"role":"user","content":"x"}]}`)
			return time.Since(start)
		}
		whole, tenth := took(1), took(0.1)
		if whole < 500*time.Millisecond || whole > time.Minute || (whole-10*tenth).Abs() > time.Microsecond {
			t.Errorf("took %v, and scaled by a tenth %v", whole, tenth)
		}
	})
}

func TestRateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 2, InputTokensPerMinute: 100_000, OutputTokensPerMinute: 100_000}})
		body := `{"model":"claude-haiku-5-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`
		for range 2 {
			if res, text := post(t, server, body); res.StatusCode != 200 {
				t.Fatal(text)
			}
		}
		res, text := post(t, server, body)
		if res.StatusCode != 429 || !strings.Contains(text, "2 requests per minute") {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
		for _, family := range []string{"requests", "tokens", "input-tokens", "output-tokens"} {
			for _, field := range []string{"limit", "remaining", "reset"} {
				if res.Header.Get("anthropic-ratelimit-"+family+"-"+field) == "" {
					t.Errorf("no header for %s-%s", family, field)
				}
			}
		}
		wait, err := strconv.Atoi(res.Header.Get("retry-after"))
		if err != nil || wait != 30 {
			t.Fatalf("retry-after %q; want 30", res.Header.Get("retry-after"))
		}
		<-time.After(time.Duration(wait) * time.Second) // the bubble's clock
		if res, text := post(t, server, body); res.StatusCode != 200 {
			t.Fatal(text)
		}
		if s := server.Stats(); s.RateLimited != 1 || s.Requests != 4 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestLimitsThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 1}})
		body := `{"model":"claude-haiku-5-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`
		status := func() int {
			res, _ := post(t, server, body)
			return res.StatusCode
		}
		if got := []int{status(), status()}; got[0] != 200 || got[1] != 429 {
			t.Fatalf("statuses %v, want 200, 429", got)
		}
		if res, text := postTo(t, server, "/_sim/limits", `{"requests_per_minute":60}`); res.StatusCode != 200 {
			t.Fatal(text)
		}
		if got := status(); got != 429 {
			t.Errorf("status %d: a new limit gave back what was used", got)
		}
		<-time.After(time.Second)
		if res, _ := post(t, server, body); res.StatusCode != 200 || res.Header.Get("anthropic-ratelimit-requests-limit") != "60" {
			t.Errorf("status %d with limit %q after a second at the new rate", res.StatusCode, res.Header.Get("anthropic-ratelimit-requests-limit"))
		}
		server.SetLimits(nil)
		if res, _ := post(t, server, body); res.StatusCode != 200 || res.Header.Get("anthropic-ratelimit-requests-limit") != "" {
			t.Errorf("status %d, still limited", res.StatusCode)
		}
		if res, _ := postTo(t, server, "/_sim/limits", `x`); res.StatusCode != 400 {
			t.Errorf("status %d for limits that are none", res.StatusCode)
		}
	})
}

func TestFaultsThatPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{})
		body := `{"model":"claude-haiku-5-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`
		if res, text := postTo(t, server, "/_sim/faults", `{"kind":"status","status":529,"for":"60s"}`); res.StatusCode != 200 {
			t.Fatal(text)
		}
		server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 429, ErrorCode: "ramp_limit_exceeded", Times: 1})
		for _, want := range []int{529, 529} {
			if res, _ := post(t, server, body); res.StatusCode != want {
				t.Errorf("status %d, want %d", res.StatusCode, want)
			}
		}
		<-time.After(time.Minute)
		for _, want := range []int{429, 200} {
			if res, _ := post(t, server, body); res.StatusCode != want {
				t.Errorf("status %d after a minute, want %d", res.StatusCode, want)
			}
		}
		want := map[string]int{"overloaded_error": 2, "ramp_limit_exceeded": 1}
		if diff := cmp.Diff(want, server.Stats().Kinds); diff != "" {
			t.Errorf("kinds (-want +got):\n%s", diff)
		}
	})
}

func TestPromptCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Latency: sim.Fixed(10 * time.Second)})
		long := strings.Repeat("word ", 2000)
		body := func(task string) string {
			return `{"model":"claude-haiku-5-5","max_tokens":100,"system":[{"type":"text","text":"` + long + `","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"` + task + `"}]}`
		}
		first := answer(t, server, body("one")).Usage
		second := answer(t, server, body("two")).Usage
		if first.Write < 2000 || first.Read != 0 || second.Read != first.Write || second.Write != 0 || second.Input != first.Input {
			t.Errorf("first %+v, second %+v", first, second)
		}
		<-time.After(5 * time.Minute) // the entry's life counts from the start of the last read
		if third := answer(t, server, body("three")).Usage; third.Read != 0 || third.Write != first.Write {
			t.Errorf("after five minutes: %+v", third)
		}

		// Two at once both write: an entry counts once the first answer has begun.
		server.Reset()
		var writes [2]int
		var calls sync.WaitGroup
		for i := range writes {
			calls.Go(func() { writes[i] = answer(t, server, body(strconv.Itoa(i))).Usage.Write })
		}
		calls.Wait()
		if diff := cmp.Diff([2]int{first.Write, first.Write}, writes); diff != "" {
			t.Error(diff)
		}

		short := answer(t, server, `{"model":"claude-haiku-5-5","max_tokens":100,"system":[{"type":"text","text":"short","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"x"}]}`).Usage
		if short.Write != 0 || short.Read != 0 {
			t.Errorf("a prefix below the minimum was cached: %+v", short)
		}
	})
}

func TestAPrefixIsTheSameWhereverTheBreakpointsAre(t *testing.T) {
	server := sim.New(sim.Options{})
	long := strings.Repeat("word ", 2000)
	const mark = `,"cache_control":{"type":"ephemeral"}`
	body := func(onSystem, onDocument string) string {
		return `{"model":"claude-haiku-5-5","max_tokens":100,"system":[{"type":"text"` + onSystem + `,"text":"` + long + `"}],` +
			`"messages":[{"role":"user","content":[{"type":"text","text":"the document speaks of \"cache_control\": {}"` + onDocument + `},{"type":"text","text":"Go."}]}]}`
	}
	wrote := answer(t, server, body(mark, mark)).Usage
	if read := answer(t, server, body("", mark)).Usage; read.Read != wrote.Write || read.Write != 0 || wrote.Write == 0 {
		t.Errorf("with one breakpoint less: %+v, written before: %+v", read, wrote)
	}
}

func TestTheTaskIsWhatIsSaidLast(t *testing.T) {
	server := sim.New(sim.Options{})
	for name, content := range map[string]string{
		"context first, two blocks": `[{"type":"text","text":"<file path=\"a.go\">\npackage a\n</file>\n\n<step id=\"s\">\nfound\n</step>"},{"type":"text","text":"Review the code.\nBe brief."}]`,
		"task first, one text":      `"Review the code.\n\n<file path=\"a.go\">\npackage a\n</file>\n\n<step id=\"s\">\nfound\n</step>"`,
		"context last, two blocks":  `[{"type":"text","text":"Review the code."},{"type":"text","text":"<file path=\"a.go\">\npackage a\n</file>\n<step id=\"s\">\nfound\n</step>"}]`,
	} {
		got := answer(t, server, `{"model":"claude-haiku-5-5","max_tokens":1000,"messages":[{"role":"user","content":`+content+`}]}`).Content[0].Text
		for _, want := range []string{`Task: "Review the code."`, "Files given: 1", "- s (1 words)"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: the answer lacks %q:\n%s", name, want, got)
			}
		}
	}
}

// client is our own provider over the simulator, in memory.
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

func TestProviderPassesTheSuite(t *testing.T) {
	llmtest.SuiteModel(t, func(t *testing.T) llm.Model {
		return client(t, sim.New(sim.Options{Latency: sim.Fixed(20 * time.Millisecond)}))
	})
}

func TestFaultsAsTheProviderSeesThem(t *testing.T) {
	tests := map[string]struct {
		fault sim.Fault
		code  llm.Code
		shown bool // pieces of text come before the error
	}{
		"429":          {sim.Fault{Kind: sim.FaultStatus, Status: 429, RetryAfter: "3600"}, llm.CodeRateLimit, false},
		"spend limit":  {sim.Fault{Kind: sim.FaultStatus, Status: 429, ErrorCode: "enforced_spend_limit_reached"}, llm.CodeSpendLimit, false},
		"529":          {sim.Fault{Kind: sim.FaultStatus, Status: 529}, llm.CodeOverloaded, false},
		"500":          {sim.Fault{Kind: sim.FaultStatus, Status: 500}, llm.CodeServer, false},
		"proxy":        {sim.Fault{Kind: sim.FaultHTML}, llm.CodeServer, false},
		"drop":         {sim.Fault{Kind: sim.FaultDrop}, llm.CodeConnection, false},
		"cut early":    {sim.Fault{Kind: sim.FaultCutStream, After: 1}, llm.CodeConnection, false},
		"cut late":     {sim.Fault{Kind: sim.FaultCutStream, After: 6}, llm.CodeConnection, true},
		"ends early":   {sim.Fault{Kind: sim.FaultEndStream, After: 6}, llm.CodeIncomplete, true},
		"stream error": {sim.Fault{Kind: sim.FaultStreamError, After: 6}, llm.CodeOverloaded, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := sim.New(sim.Options{})
				server.Inject(tt.fault)
				shown := ""
				var failure error
				for ev, err := range client(t, server).Stream(t.Context(), llmtest.Request("Explain lists")) {
					if err != nil {
						failure = err
						break
					}
					if ev.Type == llm.EventDone {
						t.Error("a broken call has an answer")
					}
					shown += ev.Text
				}
				if got := llm.CodeOf(failure); got != tt.code || (shown != "") != tt.shown {
					t.Errorf("error %v (%s; want %s), shown %q", failure, got, tt.code, shown)
				}
				if server.Stats().InFlight != 0 {
					t.Error("the call is still in flight")
				}
			})
		})
	}
}

func TestSilenceEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{})
		server.Inject(sim.Fault{Kind: sim.FaultSilence, After: 3})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := llm.Collect(client(t, server).Stream(ctx, llmtest.Request("hi")))
		if llm.CodeOf(err) != llm.CodeTimeout || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		synctest.Wait()
		if n := server.Stats().InFlight; n != 0 {
			t.Errorf("%d still in flight", n)
		}
	})
}

func TestInjectingFaultsOverHTTP(t *testing.T) {
	server := sim.New(sim.Options{})
	res, body := postTo(t, server, "/_sim/faults", `[{"kind":"delay","delay":"1ms","times":1},{"kind":"status","status":529,"match":"special"}]`)
	if res.StatusCode != 200 || body != `{"faults":2}` {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	special := `{"model":"claude-haiku-5-5","max_tokens":9,"messages":[{"role":"user","content":"special"}]}`
	if res, body := post(t, server, special); res.StatusCode != 200 {
		t.Errorf("the delay was not first: %d %s", res.StatusCode, body)
	}
	for range 2 {
		if res, _ := post(t, server, special); res.StatusCode != 529 {
			t.Errorf("got %d; want 529", res.StatusCode)
		}
	}
	if res, _ := post(t, server, strings.Replace(special, "special", "plain", 1)); res.StatusCode != 200 {
		t.Errorf("got %d for a call that does not match", res.StatusCode)
	}
	for _, bad := range []string{`[{"kind":"nonsense"}]`, `{"kind":"status"}`, `[{"kind":"delay","delay":"soon"}]`, `{"kind":"drop","unknown":1}`, `x`} {
		if res, body := postTo(t, server, "/_sim/faults", bad); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", bad, res.StatusCode, body)
		}
	}
	if res, _ := postTo(t, server, "/_sim/faults", `{"reset":true}`); res.StatusCode != 200 || server.Stats().Requests != 0 {
		t.Error("not reset")
	}
}

func TestBothKeysAndBothVersions(t *testing.T) {
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
