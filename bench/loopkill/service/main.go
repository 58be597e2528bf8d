// Command service is a Messages API that plays an agent's loop of 20 turns with 40
// calls of tools, and keeps what it was sent. It shares no code with the rest of the
// project, so that what it counts is a second opinion:
//
//	go run ./bench/loopkill/service
//
// It prints its address. GET /log?key=K returns the requests that were made with the
// key K. Each call of a tool has an id that no other has, also if its turn is sent
// twice, and each that changes something writes its mark, which ends with a digest of
// all results that the model has read: an answer follows from them.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/bench/internal/messages"
)

// turns is how many turns of the loop call tools. One more ends it.
const turns = 20

// received is a request of a turn.
type received struct {
	Turn        int      `json:"turn"`        // from 1; 0 for the step after the loop
	Attempt     int      `json:"attempt"`     // which request of this turn it is, from 1
	Results     string   `json:"results"`     // a digest of the results that it has
	Interrupted []string `json:"interrupted"` // ids of the calls that it reports as interrupted
	Failed      []string `json:"failed"`      // ids of the calls that failed otherwise
	Answered    bool     `json:"answered"`    // the answer was sent whole
	Problem     string   `json:"problem,omitempty"`
}

type service struct {
	mu   sync.Mutex // guards the field below
	logs map[string][]*received
}

func main() {
	s := &service{logs: map[string][]*received{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", s.messages)
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		list := s.logs[r.URL.Query().Get("key")]
		if list == nil {
			list = []*received{}
		}
		_ = json.NewEncoder(w).Encode(list)
	})
	if err := messages.Serve(mux); err != nil {
		log.Fatal(err)
	}
}

// block is one of a message's content, which may be a text alone.
type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	ID        string          `json:"id"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

func (m message) blocks() (list []block) {
	var text string
	if json.Unmarshal(m.Content, &text) == nil {
		return []block{{Type: "text", Text: text}}
	}
	_ = json.Unmarshal(m.Content, &list)
	return list
}

// secret is what a file says that the loop reads first and then searches for.
var secret = regexp.MustCompile(`secret=(\w+)`)

// conversation is what a request says of the turns before.
type conversation struct {
	turn   int
	secret string
	got    *received
	digest [sha256.Size]byte
	ids    []string // of the calls whose results it has
}

// read reads a request of the loop. A turn must follow an answer that was sent whole,
// and have a result for each of its calls.
func (s *service) read(list []message, answered map[string]bool) *conversation {
	c := &conversation{turn: 1, got: &received{}}
	var called []string
	h := sha256.New()
	for _, m := range list {
		var results []string
		for _, b := range m.blocks() {
			switch b.Type {
			case "tool_use":
				called = append(called, b.ID)
				if !answered[b.ID] {
					c.got.Problem = "an answer with " + b.ID + " was not sent whole"
				}
			case "tool_result":
				results = append(results, b.ToolUseID)
				fmt.Fprintf(h, "%s %v %s\n", b.ToolUseID, b.IsError, b.Content)
				if found := secret.FindSubmatch(b.Content); found != nil {
					c.secret = string(found[1])
				}
				if b.IsError && strings.Contains(string(b.Content), "process that ran this call ended") {
					c.got.Interrupted = append(c.got.Interrupted, b.ToolUseID)
				} else if b.IsError {
					c.got.Failed = append(c.got.Failed, b.ToolUseID)
				}
			}
		}
		if m.Role == "user" {
			if strings.Join(results, " ") != strings.Join(called, " ") {
				c.got.Problem = fmt.Sprintf("turn %d has results of %v for calls of %v", c.turn, results, called)
			}
			c.ids, called = append(c.ids, results...), nil
		}
		if m.Role == "assistant" {
			c.turn++
		}
	}
	h.Sum(c.digest[:0])
	c.got.Turn, c.got.Results = c.turn, hex.EncodeToString(c.digest[:8])
	return c
}

// call is a call of a tool.
type call struct{ name, input string }

// calls returns those of an answer, which follows from the conversation.
func (c *conversation) calls(attempt int) []call {
	mark := func(call int) string {
		return fmt.Sprintf("mark-%d-%d-%d-%x", c.turn, call, attempt, c.digest[:4])
	}
	appended := func(call int) string { return `printf '%s\n' ` + mark(call) + " >> ../outside/effects" }
	input := func(pairs ...string) string {
		object := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			object[pairs[i]] = pairs[i+1]
		}
		text, _ := json.Marshal(object) // of texts alone
		return string(text)
	}
	own := fmt.Sprintf("w%d.txt", c.turn)
	switch c.turn % 5 {
	case 1:
		return []call{
			{"Read", input("file_path", "data.txt")},
			{"Bash", input("command", appended(2))},
		}
	case 2:
		return []call{
			{"Grep", input("pattern", "secret="+c.secret)},
			{"Write", input("file_path", own, "content", mark(2)+"\n")},
		}
	case 3:
		return []call{
			{"Read", input("file_path", "log.txt")},
			{"Edit", input("file_path", "log.txt", "old_string", "# end", "new_string", mark(2)+"\n# end")},
		}
	case 4:
		return []call{
			{"Bash", input("command", "sleep 0.05; "+appended(1)+"; sleep 0.05")},
			{"Bash", input("command", "cat data.txt")},
		}
	}
	return []call{
		{"Write", input("file_path", own, "content", mark(1)+"\n# end\n")},
		{"Edit", input("file_path", own, "old_string", "# end", "new_string", mark(2))},
	}
}

// begin keeps a request of the loop and returns the conversation and the calls of the
// answer, with their ids; none at its end.
func (s *service) begin(key string, list []message) (c *conversation, ids []string, calls []call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answered := map[string]bool{}
	for _, r := range s.logs[key] {
		for i := range 2 {
			answered[id(r.Turn, i+1, r.Attempt)] = r.Answered
		}
	}
	c = s.read(list, answered)
	c.got.Attempt = 1
	for _, r := range s.logs[key] {
		if r.Turn == c.turn {
			c.got.Attempt++
		}
	}
	s.logs[key] = append(s.logs[key], c.got)
	if c.turn > turns {
		return c, nil, nil
	}
	if c.turn > 1 && c.secret == "" && c.got.Problem == "" {
		c.got.Problem = "what Read returned in turn 1 is not there"
	}
	calls = c.calls(c.got.Attempt)
	for i := range calls {
		ids = append(ids, id(c.turn, i+1, c.got.Attempt))
	}
	return c, ids, calls
}

// id returns that of a call.
func id(turn, call, attempt int) string { return fmt.Sprintf("toolu_%d_%d_%d", turn, call, attempt) }

func (s *service) messages(w http.ResponseWriter, r *http.Request) {
	body, err := messages.Read(r)
	var req struct {
		Model    string    `json:"model"`
		Stream   bool      `json:"stream"`
		Messages []message `json:"messages"`
	}
	if err != nil || json.Unmarshal(body, &req) != nil || !req.Stream || len(req.Messages) == 0 {
		messages.Refuse(w, http.StatusBadRequest, "invalid_request_error", "this service streams answers")
		return
	}
	key := messages.Key(r)
	loop := false
	for _, b := range req.Messages[0].blocks() {
		loop = loop || strings.Contains(b.Text, "Work through the list.")
	}
	var c *conversation
	var ids []string
	var calls []call
	if loop {
		c, ids, calls = s.begin(key, req.Messages)
	} else {
		c = &conversation{got: &received{}}
		s.mu.Lock()
		s.logs[key] = append(s.logs[key], c.got)
		s.mu.Unlock()
	}
	time.Sleep(time.Duration(2+rand.IntN(60)) * time.Millisecond)
	answer := messages.NewStream(w, r)
	answer.Pause = time.Millisecond
	input := len(body)/4 + 1
	ok := answer.Begin(fmt.Sprintf("msg_%d_%d", c.turn, c.got.Attempt), req.Model, input)
	for i, call := range calls {
		ok = ok && answer.Tool(i, ids[i], call.name, call.input)
	}
	reason := "tool_use"
	if len(calls) == 0 {
		ok = ok && answer.Text(0, "All", " done.")
		reason = "end_turn"
	}
	if ok { // before its end, after which the next turn can come
		s.mu.Lock()
		c.got.Answered = true
		s.mu.Unlock()
		answer.End(reason, 60)
	}
}
