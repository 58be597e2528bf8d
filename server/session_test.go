package server_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/keys"
)

// browser returns a client of pages that keeps cookies and follows redirects.
func (s *service) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// TestLogin logs in with the key and with a code, and out.
func TestLogin(t *testing.T) {
	s := serve(t, t.TempDir(), nil)
	post := func(c *http.Client, path string, form url.Values) (*http.Response, string) {
		t.Helper()
		res, err := c.PostForm(s.url+path, form)
		if err != nil {
			t.Fatal(err)
		}
		return res, body(t, res)
	}
	at := func(c *http.Client, path string) string {
		t.Helper()
		res, err := c.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body(t, res)
		return res.Request.URL.RequestURI()
	}
	code := s.srv.LoginCode()
	for name, secret := range map[string]string{"the key": s.key, "a code": code} {
		c := s.browser()
		if got := at(c, "/runs?status=failed"); got != "/login?next=%2Fruns%3Fstatus%3Dfailed" {
			t.Errorf("before the login with %s, a page leads to %s", name, got)
		}
		res, _ := post(c, "/login", url.Values{"key": {secret}, "next": {"/runs?status=failed"}})
		if got := res.Request.URL.RequestURI(); got != "/runs?status=failed" {
			t.Errorf("the login with %s leads to %s, %s", name, got, res.Status)
		}
		if got := at(c, "/"); got != "/" {
			t.Errorf("after the login with %s, the page leads to %s", name, got)
		}
		if res, err := c.Get(s.url + "/api/v1/runs"); err != nil || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("a session is a key of the API: %v, %v", res, err)
		}
		u, err := url.Parse(s.url)
		if err != nil {
			t.Fatal(err)
		}
		if cookies := c.Jar.Cookies(u); len(cookies) != 1 || !strings.HasSuffix(cookies[0].Name, u.Port()) || strings.Contains(cookies[0].Value, s.key) {
			t.Errorf("cookies: %v", cookies)
		}
		was := *c.Jar.Cookies(u)[0]
		if res, _ := post(c, "/logout", nil); res.Request.URL.Path != "/login" {
			t.Errorf("the logout leads to %s", res.Request.URL)
		}
		c.Jar.SetCookies(u, []*http.Cookie{&was})
		if got := at(c, "/"); got != "/login" {
			t.Errorf("the cookie of a session that has ended leads to %s", got)
		}
	}
	c := s.browser()
	for name, secret := range map[string]string{"a code again": code, "another key": keys.New(), "nothing": ""} {
		if res, text := post(c, "/login", url.Values{"key": {secret}}); res.StatusCode != http.StatusForbidden || !strings.Contains(text, "neither a key nor") {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
	for _, next := range []string{"//evil.example.com", "https://evil.example.com", `/\evil.example.com`, "javascript:alert(1)", "/\t/evil.example.com"} {
		if res, _ := post(c, "/login", url.Values{"key": {s.key}, "next": {next}}); res.Request.URL.RequestURI() != "/" {
			t.Errorf("next %q leads to %s", next, res.Request.URL)
		}
	}
	for range 10 {
		post(c, "/login", url.Values{"key": {"wrong"}})
	}
	if res, _ := post(c, "/login", url.Values{"key": {s.key}}); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("after many wrong keys: %s", res.Status)
	}
}

// TestHeadersOfPages checks what keeps a page from running what is not ours.
func TestHeadersOfPages(t *testing.T) {
	s := serve(t, t.TempDir(), nil)
	for _, path := range []string{"/", "/login", "/runs", "/runs?status=odd", "/runs/run_none"} {
		res, _ := s.send("GET", path, nil)
		policy := res.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; style-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Opener-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

// body reads the body of an answer.
func body(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	var text strings.Builder
	if err := res.Write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestLoginFromElsewhere has a page of elsewhere lead to the login, once, and to nothing
// else.
func TestLoginFromElsewhere(t *testing.T) {
	s := serve(t, t.TempDir(), nil)
	path, code, _ := strings.Cut(s.srv.LoginPath(), "#")
	_, query, _ := strings.Cut(path, "?")
	get := func(method, path, mode string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		req.Header.Set("Sec-Fetch-Mode", mode)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body(t, res)
		return res.StatusCode
	}
	for _, refused := range [][3]string{
		{"GET", "/login", "navigate"}, {"GET", "/login?open=x", "navigate"}, {"GET", "/login?open=" + code, "navigate"}, {"GET", path, "no-cors"}, {"GET", path, "cors"},
		{"POST", path, "navigate"}, {"GET", "/?" + query, "navigate"}, {"GET", "/api/v1/runs?" + query, "navigate"},
	} {
		if got := get(refused[0], refused[1], refused[2]); got != http.StatusForbidden {
			t.Errorf("%q: %d", refused, got)
		}
	}
	if first, again := get("GET", path, "navigate"), get("GET", path, "navigate"); first != http.StatusOK || again != http.StatusForbidden {
		t.Errorf("the login answered %d, then %d", first, again)
	}
	res, err := s.browser().PostForm(s.url+"/login", url.Values{"key": {code}})
	if err != nil {
		t.Fatal(err)
	}
	if body(t, res); res.Request.URL.Path != "/" {
		t.Errorf("the login with the code leads to %s", res.Request.URL)
	}
}
