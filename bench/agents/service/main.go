// Command service is a Messages API that plays many agents' loops at once and times
// them. It shares no code with the rest of the project:
//
//	go run ./bench/agents/service -turns 10 -call 1s
//
// It prints its address. Each answer takes the time of a call and then calls the tool
// "work", but for the last, which is a text. An agent is known by the first line of
// its task. GET /stats returns what was counted.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/claude-force/claude-force/bench/internal/messages"
)

// stats are what the service counts.
type stats struct {
	Calls    int                `json:"calls"`
	Bytes    map[int]int        `json:"bytes"`   // of the requests of each turn, of all agents
	Seconds  map[string]float64 `json:"seconds"` // that the calls of each agent took
	InFlight int                `json:"in_flight"`
	Most     int                `json:"most"` // calls in flight at once
}

func main() {
	turns := flag.Int("turns", 10, "turns of each loop")
	call := flag.Duration("call", time.Second, "time of a call")
	flag.Parse()
	var mu sync.Mutex // guards s
	s := stats{Seconds: map[string]float64{}, Bytes: map[int]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_ = json.NewEncoder(w).Encode(s)
	})
	mux.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		body, err := messages.Read(r)
		var req struct {
			Model    string `json:"model"`
			Messages []struct {
				Role string `json:"role"`
			} `json:"messages"`
		}
		name := agent.Find(body)
		if err != nil || json.Unmarshal(body, &req) != nil || name == nil {
			messages.Refuse(w, http.StatusBadRequest, "invalid_request_error", "this service plays agents")
			return
		}
		turn := 1
		for _, m := range req.Messages {
			if m.Role == "assistant" {
				turn++
			}
		}
		mu.Lock()
		s.Calls++
		s.Bytes[turn] += len(body)
		s.InFlight++
		s.Most = max(s.Most, s.InFlight)
		mu.Unlock()
		time.Sleep(*call)
		answer := messages.NewStream(w, r)
		answer.Begin(fmt.Sprintf("msg_%s_%d", name, turn), req.Model, len(body)/4)
		if turn < *turns {
			answer.Tool(0, fmt.Sprintf("toolu_%s_%d", name, turn), "work", fmt.Sprintf(`{"turn":%d}`, turn))
		} else {
			answer.Text(0, "Done.")
		}
		mu.Lock()
		s.InFlight--
		s.Seconds[string(name)] += time.Since(start).Seconds()
		mu.Unlock()
		if turn < *turns {
			answer.End("tool_use", 40)
		} else {
			answer.End("end_turn", 40)
		}
	})
	if err := messages.Serve(mux); err != nil {
		log.Fatal(err)
	}
}

// agent matches the name of an agent in its task.
var agent = regexp.MustCompile(`agent-\d+`)
