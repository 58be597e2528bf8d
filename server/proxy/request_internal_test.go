package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

// TestALongTextIsNotCopied reads a request whose text is most of it.
func TestALongTextIsNotCopied(t *testing.T) {
	text := strings.Repeat(`one \"line\"\n`, 10_000)
	body := []byte(`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"` + text + `"}]}`)
	req, err := readRequest(body, http.Header{}, "", sharing{mode: ModeAlways})
	if err != nil {
		t.Fatal(err)
	}
	raw := req.Messages[0].Content[0].Raw
	if string(raw) != `"`+text+`"` {
		t.Fatalf("the text is %d bytes; want the %d of the body", len(raw), len(text)+2)
	}
	if from := cap(body) - cap(raw); from < 0 || from >= len(body) || &body[from] != &raw[0] {
		t.Error("the text is not that of the body")
	}
}

// TestAllThatIsSentIsDescribed has blocks that do not count for what requests are the same:
// they are sent, and budgets must see them.
func TestAllThatIsSentIsDescribed(t *testing.T) {
	t.Parallel()
	const billing = `{"type":"text","text":"x-anthropic-billing-header: v=1;"}`
	body := `{"model":"m","system":[` + billing + `,` + billing + `],"messages":[{"role":"user","content":[` + billing + `,{"type":"docu\u006dent","source":{"type":"url"}}]}]}`
	req, err := readRequest([]byte(body), http.Header{}, "", sharing{mode: ModeAlways})
	if err != nil {
		t.Fatal(err)
	}
	if len(req.System) != 2 || len(req.Messages[0].Content) != 2 || string(req.Wire.Body) != body {
		t.Errorf("read as %+v", req)
	}
	if b := req.Messages[0].Content[1]; b.Type != "document" || !strings.Contains(string(b.Raw), `"document"`) {
		t.Errorf("a block is described as %+v", b)
	}
}

// TestDeepAndWideRequests reads large requests that are nothing but brackets or fields: what
// is in them is looked at a bounded number of times. A reading that is not linear outlasts
// the test's timeout, or the stack.
func TestDeepAndWideRequests(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	deep := func(open, end string) string {
		n := 4 * size / (len(open) + len(end))
		return strings.Repeat(open, n) + strings.Repeat(end, n)
	}
	var fields strings.Builder
	for i := 0; fields.Len() < size; i++ {
		fmt.Fprintf(&fields, `,"f%d":1`, i)
	}
	for name, body := range map[string]string{
		"results in results": `{"model":"m","messages":[{"role":"user","content":[` + deep(`{"type":"tool_result","content":[`, `]}`) + `]}]}`,
		"arrays":             `{"model":"m","x":` + deep(`[`, `]`) + `}`,
		"objects in a tool":  `{"model":"m","tools":[{"name":"x","input_schema":` + strings.Replace(deep(`{"a":`, `}`), `:}`, `:1}`, 1) + `}]}`,
		"fields":             `{"model":"m"` + fields.String() + `}`,
		"blocks":             `{"model":"m","messages":[{"role":"user","content":[` + strings.Repeat(`{},`, size/30) + `{}]}]}`,
	} {
		req, err := readRequest([]byte(body), http.Header{}, "", sharing{mode: ModeAlways})
		if err != nil || req.Model != "m" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRefreshedAnswersAreFound reads each kind of request with and without a refresh: if the
// answer of the plain request may be shared, the refreshed one takes its place.
func TestRefreshedAnswersAreFound(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{ModeAlways, ModeDeterministic, ModeOff} {
		for _, session := range []string{"", "s"} {
			for _, temperature := range []json.Number{"0", "1"} {
				read := func(header http.Header) *llm.Request {
					t.Helper()
					header.Set(sessionHeaders[0], session)
					share, err := mode.of(header)
					if err != nil {
						t.Fatal(err)
					}
					req, err := readRequest([]byte(`{"model":"m","temperature":`+string(temperature)+`}`), header, "", share)
					if err != nil {
						t.Fatal(err)
					}
					return req
				}
				plain, fresh := read(http.Header{}), read(http.Header{modeHeader: {string(ModeRefresh)}})
				if fresh.Policy != llm.PolicyRefresh {
					t.Errorf("%s, session %q, temperature %s: a refresh is %q", mode, session, temperature, fresh.Policy)
				}
				if plain.Policy == llm.PolicyDefault && plain.Wire.Digest != fresh.Wire.Digest {
					t.Errorf("%s, session %q, temperature %s: the refreshed answer is not found", mode, session, temperature)
				}
			}
		}
	}
}
