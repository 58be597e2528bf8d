package permission

import (
	"encoding/json"
	"testing"
)

// TestHostsAreOne covers the forms of one host's name: a rule for one is a rule for
// all, as they lead to the same host.
func TestHostsAreOne(t *testing.T) {
	for name, urls := range map[string][]string{
		"example.com": {"https://example.com/", "http://EXAMPLE.com", "https://example.com./x", "https://example.com:8443/", "https://ｅxample.com/", "https://example。com/", "https://user@example.com/"},
		"bücher.de":   {"https://bücher.de/", "https://BÜCHER.de/", "https://xn--bcher-kva.de/"},
		"*.a.com":     {"https://b.a.com/", "https://c.b.A.com", "https://b。a.com/"},
	} {
		deny := Policy{Mode: ModeBypass, Dir: "/", Deny: []Rule{{Tool: "WebFetch", Spec: "domain:" + name}}}
		allow := Policy{Dir: "/", Allow: deny.Deny}
		for _, url := range urls {
			input, err := json.Marshal(map[string]string{"url": url})
			if err != nil {
				t.Fatal(err)
			}
			if got := deny.Check("WebFetch", input, "/").Outcome; got != Deny {
				t.Errorf("denied %s, %s: outcome %d", name, url, got)
			}
			if got := allow.Check("WebFetch", input, "/").Outcome; got != Allow {
				t.Errorf("allowed %s, %s: outcome %d", name, url, got)
			}
		}
		for _, url := range []string{"https://other.com/", "https://example.com.evil.com/", "https://notexample.com/", "https://a.com/", "https://xa.com/"} {
			input, err := json.Marshal(map[string]string{"url": url})
			if err != nil {
				t.Fatal(err)
			}
			if got := allow.Check("WebFetch", input, "/").Outcome; got == Allow {
				t.Errorf("allowed %s: %s is allowed too", name, url)
			}
		}
	}
}
