package web

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// site is a web server over TLS for the names in its certificate: example.com and
// its subdomains.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
}

func newSite(t *testing.T, h http.HandlerFunc) *site {
	s := &site{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Host+r.URL.Path)
		s.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func (s *site) url(path string) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return "https://example.com:" + port + path
}

func (s *site) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// resolver returns a resolver of every name to an address.
func resolver(t *testing.T, address string) *net.Resolver {
	t.Helper()
	var fixed atomic.Value
	fixed.Store(address)
	return changingResolver(t, &fixed)
}

// changingResolver returns a resolver of every name to the address that is set.
func changingResolver(t *testing.T, address *atomic.Value) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() { // ends when the connection is closed
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			addr := netip.MustParseAddr(address.Load().(string))
			head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
			switch {
			case q.Type == dnsmessage.TypeA && addr.Is4():
				m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}}}
			case q.Type == dnsmessage.TypeAAAA && addr.Is6():
				m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}}
			}
			if out, err := m.Pack(); err == nil {
				conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func anywhere(netip.AddrPort) error { return nil }

// script is a model that answers with one response after the other.
type script struct {
	mu       sync.Mutex
	answers  []*llm.Response
	requests []*llm.Request
}

func (s *script) Stream(_ context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.requests) >= len(s.answers) {
			yield(llm.Event{}, errors.New("the script has no more answers"))
			return
		}
		answer := s.answers[len(s.requests)]
		s.requests = append(s.requests, req)
		yield(llm.Event{Type: llm.EventDone, Response: answer}, nil)
	}
}

func says(text string) *llm.Response {
	return &llm.Response{Content: []llm.Block{llm.TextBlock(text)}, StopReason: llm.StopEndTurn, Source: llm.SourceLive}
}

// web returns a Web that reaches the site alone, and any name leads to it.
func (s *site) web(t *testing.T, model llm.Model) *Web {
	return &Web{
		options: Options{Model: model, ModelID: "small"}, pages: newPages(),
		client: newClient(anywhere, s.roots(), resolver(t, "127.0.0.1")),
	}
}

// call runs a tool as an agent does.
func call(t *testing.T, w *Web, name string, input any) tool.Result {
	t.Helper()
	set, err := tool.NewSet(w.Tools()...)
	if err != nil {
		t.Fatal(err)
	}
	env, err := tool.NewEnv(t.TempDir(), tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	raw, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	return set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: name, Input: raw})
}

type input map[string]any

func TestFetch(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
		w.Write([]byte("<html><head><title>T</title><style>b{}</style></head><body><h1>Caf\xe9</h1><p>See <a href='/more'>more</a>.</p><script>alert(1)</script><table><tr><th>a</th></tr><tr><td>1</td></tr></table></page></body></html>"))
	})
	model := &script{answers: []*llm.Response{says("It is a café."), says("Yes.")}}
	w := s.web(t, model)
	got := call(t, w, "WebFetch", input{"url": s.url("/a#part"), "prompt": "What is it?"})
	if got.IsError || got.Text != "It is a café." {
		t.Fatalf("result: %+v", got)
	}
	asked := model.requests[0].Messages[0].Content[0].Text
	for _, want := range []string{"# Café", "[more](" + s.url("/more") + ")", "| a |", "What is it?", "</page>"} {
		if !strings.Contains(asked, want) {
			t.Errorf("the model was not shown %q:\n%s", want, asked)
		}
	}
	for _, not := range []string{"alert", "b{}"} {
		if strings.Contains(asked, not) {
			t.Errorf("the model was shown %q:\n%s", not, asked)
		}
	}
	if got := call(t, w, "WebFetch", input{"url": s.url("/a"), "prompt": "Is it?"}); got.Text != "Yes." {
		t.Errorf("the second question: %+v", got)
	}
	if s.count() != 1 {
		t.Errorf("the page was fetched %d times, want once", s.count())
	}
}

// TestFetchWithoutModel returns the text itself, in bounds, part after part.
func TestFetchWithoutModel(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, strings.Repeat("é", maxShown), strings.Repeat("x", 10))
	})
	w := s.web(t, nil)
	got := call(t, w, "WebFetch", input{"url": s.url("/"), "prompt": "?"})
	if got.IsError || strings.Count(got.Text, "é") != maxShown || strings.Contains(got.Text, "xxx") || !strings.Contains(got.Text, fmt.Sprintf("offset %d", maxShown)) {
		t.Errorf("first part: error %v, %d characters", got.IsError, len(got.Text))
	}
	got = call(t, w, "WebFetch", input{"url": s.url("/"), "prompt": "?", "offset": fmt.Sprint(maxShown)})
	if got.IsError || !strings.Contains(got.Text, "xxxxxxxxxx") || strings.Contains(got.Text, "é") {
		t.Errorf("second part: %+v", got)
	}
	if got := call(t, w, "WebSearch", input{"query": "abc"}); !got.IsError {
		t.Errorf("a search without a model: %+v", got)
	}
}

func TestFetchRedirects(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/other":
			http.Redirect(w, r, "https://sub.example.com/page", http.StatusFound)
		case "/address":
			http.Redirect(w, r, "https://169.254.169.254/meta", http.StatusFound)
		case "/around":
			http.Redirect(w, r, "/around", http.StatusFound)
		default:
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, "the end")
		}
	})
	w := s.web(t, nil)
	for path, want := range map[string]struct {
		contains string
		isError  bool
		requests int
	}{
		"/same":    {"the end", false, 2},
		"/other":   {"https://sub.example.com/page", false, 1},
		"/address": {"https://169.254.169.254/meta", false, 1},
		"/around":  {"redirects", true, maxRedirects},
	} {
		before := s.count()
		got := call(t, w, "WebFetch", input{"url": s.url(path), "prompt": "?"})
		if got.IsError != want.isError || !strings.Contains(got.Text, want.contains) || s.count()-before != want.requests {
			t.Errorf("%s: %d requests, %+v", path, s.count()-before, got)
		}
	}
}

// TestFetchRefusesHosts covers what is refused before a name is looked up.
func TestFetchRefusesHosts(t *testing.T) {
	w := New(Options{})
	w.client = newClient(func(at netip.AddrPort) error { t.Errorf("connected to %s", at); return errPrivate }, nil,
		&net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			t.Error("a name was looked up")
			return nil, errPrivate
		}})
	for _, url := range []string{
		"notaurl", "x", "", "//example.com/", "mailto:a@example.com", "https:///path", "file:///etc/passwd", "ftp://example.com/", "javascript:alert(1)",
		"http://localhost:1/x", "https://localhost/", "https://localhost./", "https://LOCALHOST", "https://intranet/page",
		"https://127.0.0.1/", "https://127.0.0.1./", "https://127.1/", "https://0x7f.1/", "https://0177.0.0.1/", "https://2130706433/", "https://0x7f000001/",
		"https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://8.8.8.8/", "https://a.b.0x7f/",
		"https://user:secret@example.com/", "https://user@example.com/", "https://example.com\\@10.0.0.1/", "https://" + strings.Repeat("a", 3000) + ".com/",
	} {
		if got := call(t, w, "WebFetch", input{"url": url, "prompt": "?"}); !got.IsError {
			t.Errorf("%q was not refused: %s", url, got.Text)
		}
	}
}

// TestFetchRefusesAddresses covers names that lead to an address inside: each is
// refused when the connection is made, and no request is sent.
func TestFetchRefusesAddresses(t *testing.T) {
	s := newSite(t, func(http.ResponseWriter, *http.Request) {})
	for _, addr := range []string{
		"127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
		"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
		"::", "::1", "::ffff:10.0.0.1", "::10.0.0.1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1",
		"2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "100::1",
	} {
		t.Run(addr, func(t *testing.T) {
			w := New(Options{})
			w.client = newClient(public, s.roots(), resolver(t, addr))
			got := call(t, w, "WebFetch", input{"url": s.url("/"), "prompt": "?"})
			if !got.IsError || !strings.Contains(got.Text, errPrivate.Error()) {
				t.Errorf("result: %+v", got)
			}
		})
	}
	if s.count() != 0 {
		t.Errorf("%d requests were sent", s.count())
	}
	for _, addr := range []string{"8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001:800::200e", "64:ff9b::808:808", "2002:808:808::1"} {
		if err := public(netip.AddrPortFrom(netip.MustParseAddr(addr), 443)); err != nil {
			t.Errorf("%s is refused: %v", addr, err)
		}
	}
}

// TestFetchRebinding resolves a name to a good address first and to a bad one then:
// the second connection is refused.
func TestFetchRebinding(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "hello")
	})
	w := New(Options{})
	bad := netip.MustParseAddr("127.0.0.2")
	allowed := func(at netip.AddrPort) error {
		if at.Addr() == bad {
			return errPrivate
		}
		return nil
	}
	var address atomic.Value
	address.Store("127.0.0.1")
	w.client = newClient(allowed, s.roots(), changingResolver(t, &address))
	if got := call(t, w, "WebFetch", input{"url": s.url("/1"), "prompt": "?"}); got.IsError {
		t.Fatalf("the first time: %+v", got)
	}
	address.Store(bad.String())
	if got := call(t, w, "WebFetch", input{"url": s.url("/2"), "prompt": "?"}); !got.IsError || !strings.Contains(got.Text, errPrivate.Error()) {
		t.Errorf("the second time: %+v", got)
	}
	if s.count() != 1 {
		t.Errorf("%d requests, want 1", s.count())
	}
}

// TestPublicProperty: whatever the standard library calls private is refused in every
// form that leads to it.
func TestPublicProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := [4]byte{}
		for i := range b {
			b[i] = rapid.Byte().Draw(t, "byte")
		}
		v4 := netip.AddrFrom4(b)
		mapped := netip.AddrFrom16(v4.As16())
		translated := netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b, 12: b[0], 13: b[1], 14: b[2], 15: b[3]})
		tunnel := netip.AddrFrom16([16]byte{0x20, 0x02, b[0], b[1], b[2], b[3]})
		want := public(netip.AddrPortFrom(v4, 443)) != nil
		if (v4.IsPrivate() || v4.IsLoopback() || v4.IsLinkLocalUnicast() || v4.IsMulticast() || v4.IsUnspecified()) && !want {
			t.Fatalf("%s is allowed", v4)
		}
		for _, other := range []netip.Addr{mapped, translated, tunnel} {
			if got := public(netip.AddrPortFrom(other, 443)) != nil; got != want {
				t.Fatalf("%s: refused %v, and %s: refused %v", v4, want, other, got)
			}
		}
	})
}

// TestFetchBounds covers pages that are too long, too deep or no text.
func TestFetchBounds(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			w.Header().Set("Content-Type", "text/plain")
			for range maxPage/1000 + 10 {
				w.Write([]byte(strings.Repeat("y", 1000)))
			}
		case "/deep":
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<p>top</p>" + strings.Repeat("<div><b>", 100_000) + "in"))
		case "/pdf":
			w.Header().Set("Content-Type", "application/pdf")
			w.Write([]byte("%PDF-1.7"))
		case "/missing":
			http.NotFound(w, r)
		}
	})
	w := s.web(t, nil)
	if p, err := w.fetch(t.Context(), s.url("/long")); err != nil || len(p.text) != maxPage || !p.cut {
		t.Errorf("long page: %v", err)
	}
	for path, want := range map[string]string{"/pdf": "application/pdf", "/missing": "404"} {
		if got := call(t, w, "WebFetch", input{"url": s.url(path), "prompt": "?"}); !got.IsError || !strings.Contains(got.Text, want) {
			t.Errorf("%s: %+v", path, got)
		}
	}
	got := call(t, w, "WebFetch", input{"url": s.url("/deep"), "prompt": "?"})
	if len(got.Text) > 2*maxShown { // an error or a text, but it ends
		t.Errorf("deep page: %d bytes", len(got.Text))
	}
}

// TestPagesAge keeps pages for 15 minutes, and a bounded number of them.
func TestPagesAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPages()
		p.add("a", &page{text: "a"})
		time.Sleep(pageAge - time.Nanosecond)
		if p.get("a") == nil {
			t.Error("the page is gone too early")
		}
		time.Sleep(time.Nanosecond)
		if p.get("a") != nil {
			t.Error("the page is kept too long")
		}
		for i := range 3 * maxPages {
			p.add(fmt.Sprint(i), &page{text: "text"})
		}
		if len(p.byURL) > maxPages || p.stored != 4*len(p.byURL) {
			t.Errorf("%d pages, %d bytes", len(p.byURL), p.stored)
		}
	})
}

// TestSearch continues a paused answer with its blocks as they came.
func TestSearch(t *testing.T) {
	use := `{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"go 1.26"}}`
	result := `{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","title":"Go\n1.26","url":"https://go.dev/doc","encrypted_content":"a<b>c=","page_age":null},{"type":"web_search_result","title":"Go 1.26","url":"https://go.dev/doc","encrypted_content":"x"}]}`
	blocks := make([]llm.Block, 2)
	for i, raw := range []string{use, result} {
		if err := json.Unmarshal([]byte(raw), &blocks[i]); err != nil {
			t.Fatal(err)
		}
	}
	model := &script{answers: []*llm.Response{{Content: blocks, StopReason: llm.StopPauseTurn}, says("Go 1.26 is out.")}}
	w := New(Options{Model: model, ModelID: "small"})
	got := call(t, w, "WebSearch", input{"query": "go 1.26", "allowed_domains": []string{"go.dev"}})
	if got.IsError || !strings.Contains(got.Text, "Go 1.26 is out.") || strings.Count(got.Text, "- Go 1.26: https://go.dev/doc\n") != 1 {
		t.Errorf("result: %+v", got)
	}
	if def := string(model.requests[0].Tools[0].Raw); def != `{"type":"web_search_20250305","name":"web_search","max_uses":1,"allowed_domains":["go.dev"]}` {
		t.Errorf("the service's tool: %s", def)
	}
	again := model.requests[1].Messages
	if len(again) != 2 || len(again[1].Content) != 2 || string(again[1].Content[0].Raw) != use || string(again[1].Content[1].Raw) != result {
		t.Errorf("the continued turn: %+v", again)
	}
}

func TestSearchRefused(t *testing.T) {
	failed := llm.Block{}
	if err := json.Unmarshal([]byte(`{"type":"web_search_tool_result","tool_use_id":"s","content":{"type":"web_search_tool_result_error","error_code":"unavailable"}}`), &failed); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in   input
		want string
	}{
		"too short":     {input{"query": "a"}, "query"},
		"both lists":    {input{"query": "abc", "allowed_domains": []string{"a.com"}, "blocked_domains": []string{"b.com"}}, "cannot be combined"},
		"failed search": {input{"query": "abc"}, "unavailable"},
	} {
		model := &script{answers: []*llm.Response{{Content: []llm.Block{failed, llm.TextBlock("Sorry.")}, StopReason: llm.StopEndTurn}}}
		got := call(t, New(Options{Model: model}), "WebSearch", c.in)
		if !got.IsError || !strings.Contains(got.Text, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestAskEnds bounds an answer that pauses for ever.
func TestAskEnds(t *testing.T) {
	model := &script{}
	for range 100 {
		model.answers = append(model.answers, &llm.Response{Content: []llm.Block{llm.TextBlock("x")}, StopReason: llm.StopPauseTurn})
	}
	if got := call(t, New(Options{Model: model}), "WebSearch", input{"query": "abc"}); got.IsError || len(model.requests) != 5 {
		t.Errorf("%d requests: %s", len(model.requests), cmp.Or(got.Text, "no text"))
	}
}
