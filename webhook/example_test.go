package webhook_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A receiver checks the signature before it believes anything, and leaves out what it has
// seen: an event may come twice.
func Example_receive() {
	check, err := standardwebhooks.NewWebhook(os.Getenv("WEBHOOK_SECRET")) // whsec_…
	if err != nil {
		fmt.Println(err)
		return
	}
	seen := map[string]bool{} // of the header webhook-id; keep it where it outlasts the process
	http.HandleFunc("POST /claude-force", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil || check.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var event struct {
			Type string
			Data json.RawMessage
		}
		if id := r.Header.Get("webhook-id"); !seen[id] && json.Unmarshal(body, &event) == nil {
			seen[id] = true
			fmt.Println(event.Type)
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// TestExampleIsInTheDocs compares the example with the one that readers see.
func TestExampleIsInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "## Webhooks\n")
	_, after, _ = strings.Cut(after, "```go\n")
	shown, _, _ := strings.Cut(after, "```")
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ = strings.Cut(string(source), "func Example_receive() {\n")
	compiled, _, _ := strings.Cut(after, "\n}\n")
	compiled = strings.ReplaceAll("\n"+compiled, "\n\t", "\n")[1:] + "\n"
	if shown != compiled {
		t.Errorf("docs/server.md shows\n%s\nand the example is\n%s", shown, compiled)
	}
}
