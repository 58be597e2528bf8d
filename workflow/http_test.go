package workflow_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/workflow"
)

// hostile are texts that would lead a request elsewhere if they were inserted as they
// are.
var hostile = []string{
	"/", "//evil.com", "@evil.com", ":pw@evil.com/", "?x=1", "#x", "#@evil.com", `\`, `\\evil.com\`, "..", "../", "../../admin", `..\..\admin`, ".", "./x",
	"%2e%2e", "%2F..%2F", "%00", "\x00", "\r\n", "\r\nHost: evil.com", "\t", " ", "", "evil.com", "evil.com:80", ":80", "[::1]", "127.0.0.1", "https://evil.com/",
	"http:", "javascript:alert(1)", "a&b=c", "a;b", "a=b", "+", "%", "%zz", "ü", "。evil.com", "／evil.com", "\u2028", "\ufeff", "日本", "'", `"`, "${{ env.X }}", "`x`", "<x>",
	strings.Repeat("a", 300), "\xff", "a/b", "a.b", "-", "~", "*", "(", "|", "^", "{}",
}

// TestHostileValuesStayInTheirPlace sends requests whose paths, queries and names below
// a domain come from values that would lead elsewhere: the host stays as it was written,
// no path gets another part, no query another name, and the value arrives as it was.
func TestHostileValuesStayInTheirPlace(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	value := func() string {
		text := ""
		for range 1 + random.IntN(3) {
			text += hostile[random.IntN(len(hostile))]
		}
		return text
	}
	fill := func(at, item string) (string, error) {
		wf, err := workflow.Parse("wf.yaml", []byte(fmt.Sprintf("steps: [{id: a, foreach: [x], http: {url: %q, query: {z: \"${{ item }}\"}}}]", at)), workflow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		filled, err := wf.Steps[0].HTTP.Fill(workflow.Env{Item: item})
		request, _ := filled.(workflow.HTTPRequest)
		return request.URL, err
	}
	sent, refused := 0, 0
	for i := range 20_000 {
		item := value()
		if i < len(hostile) {
			item = hostile[i]
		}
		text, err := fill("https://api.example.com:8443/v1/${{ item }}/end?q=${{ item }}&r=1", item)
		if err != nil {
			refused++
			continue
		}
		sent++
		u, err := url.Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", item, err)
		}
		if u.Host != "api.example.com:8443" || u.Scheme != "https" || u.User != nil || u.Fragment != "" {
			t.Errorf("%q leads to %s", item, text)
		}
		parts := strings.Split(u.EscapedPath(), "/")
		if len(parts) != 4 || parts[1] != "v1" || parts[3] != "end" {
			t.Errorf("%q changes the path: %s", item, text)
		} else if got, err := url.PathUnescape(parts[2]); err != nil || got != item {
			t.Errorf("%q arrives as %q, %v", item, got, err)
		}
		q, err := url.ParseQuery(u.RawQuery)
		if err != nil || len(q) != 3 || q.Get("q") != item || q.Get("z") != item || q.Get("r") != "1" {
			t.Errorf("%q changes the query: %s, %v", item, text, err)
		}

		text, err = fill("https://${{ item }}.example.com/x", item)
		if err != nil {
			continue
		}
		if u, err = url.Parse(text); err != nil || !strings.HasSuffix(u.Hostname(), ".example.com") || u.Path != "/x" || u.User != nil {
			t.Errorf("%q leaves the domain: %s, %v", item, text, err)
		}
	}
	if sent < 1000 || refused < 1000 {
		t.Errorf("%d sent, %d refused: the test tests little", sent, refused)
	}
}

func TestRequestValues(t *testing.T) {
	t.Parallel()
	const file = `
params: {base: {default: "https://h.org/p"}, big: {type: json, default: 12345678901234567890}}
steps:
  - id: a
    http:
      url: ${{ params.base }}/x?a=b
      query: {n: [1, "${{ params.big }}"]}
      headers: {X-Of: "${{ params.base }}", Authorization: {env: CI, prefix: "Bearer "}}
      json: {n: "${{ params.big }}", f: 1.50, t: "${{ params.base }}!"}
  - {id: b, http: {url: "https://h.org", form: {a: [1, 2], b: "&"}}}
  - {id: c, http: {url: "https://h.org", json: text}}
`
	wf, err := workflow.Parse("wf.yaml", []byte(file), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	params, err := wf.BindParams(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{POST https://h.org/p/x?a=b&n=1&n=12345678901234567890 [{X-Of https://h.org/p  } {Authorization  CI Bearer } {Content-Type application/json  }] {"n":12345678901234567890,"f":1.50,"t":"https://h.org/p!"}}`,
		`{POST https://h.org [{Content-Type application/x-www-form-urlencoded  }] a=1&a=2&b=%26}`,
		`{POST https://h.org [{Content-Type application/json  }] "text"}`,
	}
	for i, s := range wf.Steps {
		got, err := s.HTTP.Fill(workflow.Env{Params: params})
		if text := fmt.Sprint(got); err != nil || text != want[i] {
			t.Errorf("%s: %v\ngot  %s\nwant %s", s.ID, err, text, want[i])
		}
	}
	for url, want := range map[string]string{
		"https://h.org/${{ item }}": "https://h.org/", "https://h.org?x=${{ item }}": "https://h.org?x=", "https://h.org:81/a": "https://h.org:81/a",
		"${{ params.base }}/${{ params.base }}": "https://h.org/p/https:%2F%2Fh.org%2Fp", "https://h.org${{ item }}": "", "${{ item }}": "", "https://${{ item }}/": "", "${{ params.base }}/${{ item }}": "https://h.org/p/", "https://h.org${{ params.base }}": "",
	} {
		wf, err := workflow.Parse("wf.yaml", []byte("params: {base: {default: https://h.org/p}}\nsteps: [{id: a, foreach: [x], http: \""+url+"\"}]"), workflow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := wf.Steps[0].HTTP.Target(workflow.Env{Params: params}); got != want {
			t.Errorf("%s: the target is %q, not %q", url, got, want)
		}
	}
}
