// Command service is a Messages API that keeps every request. It shares no code with
// the rest of the project, so that what it counts is a second opinion:
//
//	go run ./bench/restart/service
//
// It prints its address. A request is known by the word in its prompt that begins with
// "job-". GET /log returns all requests. It takes webhooks of runs at /hook too; GET /hooks
// returns them.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/claude-force/claude-force/bench/internal/messages"
)

// request is what is kept of a request. Times are in nanoseconds since 1970.
type request struct {
	Job     string `json:"job"`
	Started int64  `json:"started"`
	Sent    bool   `json:"sent"` // the whole answer
}

type service struct {
	mu    sync.Mutex // guards the fields below
	list  []request
	hooks []hook
}

// hook is what is kept of a webhook.
type hook struct {
	ID  string `json:"id"`
	Run string `json:"run"`
}

var job = regexp.MustCompile(`job-[a-z0-9_-]+`)

// Tokens of each answer.
const (
	inputTokens  = 1000
	outputTokens = 100
)

func main() {
	s := &service{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", s.messages)
	mux.HandleFunc("POST /v1/messages/count_tokens", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"input_tokens":%d}`, inputTokens)
	})
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(s.list)
	})
	mux.HandleFunc("POST /hook", s.hook)
	mux.HandleFunc("GET /hooks", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(s.hooks)
	})
	if err := messages.Serve(mux); err != nil {
		log.Fatal(err)
	}
}

// hook keeps a webhook.
func (s *service) hook(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Data struct {
			Run string `json:"run_id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body); err != nil {
		http.Error(w, "this is no webhook", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = append(s.hooks, hook{r.Header.Get("Webhook-Id"), body.Data.Run})
}

func (s *service) messages(w http.ResponseWriter, r *http.Request) {
	body, err := messages.Read(r)
	var req struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	if err != nil || json.Unmarshal(body, &req) != nil {
		messages.Refuse(w, http.StatusBadRequest, "invalid_request_error", "this is no request")
		return
	}
	s.mu.Lock()
	number := len(s.list)
	s.list = append(s.list, request{Job: job.FindString(string(body)), Started: time.Now().UnixNano()})
	s.mu.Unlock()
	time.Sleep(time.Duration(20+number*7%60) * time.Millisecond)
	sent := false
	if req.Stream {
		answer := messages.NewStream(w, r)
		answer.Pause = 2 * time.Millisecond
		sent = answer.Begin("msg_"+strconv.Itoa(number), req.Model, inputTokens) && answer.Text(0, "An ", "answer.") && answer.End("end_turn", outputTokens)
	} else {
		w.Header().Set("Content-Type", "application/json")
		_, err := fmt.Fprintf(w, `{"id":"msg_%d","type":"message","role":"assistant","model":%q,"content":[{"type":"text","text":"An answer."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":%d,"output_tokens":%d}}`,
			number, req.Model, inputTokens, outputTokens)
		sent = err == nil && r.Context().Err() == nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[number].Sent = sent
}
