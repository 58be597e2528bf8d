package sim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2"

	"github.com/claude-force/claude-force/sim"
)

// TestEveryFieldOfTheSDKIsKnown sends each field that the SDK's types of a request
// name: none may be refused as one that does not exist.
func TestEveryFieldOfTheSDKIsKnown(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(sim.New(sim.Options{}))
	defer service.Close()
	for query, params := range map[string]any{"": anthropic.MessageNewParams{}, "?beta=true": anthropic.BetaMessageNewParams{}} {
		fields := 0
		for field := range reflect.TypeOf(params).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" || name == "-" {
				continue
			}
			fields++
			body := map[string]any{"model": "claude-haiku-5-5", "max_tokens": 10, "messages": []any{map[string]any{"role": "user", "content": "hi"}}}
			if body[name] == nil {
				body[name] = nil
			}
			data, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service.URL+"/v1/messages"+query, strings.NewReader(string(data)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Api-Key", "sk-test")
			req.Header.Set("Anthropic-Version", "2023-06-01")
			req.Header.Set("Content-Type", "application/json")
			if query != "" {
				req.Header.Set("Anthropic-Beta", "some-beta-2026-01-01")
			}
			resp, err := service.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || strings.Contains(string(answer), "Extra inputs") {
				t.Errorf("%s%s: %s %v", name, query, answer, err)
			}
		}
		if fields < 15 {
			t.Errorf("the SDK's type has %d fields", fields)
		}
	}
}
