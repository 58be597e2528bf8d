package proxy

import (
	"net/http"
	"strings"
	"testing"
)

// TestALongTextIsNotCopied reads a request whose text is most of it.
func TestALongTextIsNotCopied(t *testing.T) {
	text := strings.Repeat(`one \"line\"\n`, 10_000)
	body := []byte(`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"` + text + `"}]}`)
	req, err := readRequest(body, http.Header{}, "", ModeAlways)
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
