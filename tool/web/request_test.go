package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func names(hosts ...string) func(string) bool {
	return func(host string) bool { return slices.Contains(hosts, host) }
}

func TestAddressesOfRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		named      []string
		host, addr string
		ok         bool
	}{
		{nil, "example.com", "93.184.216.34:443", true},
		{nil, "example.com", "127.0.0.1:443", false},
		{[]string{"example.com"}, "example.com", "127.0.0.1:443", false}, // the name came to stand for another address
		{[]string{"example.com"}, "example.com", "[::ffff:10.0.0.1]:443", false},
		{[]string{"10.0.0.1"}, "example.com", "10.0.0.1:443", false}, // granted by a pattern
		{[]string{"corp.example.com", "10.0.0.1"}, "corp.example.com", "10.0.0.1:443", true},
		{[]string{"corp.example.com", "10.0.0.1"}, "corp.example.com", "10.0.0.2:443", false},
		{[]string{"localhost"}, "localhost", "127.0.0.1:80", true},
		{[]string{"localhost"}, "localhost", "[::1]:80", true},
		{[]string{"localhost"}, "localhost", "10.0.0.1:80", false},
		{[]string{"127.0.0.1"}, "127.0.0.1", "127.0.0.1:80", true},
		{[]string{"169.254.169.254"}, "127.0.0.1", "169.254.169.254:80", false},
	} {
		err := NewSender(names(c.named...)).reachable(c.host, netip.MustParseAddrPort(c.addr))
		if (err == nil) != c.ok {
			t.Errorf("%s at %s with rules for %v: %v", c.host, c.addr, c.named, err)
		}
	}
}

func TestURLsOfRequests(t *testing.T) {
	t.Parallel()
	s := NewSender(names("localhost", "127.0.0.1", "plain.example.com"))
	for url, ok := range map[string]bool{
		"https://example.com/x": true, "http://plain.example.com/": true, "http://localhost:1/": true, "http://127.0.0.1/": true, "https://127.0.0.1:8/": true,
		"http://example.com/": false, "https://10.0.0.1/": false, "https://[::1]/": false, "https://127.1/": false, "https://0x7f.1/": false, "https://2130706433/": false,
		"https://intranet/": false, "ftp://example.com/": false, "file:///etc/passwd": false, "https://a:b@example.com/": false, "https:///x": false, "x": false, ":": false,
	} {
		if err := s.Check(url); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestRedirectsOfRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method string
		status int
		same   bool
		want   string
	}{
		{"GET", 301, false, "GET"}, {"HEAD", 303, false, "HEAD"}, {"GET", 308, false, "GET"},
		{"POST", 301, false, "GET"}, {"POST", 302, true, "GET"}, {"POST", 303, false, "GET"}, {"DELETE", 303, true, "GET"},
		{"POST", 307, true, "POST"}, {"PUT", 308, true, "PUT"}, {"POST", 307, false, ""}, {"DELETE", 308, false, ""},
		{"DELETE", 301, true, ""}, {"PUT", 302, true, ""},
	} {
		if got, err := nextMethod(c.method, c.status, c.same); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s after %d, same origin %v: %s, %v; want %s", c.method, c.status, c.same, got, err, c.want)
		}
	}
}

// TestRedirectsArePermitted follows redirects to a server that is not permitted.
func TestRedirectsArePermitted(t *testing.T) {
	t.Parallel()
	var reached bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/?key="+r.Header.Get("X-Key"), http.StatusFound)
	}))
	defer first.Close()
	var asked []string
	s := NewSender(names("127.0.0.1"))
	defer s.Close()
	_, err := s.Send(t.Context(), Request{
		Method: http.MethodGet, URL: first.URL, Header: http.Header{"X-Key": {"secret value"}}, Secrets: []string{"secret value"},
		Expects: func(status int) bool { return status == http.StatusOK },
		Permit: func(_ context.Context, method, url, _ string) error {
			if asked = append(asked, method+" "+url); len(asked) > 1 {
				return &RefusedError{"no: " + url}
			}
			return nil
		},
	})
	want := []string{"GET " + first.URL, "GET " + other.URL + "/?key=***"}
	if err == nil || reached || !slices.Equal(asked, want) || strings.Contains(err.Error(), "secret") {
		t.Errorf("reached %v, asked %q, %v", reached, asked, err)
	}
}
