package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// answerCanary is what the receiver answers, which must be kept nowhere.
const answerCanary = "canary-of-an-answer"

// receiverMain runs a receiver of webhooks, as others would write one: it knows the standard
// and nothing of this program. It prints its address, then a line for each request. It
// refuses the first request with each id, and holds the request number RECEIVER_HOLD, with
// all that follow, until a sender has gone. It ends with its input.
func receiverMain() {
	hold, err := strconv.Atoi(os.Getenv("RECEIVER_HOLD"))
	check, secretErr := standardwebhooks.NewWebhook(os.Getenv("OPS_SECRET"))
	listener, listenErr := net.Listen("tcp", "127.0.0.1:0")
	if err != nil || secretErr != nil || listenErr != nil {
		fmt.Fprintln(os.Stderr, err, secretErr, listenErr)
		os.Exit(1)
	}
	var mu sync.Mutex // guards the variables below, and the output
	requests, gone, seen := 0, false, map[string]int{}
	out := json.NewEncoder(os.Stdout)
	go func() { // until the input ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println("http://" + listener.Addr().String() + "/in")
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // of a test
		body, err := io.ReadAll(r.Body)
		var l receivedLine
		l.ID, l.Verified = r.Header.Get("webhook-id"), err == nil && check.Verify(body, r.Header) == nil
		_ = json.Unmarshal(body, &l)
		mu.Lock()
		requests++
		seen[l.ID]++
		held := !gone && requests >= hold
		l.Answer = http.StatusNoContent
		if held {
			l.Answer = 0
		} else if seen[l.ID] == 1 {
			l.Answer = http.StatusServiceUnavailable
		}
		_ = out.Encode(l)
		mu.Unlock()
		if held {
			<-r.Context().Done()
			mu.Lock()
			gone = true
			mu.Unlock()
			return
		}
		w.WriteHeader(l.Answer)
		if l.Answer != http.StatusNoContent {
			_, _ = io.WriteString(w, answerCanary)
		}
	})}
	fmt.Fprintln(os.Stderr, server.Serve(listener))
	os.Exit(1)
}

// receivedLine is what the receiver says of a request.
type receivedLine struct {
	ID       string
	Verified bool
	Answer   int // 0 for none
	Type     string
	Data     struct {
		RunID  string `json:"run_id"`
		Status string
		Level  string
		URL    string
	}
}
