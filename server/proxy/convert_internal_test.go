package proxy

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// TestForms turns a message into events and back: every field is there again.
func TestForms(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		`{"id":"m","type":"message","role":"assistant","model":"x","content":[],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":0}}`,
		`{"id":"m","type":"message","new":{"a":[1,"<b>&"]},"content":[
			{"type":"thinking","thinking":"Hm <b> & \u2028","signature":"c2ln"},
			{"type":"redacted_thinking","data":"zz"},
			{"type":"text","text":"An \"answer\".","citations":[{"type":"char_location","cited_text":"x","new":1},{"type":"page"}],"new":true},
			{"type":"tool_use","id":"t","name":"n","input":{"b":1.50,"a":{"<":"&"}},"caller":{"type":"direct"}},
			{"type":"tool_use","id":"u","name":"n","input":{}},
			{"type":"web_search_tool_result","tool_use_id":"s","content":[{"url":"x"}]},
			{"type":"new_block","deep":[{"x":null}]}
		],"stop_reason":"stop_sequence","stop_sequence":"END","usage":{"input_tokens":9007199254740993,"output_tokens":7,"new":{"x":1}}}`,
	} {
		stream, err := eventsOf([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(string(stream), "\n"); first != "event: message_start" || !strings.HasSuffix(string(stream), "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n") {
			t.Errorf("the stream is %s", stream)
		}
		back, err := documentOf(stream)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(plain(t, []byte(document)), plain(t, back)) {
			t.Errorf("%s\ncame back as\n%s", document, back)
		}
	}
	for _, stream := range []string{"", "event: x\n\n", "data: {\"type\":\"message_delta\"}\n\n", "data: 5\n\n",
		"data: {\"type\":\"message_start\",\"message\":{}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{}}\n\n"} {
		if got, err := documentOf([]byte(stream)); err == nil {
			t.Errorf("%q became %s", stream, got)
		}
	}
}

// plain returns JSON as values, with numbers as they are written.
func plain(t *testing.T, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestDigest says which differences between two requests are none for their answer.
func TestDigest(t *testing.T) {
	t.Parallel()
	const was = `{"model":"m","max_tokens":9,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"r"}]}]}],"tools":[{"name":"x","input_schema":{"cache_control":1}},{"name":"y"}],"metadata":{"user_id":"u"}}`
	digest := func(body, query string, header http.Header) [32]byte {
		t.Helper()
		req, err := readRequest([]byte(body), header, query, sharing{mode: ModeAlways})
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return req.Wire.Digest
	}
	want := digest(was, "", http.Header{})
	for _, change := range [][2]string{
		{`"u"}`, `"v"},"stream":true`},
		{`{"model"`, `{"service_tier":"auto","model"`},
		{`"s"}`, `"s","cache_control":{"type":"ephemeral"}}`},
		{`"a"}`, `"a","cache_control":{"type":"ephemeral","ttl":"1h"}}`},
		{`"r"}`, `"r","cache_control":{"type":"ephemeral"}}`},
		{`{"name":"y"}`, `{"name":"y","cache_control":{"type":"ephemeral"}}`},
		{`[{"type":"text","text":"s"}`, `[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1; cch=1;"},{"type":"text","text":"s"}`},
		{`"s"`, `"\u0073"`},
		{`"tool_result"`, `"tool\u005fresult"`},
		{`{"model":"m","max_tokens":9,`, `{"max_tokens": 9 , "model":"m",`},
		{`[{"name":"x","input_schema":{"cache_control":1}},{"name":"y"}]`, `[{"name":"y"},{"name":"x","input_schema":{"cache_control":1}}]`},
	} {
		now := strings.Replace(was, change[0], change[1], 1)
		if now == was {
			t.Fatalf("%q is not there", change[0])
		}
		if digest(now, "beta=true", http.Header{"User-Agent": {"x"}}) != want {
			t.Errorf("%q instead of %q is another request", change[1], change[0])
		}
	}
	for _, change := range [][2]string{
		{`"m"`, `"n"`},
		{`9`, `8`},
		{`"s"`, `"s "`},
		{`"a"`, `"b"`},
		{`"r"`, `"q"`},
		{`"t"`, `"u"`},
		{`"user"`, `"assistant"`},
		{`{"cache_control":1}`, `{"cache_control":2}`},
		{`"a"}`, `"a","new":1}`},
		{`"role"`, `"new":1,"role"`},
		{`{"model"`, `{"new":null,"model"`},
		{`"text":"s"}`, `"text":"s"},{"type":"text","text":""}`},
		{`{"type":"text","text":"a"}`, `{"type":"text","text":"x-anthropic-billing-header: is what?"},{"type":"text","text":"a"}`},
		{`"text":"s"}`, `"text":"s"},{"type":"text","text":"x-anthropic-billing-header: is what?"}`},
		{`{"type":"text","text":"s"}`, `{"type":"text","text":"x-anthropic-billing-header: v\nBe brief."},{"type":"text","text":"s"}`},
		{`"s"`, `"\\u0073"`},
		{`{"type":"text","text":"r"}`, `{"type":"tool_result","content":[{"type":"text","text":"r","cache_control":1}]}`},
		{`"role":"user","content":[{"type":"text","text":"a"}`, `"role":"user","content":[]},{"role":"user","content":[{"type":"text","text":"a"}`},
	} {
		now := strings.Replace(was, change[0], change[1], 1)
		if now == was {
			t.Fatalf("%q is not there", change[0])
		}
		if digest(now, "", http.Header{}) == want {
			t.Errorf("%q instead of %q is the same request", change[1], change[0])
		}
	}
	for _, header := range []http.Header{{"Anthropic-Beta": {"x"}}, {"Anthropic-Version": {"1"}}, {"Anthropic-New": {""}}} {
		if digest(was, "", header) == want {
			t.Errorf("with %v it is the same request", header)
		}
	}
	if digest(was, "new=1", http.Header{}) == want {
		t.Error("with a query it is the same request")
	}
}
