package anthropic_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
)

// TestBaseURLWithVersionIsNamed: whatever a service says that it has nothing there, a
// base URL that ends in what is added to it is named.
func TestBaseURLWithVersionIsNamed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 403, 404, 405} {
		for _, body := range []string{
			"", "404 page not found", "<html>", `{"detail":"Not Found"}`, `{"error":"not found"}`,
			`{"type":"error","error":{"type":"not_found_error","message":"Not found"}}`,
		} {
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				fmt.Fprint(w, body)
			}))
			for path, want := range map[string]string{"/v1": "must not end in /v1", "/v1/": "must not end in /v1", "/v1/messages": "must not end in /v1/messages", "": ""} {
				client, err := anthropic.New(anthropic.Options{APIKey: "sk-test", BaseURL: service.URL + path})
				if err != nil {
					t.Fatal(err)
				}
				req := &llm.Request{Model: "claude-haiku-5-5", MaxTokens: 10, Messages: []llm.Message{{Role: llm.RoleUser, Content: []llm.Block{llm.TextBlock("hi")}}}}
				_, err = llm.Collect(client.Stream(t.Context(), req))
				if err == nil || strings.Contains(err.Error(), "must not end in") != (want != "") || !strings.Contains(err.Error(), want) {
					t.Errorf("%d %q at %q: %v", status, body, path, err)
				}
			}
			service.Close()
		}
	}
}
