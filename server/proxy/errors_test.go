package proxy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/server/proxy"
)

// TestErrors passes on what the service refuses as it refuses it, and keeps none of it.
func TestErrors(t *testing.T) {
	refusal := `{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too \u006cow","details":{"new":1}},"request_id":"req_1"}`
	u := newUpstream(t, nil)
	s := serve(t, u.URL, proxy.ModeAlways)
	status := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for range 2 {
		u.answers(status(400, refusal, "Content-Type", "application/json", "X-New", "1"))
		res, text := s.send(http.MethodPost, "/v1/messages", ask("Refuse", ""))
		if res.StatusCode != 400 || text != refusal || res.Header.Get("X-New") != "1" || u.asked() != 1 || res.Header.Get("X-Claude-Force-Cache") != "miss" {
			t.Errorf("%s %s: %s, asked %d times", res.Status, res.Header, text, u.asked())
		}
	}
	u.answers(status(403, "<html>no</html>", "Content-Type", "text/html"))
	if res, text := s.send(http.MethodPost, "/v1/messages", ask("Page", "")); res.StatusCode != 403 || text != "<html>no</html>" {
		t.Errorf("%s: %s", res.Status, text)
	}
	u.answers(status(307, "", "Location", "http://elsewhere.example.com/"))
	for _, path := range []string{"/v1/messages", "/v1/messages/count_tokens"} {
		if res, text := s.send(http.MethodPost, path, ask("Redirect", "")); res.StatusCode != 502 || res.Header.Get("Location") != "" || !strings.Contains(text, "redirects") {
			t.Errorf("%s %s: %s", path, res.Status, text)
		}
	}
	// A stream that is refused before it shows anything is asked for again.
	failed := false
	overloaded := "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
	u.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if !failed {
			failed = true
			w.Header().Set("Retry-After", "0")
			_, _ = io.WriteString(w, events[0]+overloaded)
			return
		}
		_, _ = io.WriteString(w, strings.Join(events, ""))
	})
	if _, text := s.send(http.MethodPost, "/v1/messages", ask("Again", `,"stream":true`)); text != strings.Join(events, "") || u.asked() != 2 {
		t.Errorf("asked %d times: %s", u.asked(), text)
	}
	// One that is refused later ends with the error, as the service wrote it.
	u.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, strings.Join(events[:4], "")+overloaded)
	})
	if _, text := s.send(http.MethodPost, "/v1/messages", ask("Late", `,"stream":true`)); text != strings.Join(events[:4], "")+overloaded || u.asked() != 1 {
		t.Errorf("asked %d times: %s", u.asked(), text)
	}
	// One that is cut off is cut off for the client.
	u.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, strings.Join(events[:4], ""))
	})
	res, err := http.DefaultTransport.RoundTrip(s.request(t.Context(), http.MethodPost, "/v1/messages", ask("Cut", `,"stream":true`)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err == nil || string(got) != strings.Join(events[:4], "") {
		t.Errorf("%v: %s", err, got)
	}
	for _, body := range []string{"", "[]", `{"model":5}`, `{"model":"a","model":"b"}`, `{"model":"a","max_tokens":"9"}`, `{"messages":"x"}`, `{"model":"a"`, "\xff\xfe{\x00}"} {
		u.answers(answerAny)
		if res, text := s.send(http.MethodPost, "/v1/messages", body); res.StatusCode != 400 || !json.Valid([]byte(text)) || u.asked() != 0 {
			t.Errorf("%q: %s: %s", body, res.Status, text)
		}
	}
	if res, _ := s.send(http.MethodPost, "/v1/messages", ask("Zip", ""), "Content-Encoding", "gzip"); res.StatusCode != 415 {
		t.Errorf("an encoded body: %s", res.Status)
	}
	if res, text := s.send(http.MethodPost, "/v1/complete", "{}"); res.StatusCode != 404 || !strings.Contains(text, "not_found_error") {
		t.Errorf("another address: %s: %s", res.Status, text)
	}
	for _, path := range []string{"/v1/messages", "/v1/messages/count_tokens"} { // as much of it as net/http reads before it answers
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n\r\n%s", path, s.key, 33<<20, strings.Repeat(" ", 256<<10+1))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a large body: %v, %v", res, err)
		}
		if err := errors.Join(err, conn.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHeadersOfTheService passes on the headers of every kind of answer, but none in which the
// service speaks for this server: of what it did, of its host, or to browsers.
func TestHeadersOfTheService(t *testing.T) {
	ours := []string{
		"X-Claude-Force-Cache", "hit", "X-Claude-Force-Saved-Usd", "5", "X-Claude-Force-Other", "1", "Access-Control-Allow-Origin", "*",
		"Strict-Transport-Security", "max-age=9; includeSubDomains", "Alt-Svc", `h3=":443"`, "Clear-Site-Data", `"*"`, "Set-Cookie", "a=b", "Nel", "{}",
		"Content-Security-Policy", "default-src *", "X-Content-Type-Options", "sniff", "Cross-Origin-Resource-Policy", "cross-origin",
	}
	u := newUpstream(t, nil)
	s := serve(t, u.URL, proxy.ModeOff)
	for name, tt := range map[string]struct {
		path, body, source string
		status             int
		answer             string
	}{
		"answer":  {"/v1/messages", ask("Plain", ""), "bypass", 200, `{"id":"m","type":"message","role":"assistant","model":"claude-haiku-5-5","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`},
		"stream":  {"/v1/messages", ask("Stream", `,"stream":true`), "bypass", 200, strings.Join(events, "")},
		"error":   {"/v1/messages", ask("Refuse", ""), "bypass", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"no"}}`},
		"count":   {"/v1/messages/count_tokens", ask("Count", ""), "", 200, `{"input_tokens":1}`},
		"refused": {"/v1/messages/count_tokens", ask("Count", ""), "", 404, `{"type":"error","error":{"type":"not_found_error","message":"no"}}`},
	} {
		u.answers(func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(ours); i += 2 {
				w.Header().Set(ours[i], ours[i+1])
			}
			w.Header().Set("X-New", "1")
			w.Header().Set("Cache-Control", "private")
			w.Header().Set("Content-Type", "application/json")
			if strings.HasPrefix(tt.answer, "event:") {
				w.Header().Set("Content-Type", "text/event-stream")
			}
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.answer)
		})
		res, text := s.send(http.MethodPost, tt.path, tt.body)
		if res.StatusCode != tt.status || text != tt.answer || res.Header.Get("X-New") != "1" || res.Header.Get("Cache-Control") != "private" || res.Header.Get("X-Claude-Force-Cache") != tt.source {
			t.Errorf("%s: %s %v: %s", name, res.Status, res.Header, text)
		}
		for i := 0; i < len(ours); i += 2 {
			if got := res.Header.Values(ours[i]); ours[i] != "X-Claude-Force-Cache" && slices.Contains(got, ours[i+1]) {
				t.Errorf("%s: %s: %q", name, ours[i], got)
			}
		}
	}
}

// TestAnswersWithoutUsage records answers that do not say what they cost as uncertain.
func TestAnswersWithoutUsage(t *testing.T) {
	u := newUpstream(t, nil)
	s := serve(t, u.URL, proxy.ModeOff)
	document := `{"id":"m","type":"message","role":"assistant","model":"claude-haiku-5-5","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"%s}`
	stream := "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-haiku-5-5\",\"content\":[]%s}}\n\n" +
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	for usage, uncertain := range map[string]bool{
		"": true, `,"usage":null`: true, `,"usage":{}`: true, `,"usage":[]`: true, `,"usage":{"input_tokens":0,"output_tokens":0}`: true,
		`,"usage":{"input_tokens":3,"output_tokens":1}`: false,
	} {
		for _, answer := range []string{fmt.Sprintf(document, usage), fmt.Sprintf(stream, usage)} {
			body := ask("Count nothing", "")
			if strings.HasPrefix(answer, "event") {
				body = ask("Count nothing", `,"stream":true`)
			}
			u.answers(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if strings.HasPrefix(answer, "event") {
					w.Header().Set("Content-Type", "text/event-stream")
				}
				_, _ = io.WriteString(w, answer)
			})
			if res, text := s.send(http.MethodPost, "/v1/messages", body); res.StatusCode != 200 || text != answer {
				t.Errorf("%q: %s: %s", usage, res.Status, text)
			}
			call := <-s.ended
			if call.Code != 0 || call.Uncertain != uncertain || len(call.Tries) != 1 || (call.Tries[0].Uncertain > 0) != uncertain {
				t.Errorf("%s: recorded as %+v; want uncertain: %t", answer, call, uncertain)
			}
		}
	}
}

// TestBudget refuses what no budget has room for, and batches, whose cost none counts.
func TestBudget(t *testing.T) {
	u := newUpstream(t, answerAny)
	day := 1e-6
	s := serve(t, u.URL, proxy.ModeAlways, func(c *config.Config) { c.Budget.Day, c.Budget.OnExceed = &day, "downgrade" })
	for path, want := range map[string]int{"/v1/messages": http.StatusPaymentRequired, "/v1/messages/batches": http.StatusForbidden} {
		if res, text := s.send(http.MethodPost, path, ask("Spend", "")); res.StatusCode != want || !strings.Contains(text, `"type":"error"`) || u.asked() != 0 && u.last().uri != "/v1/messages/count_tokens" {
			t.Errorf("%s: %s: %s", path, res.Status, text)
		}
	}
}

// TestLoop refuses a request that comes back to the proxy that sent it on.
func TestLoop(t *testing.T) {
	u := newUpstream(t, nil)
	s := serve(t, u.URL, proxy.ModeAlways)
	u.answers(func(w http.ResponseWriter, r *http.Request) { // as a proxy in between that knows the key
		back := s.request(r.Context(), r.Method, r.URL.Path, ask("Loop", ""), "Via", r.Header.Get("Via"))
		res, err := http.DefaultTransport.RoundTrip(back)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	})
	if res, text := s.send(http.MethodPost, "/v1/messages/count_tokens", ask("Loop", "")); res.StatusCode != http.StatusLoopDetected || u.asked() != 1 {
		t.Errorf("%s, asked %d times: %s", res.Status, u.asked(), text)
	}
}

// TestUnreachable says what is wrong with the operator's settings.
func TestUnreachable(t *testing.T) {
	s := serve(t, "http://192.0.2.1", proxy.ModeAlways)
	res, text := s.send(http.MethodPost, "/v1/messages", ask("Plain", ""))
	if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "https") || res.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("%s: %s", res.Status, text)
	}
}

// TestABudgetRefusesAtItsBorder makes calls until the worst case of the next one does not
// fit, whose answers are much shorter than they may be: it is refused, and neither waits for
// room nor reaches the service.
func TestABudgetRefusesAtItsBorder(t *testing.T) {
	var asked atomic.Int64
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/messages" { // tokens are counted for free
			asked.Add(1)
		}
		answerAny(w, r)
	})
	const cost, limit = 182e-6, 0.0065 // 12 tokens at $1 and 34 at $5 per million; the answer may take 1,000
	day := limit
	s := serve(t, u.URL, proxy.ModeOff, func(c *config.Config) {
		c.Budget.Day = &day
		c.TimeZone = time.FixedZone("noon", (12-time.Now().UTC().Hour())*3600) // its day is not over soon
	})
	body := strings.Replace(ask("Hello", ""), `"max_tokens":100`, `"max_tokens":1000`, 1)
	for answered := 0; ; answered++ {
		res, text := s.send(http.MethodPost, "/v1/messages", body)
		if res.StatusCode == http.StatusOK && float64(answered)*cost < limit {
			continue
		}
		most := float64(answered)*cost + 0.005 + 250e-6 // the prompt has less than 250 bytes with its frame
		if res.StatusCode != http.StatusPaymentRequired || !strings.Contains(text, "billing_error") || int(asked.Load()) != answered || answered < 2 || most < limit {
			t.Errorf("after %d answers and %d requests: %s %s", answered, asked.Load(), res.Status, text)
		}
		return
	}
}
