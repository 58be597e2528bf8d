package proxy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/server/proxy"
)

// operatorKey is the operator's credential, which must show nowhere but upstream.
const operatorKey = "sk-ant-canary-0123456789abcdef"

const (
	model    = "claude-haiku-4-5"
	document = `{"id":"msg_1", "type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"text","text":"An answer."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":34}}`
)

// events is the same answer as a stream, an event each.
var events = []string{
	"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-haiku-4-5-20251001\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":12,\"output_tokens\":1}}}\n\n",
	"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
	"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"An \"}}\n\n",
	"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"answer.\"}}\n\n",
	"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":34}}\n\n",
	"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
}

// value draws a JSON value with white space where it may be.
func value(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		space := rapid.SampledFrom([]string{"", "", " ", "\n", "\t "}).Draw(t, "space")
		kind := rapid.IntRange(0, 5).Draw(t, "kind")
		if depth == 0 {
			kind %= 4
		}
		switch kind {
		case 0:
			return space + rapid.SampledFrom([]string{"null", "true", "false", "0", "-1.50e+3", "1e400"}).Draw(t, "literal")
		case 1, 2, 3:
			return space + rapid.SampledFrom([]string{`"plain"`, `"\"\\\u00e4\n"`, `"é🐝"`, `"{\"a\":[1"`, `""`, `"]}"`}).Draw(t, "text") + space
		case 4:
			return space + "[" + strings.Join(rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list"), ",") + space + "]"
		}
		var fields []string
		for i, v := range rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "fields") {
			fields = append(fields, fmt.Sprintf(`%s"f%d"%s:%s`, space, i, space, v))
		}
		return space + "{" + strings.Join(fields, ",") + "}"
	})
}

// TestBytesSurvive sends requests with fields, headers and betas that no one knows, and
// answers with events, fields, comments and headers that no one knows: what arrives is
// what was sent.
func TestBytesSurvive(t *testing.T) {
	u := newUpstream(t, answerAny)
	s := serve(t, u.URL, proxy.ModeOff)
	extra := rapid.SliceOfN(value(2), 0, 4)
	rapid.Check(t, func(rt *rapid.T) {
		more := ""
		for i, v := range extra.Draw(rt, "fields") {
			more += fmt.Sprintf(",%s\"unknown_%d\":%s", "\n ", i, v)
		}
		streamed := rapid.Bool().Draw(rt, "streamed")
		if streamed {
			more += `, "stream" : true`
		}
		body := ask("Hello", more) + "\n"
		var headers []string
		for i := range rapid.IntRange(0, 4).Draw(rt, "headers") {
			headers = append(headers, fmt.Sprintf("X-Unknown-%d", i), rapid.StringMatching(`[!-~]{1,20}`).Draw(rt, "value"))
		}
		headers = append(headers, "Anthropic-Beta", "new-2027-01-01,other", "Anthropic-New", "x", "Cookie", "a=b", "Connection", "X-Hop", "X-Hop", "1")

		answer, typ := document[:len(document)-1]+`,"new":`+value(2).Draw(rt, "new")+"}\n", "application/json; x=y"
		if streamed {
			typ, answer = "text/event-stream", ""
			for _, ev := range events {
				switch rapid.IntRange(0, 4).Draw(rt, "between") {
				case 0:
					answer += ": a comment\n\n"
				case 1:
					answer += "event: new_event\r\nid: 7\r\ndata: {\"type\":\"new_event\",\r\ndata: \"x\":" + strings.ReplaceAll(value(1).Draw(rt, "data"), "\n", " ") + "}\r\n\r\n"
				case 2:
					answer += "event: ping\ndata: {\"type\": \"ping\"}\n\n"
				}
				answer += strings.Replace(ev, `{"type"`, `{"new":1, "type"`, 1)
			}
			answer += rapid.SampledFrom([]string{"", "\n", ": the end\n\n", "event: after\ndata: {}\n\n"}).Draw(rt, "after")
		}
		u.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", typ)
			w.Header().Set("X-New", "as is")
			w.Header().Set("Anthropic-Ratelimit-New", "7")
			w.Header().Set("Set-Cookie", "c=d")
			_, _ = io.WriteString(w, answer)
		})
		res, got := s.send(http.MethodPost, "/v1/messages?beta=true&x=%2F", body, headers...)
		if res.StatusCode != http.StatusOK || got != answer {
			rt.Fatalf("%s\n%q\nwas sent\n%q", res.Status, got, answer)
		}
		for name, want := range map[string]string{"Content-Type": typ, "X-New": "as is", "Anthropic-Ratelimit-New": "7", "Set-Cookie": "", "X-Claude-Force-Cache": "bypass"} {
			if res.Header.Get(name) != want {
				rt.Errorf("%s: %q, want %q", name, res.Header.Get(name), want)
			}
		}
		in := u.last()
		if string(in.body) != body || in.uri != "/v1/messages?beta=true&x=%2F" {
			rt.Errorf("%s\n%q\nwas sent\n%q", in.uri, in.body, body)
		}
		for i := 0; i < len(headers); i += 2 {
			want := headers[i+1]
			switch headers[i] {
			case "Cookie", "Connection", "X-Hop":
				want = ""
			}
			if in.header.Get(headers[i]) != want {
				rt.Errorf("%s: %q, want %q", headers[i], in.header.Get(headers[i]), want)
			}
		}
		if in.header.Get("X-Api-Key") != operatorKey || in.header.Get("Authorization") != "" {
			rt.Errorf("credentials %q, %q", in.header.Get("X-Api-Key"), in.header.Get("Authorization"))
		}
	})
}

// TestModes says which answers are shared, and in which form.
func TestModes(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { answerAny(w, r) })
	sampled, fixed := ask("Hello", ""), ask("Hello", `,"temperature":0.0`)
	streamed := ask("Hello", `,"temperature":0,"stream":true`)
	s := serve(t, u.URL, proxy.ModeDeterministic)
	for i, step := range []struct {
		body    string
		headers []string
		want    string
	}{
		{sampled, nil, "bypass"},
		{sampled, nil, "bypass"},
		{fixed, nil, "miss"},
		{fixed, nil, "hit"},
		{ask("Hello", `,"metadata":{"user_id":"other"},"service_tier":"auto","cache_control":{"type":"ephemeral"},"temperature":0.0`), nil, "hit"},
		{fixed, []string{"Anthropic-Beta", "x"}, "miss"},
		{fixed, []string{"Anthropic-Version", "2026-10-21"}, "miss"},
		{sampled, []string{"X-Claude-Code-Session-Id", "one"}, "miss"},
		{sampled, []string{"X-Claude-Code-Session-Id", "one"}, "hit"},
		{sampled, []string{"X-Claude-Code-Session-Id", "two"}, "miss"},
		{ask("Hello", `,"metadata":{"user_id":"user_x_account__session_one"}`), nil, "hit"},
		{ask("Hello", `,"metadata":{"user_id":"{\"device_id\":\"d\",\"session_id\":\"one\"}"}`), nil, "hit"},
		{sampled, []string{"X-Claude-Force-Cache-Mode", "always"}, "miss"},
		{sampled, []string{"X-Claude-Force-Cache-Mode", "always"}, "hit"},
		{sampled, []string{"X-Claude-Force-Cache-Mode", "refresh"}, "miss"},
		{fixed, []string{"X-Claude-Force-Cache-Mode", "off"}, "bypass"},
		{ask("Hello", `,"temperature":0,"thread":{"type":"create"}`), nil, "bypass"},
	} {
		if got := s.cached(step.body, step.headers...); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	// A temperature written in another way is another text, and costs a call.
	asked := u.asked()
	res, text := s.send(http.MethodPost, "/v1/messages", strings.Replace(streamed, `"temperature":0`, `"temperature":0.0`, 1))
	if u.asked() != asked || res.Header.Get("X-Claude-Force-Cache") != "hit" || !strings.Contains(text, `"text_delta"`) || !strings.Contains(text, "An answer.") || !strings.HasSuffix(text, "\n\n") {
		t.Errorf("%s of the cached answer: %s", res.Header, text)
	}
	if saved := res.Header.Get("X-Claude-Force-Saved-Usd"); saved != "0.000182" || res.Header.Get("Age") == "" {
		t.Errorf("saved %s, age %q", saved, res.Header.Get("Age"))
	}
	if res, text := s.send(http.MethodPost, "/v1/messages", fixed, "X-Claude-Force-Cache-Mode", "sometimes"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("%s: %s", res.Status, text)
	}
	if call := <-s.ended; call.Agent != "proxy" || call.Model != model {
		t.Errorf("recorded %+v", call)
	}
}

// TestManyClientsShareAStream has 200 clients ask the same at once, of whom half leave
// at some time: the service is asked once, and who stays gets every byte.
func TestManyClientsShareAStream(t *testing.T) {
	const clients = 200
	joined := make(chan struct{}, clients)
	next := make(chan string)
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for ev := range next {
			_, _ = io.WriteString(w, ev)
			_ = http.NewResponseController(w).Flush()
		}
	})
	s := serve(t, u.URL, proxy.ModeAlways)
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	body := ask("Hello", `,"stream":true`)
	var stayers, coalesced sync.Map
	var all sync.WaitGroup
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for i := range clients {
		all.Go(func() {
			mine := t.Context()
			stays := i%2 == 0
			if !stays {
				mine = ctx
			}
			res, err := transport.RoundTrip(s.request(mine, http.MethodPost, "/v1/messages", body))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			coalesced.Store(i, res.Header.Get("X-Claude-Force-Cache"))
			joined <- struct{}{}
			if !stays && i%3 == 0 { // at once
				return
			}
			data, err := io.ReadAll(res.Body)
			if !stays {
				return
			}
			if err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			stayers.Store(i, string(data))
		})
	}
	for _, ev := range events[:3] {
		next <- ev
	}
	for range clients {
		<-joined
	}
	next <- events[3]
	leave()
	for _, ev := range events[4:] {
		next <- ev
	}
	close(next)
	all.Wait()
	count, misses := 0, 0
	stayers.Range(func(i, got any) bool {
		if count++; got != strings.Join(events, "") {
			t.Errorf("client %v got %q", i, got)
		}
		return true
	})
	coalesced.Range(func(i, got any) bool {
		if got == "miss" {
			misses++
		}
		return true
	})
	if u.asked() != 1 || count != clients/2 || misses != 1 {
		t.Errorf("%d requests, %d answers, %d misses", u.asked(), count, misses)
	}
}

// TestAClientThatLeavesIsBilled has the only client leave in the middle of an answer: the
// call is aborted, and what the service had reported is recorded.
func TestAClientThatLeavesIsBilled(t *testing.T) {
	gone := make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, strings.Join(events[:3], ""))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})
	s := serve(t, u.URL, proxy.ModeDeterministic)
	ctx, leave := context.WithCancel(t.Context())
	res, err := http.DefaultTransport.RoundTrip(s.request(ctx, http.MethodPost, "/v1/messages", ask("Hello", `,"stream":true`)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, len(events[0]))); err != nil {
		t.Fatal(err)
	}
	leave()
	<-gone
	call := <-s.ended
	if call.Code != llm.CodeCanceled || call.Usage.InputTokens != 12 || call.CostUSD == nil || *call.CostUSD <= 0 || len(call.Tries) != 1 {
		t.Errorf("recorded %+v", call)
	}
}

// TestPassing passes requests on that are no calls, with their bytes.
func TestPassing(t *testing.T) {
	u := newUpstream(t, nil)
	s := serve(t, u.URL, proxy.ModeAlways)
	file := string(bytes.Repeat([]byte{0, 1, 2, 0xff, '\n'}, 100_000))
	for _, test := range []struct{ method, path, body string }{
		{"GET", "/v1/models?limit=1000&after_id=a%20b", ""},
		{"GET", "/v1/models/claude%2Fx", ""},
		{"POST", "/v1/messages/count_tokens?beta=true", ask("Count", "")},
		{"POST", "/v1/files", file},
		{"GET", "/v1/files/file_1/content", ""},
		{"DELETE", "/v1/files/file_1", ""},
		{"GET", "/v1/messages/batches/b/results", ""},
	} {
		answer := "{\"new\" : 1}\x00" + test.path + "\r\n"
		u.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-new")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, answer)
		})
		res, text := s.send(test.method, test.path, test.body, "X-New", "2")
		in := u.last()
		if res.StatusCode != http.StatusAccepted || text != answer || res.Header.Get("Content-Type") != "application/x-new" {
			t.Errorf("%s: %s %q", test.path, res.Status, text)
		}
		if in.method != test.method || in.uri != test.path || string(in.body) != test.body || in.header.Get("X-New") != "2" || in.header.Get("X-Api-Key") != operatorKey {
			t.Errorf("%s: sent on as %s %s with %d bytes, %v", test.path, in.method, in.uri, len(in.body), in.header)
		}
	}
	u.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"b","results_url" : "https://api.anthropic.com/v1/messages/batches/b/results", "new":[1,  2]}`)
	})
	if _, text := s.send("GET", "/v1/messages/batches/b", ""); text != `{"id":"b","results_url" : "`+s.url+`/v1/messages/batches/b/results", "new":[1,  2]}` {
		t.Errorf("a batch: %s", text)
	}
}

// TestNoCredentialShows has a service that repeats the credential in all that it answers,
// and looks for it in all that the proxy says, logs and keeps.
func TestNoCredentialShows(t *testing.T) {
	u := newUpstream(t, nil)
	s := serve(t, u.URL, proxy.ModeAlways)
	repeat := func(status int, typ string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			key := r.Header.Get("X-Api-Key")
			w.Header().Set("X-Echo", "key "+key)
			w.Header().Set("Content-Type", typ)
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"type":"error","error":{"type":"authentication_error","message":"invalid key %s"}}`, key)
		}
	}
	said := ""
	for i, answer := range []http.HandlerFunc{
		repeat(401, "application/json"), repeat(500, "text/plain"),
		func(w http.ResponseWriter, r *http.Request) { // though it was asked not to
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusForbidden)
			z := gzip.NewWriter(w)
			fmt.Fprintf(z, `{"type":"error","error":{"type":"permission_error","message":"not with key %s"}}`, r.Header.Get("X-Api-Key"))
			_ = z.Close()
		},
		repeat(200, "application/json"),
		func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"invalid key %s\"}}\n\n", r.Header.Get("X-Api-Key"))
		},
	} {
		u.answers(answer)
		for _, path := range []string{"/v1/messages?key=" + s.key, "/v1/messages/count_tokens"} {
			if i >= 3 && strings.HasSuffix(path, "tokens") { // a success is passed on unread
				continue
			}
			res, text := s.send(http.MethodPost, path, ask("Echo", ""), "X-Claude-Force-Session", "s")
			said += fmt.Sprint(res.Header) + text
		}
	}
	s.log.mu.Lock()
	said += s.log.String()
	s.log.mu.Unlock()
	err := filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var data []byte
			data, err = os.ReadFile(path)
			said += string(data)
		}
		if errors.Is(err, os.ErrNotExist) { // the server runs, and removes files
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{"the operator's": operatorKey, "the server's": s.key} {
		if i := strings.Index(said, secret); i >= 0 {
			t.Errorf("%s key shows: %s", name, said[max(0, i-200):min(len(said), i+50)])
		}
	}
	if !strings.Contains(said, "[credential]") {
		t.Error("the service did not repeat the key")
	}
}
