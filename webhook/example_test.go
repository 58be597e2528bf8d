package webhook_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

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
