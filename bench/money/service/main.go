// Command service is a Messages API that keeps its own accounts. It shares no code
// with the rest of the project, so that what it counts is a second opinion:
//
//	go run ./bench/money/service
//
// It prints its address. A request is billed to its key, and one whose prompt says
// payer=NAME to the key K/NAME; GET /bill?key=K returns what K was billed. Some calls are refused, some break off and some are
// reset, by a hash of the key and the number of the call.
package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/bench/internal/messages"
)

// bill is what one key was billed, in billionths of a dollar.
type bill struct {
	Requests int   `json:"requests"`
	Answers  int   `json:"answers"`
	Broken   int   `json:"broken"`   // attempts that broke off after the prompt was reported
	Refused  int   `json:"refused"`  // with a status
	Reset    int   `json:"reset"`    // before anything was reported
	Left     int   `json:"left"`     // clients that left within the answer
	Billed   int64 `json:"billed"`   // for answers and broken attempts
	LeftCost int64 `json:"left_usd"` // for answers whose client left
}

type till struct {
	mu    sync.Mutex // guards the field below
	bills map[string]*bill
}

// Prices of Haiku in millionths of a billionth of a dollar for each token, from
// the public price list: 0.10 and 0.50 dollars for a million tokens.
const (
	inputPrice  = 100_000
	outputPrice = 500_000
)

// price returns the price of tokens, rounded up to billionths of a dollar.
func price(input, output int) int64 {
	return (int64(input)*inputPrice + int64(output)*outputPrice + 999) / 1000
}

func (t *till) note(key string, change func(*bill)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.bills[key]
	if b == nil {
		b = &bill{}
		t.bills[key] = b
	}
	change(b)
}

func main() {
	t := &till{bills: map[string]*bill{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", t.messages)
	mux.HandleFunc("POST /v1/messages/count_tokens", func(w http.ResponseWriter, r *http.Request) {
		body, _ := messages.Read(r)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"input_tokens":%d}`, prompt(body))
	})
	mux.HandleFunc("GET /bill", func(w http.ResponseWriter, r *http.Request) {
		t.note(r.URL.Query().Get("key"), func(b *bill) { _ = json.NewEncoder(w).Encode(b) })
	})
	if err := messages.Serve(mux); err != nil {
		log.Fatal(err)
	}
}

// prompt returns the tokens of a request: a quarter of its bytes, which is less than
// any bound by bytes.
func prompt(body []byte) int { return len(body)/4 + 1 }

func (t *till) messages(w http.ResponseWriter, r *http.Request) {
	body, err := messages.Read(r)
	var req struct {
		Model     string `json:"model"`
		MaxTokens int    `json:"max_tokens"`
		Stream    bool   `json:"stream"`
	}
	if err != nil || json.Unmarshal(body, &req) != nil || !req.Stream || !strings.Contains(req.Model, "haiku") {
		messages.Refuse(w, http.StatusBadRequest, "invalid_request_error", "this service streams answers of Haiku")
		return
	}
	key := messages.Key(r)
	if _, text, ok := strings.Cut(string(body), "payer="); ok {
		name, _, _ := strings.Cut(text, ".")
		key += "/" + name
	}
	number := 0
	t.note(key, func(b *bill) { b.Requests++; number = b.Requests })
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%s %d", key, number)
	dice := hash.Sum32()
	time.Sleep(time.Duration(5+dice%30) * time.Millisecond)
	input, output := prompt(body), 150+int(dice/7%100)
	output = min(output, req.MaxTokens)
	switch dice % 20 {
	case 0, 1:
		status, kind := http.StatusInternalServerError, "api_error"
		if dice%2 == 1 {
			status, kind = 529, "overloaded_error"
		}
		t.note(key, func(b *bill) { b.Refused++ })
		w.Header().Set("Retry-After", "0")
		messages.Refuse(w, status, kind, "drawn")
		return
	case 2:
		t.note(key, func(b *bill) { b.Reset++ })
		panic(http.ErrAbortHandler) // closes the connection
	}
	answer := messages.NewStream(w, r)
	answer.Pause = 3 * time.Millisecond
	ok := answer.Begin("msg_"+strconv.FormatUint(uint64(dice), 36)+strconv.Itoa(number), req.Model, input)
	if dice%20 == 3 {
		// Billed is what was reported: the prompt and the first token.
		t.note(key, func(b *bill) { b.Broken++; b.Billed += price(input, 1) })
		panic(http.ErrAbortHandler)
	}
	ok = ok && answer.Text(0, slices.Repeat([]string{"Some words of an answer. "}, 4)...)
	stop := "end_turn"
	if output == req.MaxTokens {
		stop = "max_tokens"
	}
	ok = ok && answer.End(stop, output)
	t.note(key, func(b *bill) {
		if !ok {
			b.Left++
			b.LeftCost += price(input, output)
			return
		}
		b.Answers++
		b.Billed += price(input, output)
	})
}
