//go:build linux

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/sim"
)

// latency is how long the service takes for an answer.
const latency = 300 * time.Millisecond

// account is the credential with which all servers call the service.
const account = "sk-ant-test-of-machines"

// request is what the service has counted of a request.
type request struct {
	prompt       int
	key          string
	machine      int
	began, ended time.Time
	status       int
	cost         int64 // in billionths of a dollar
}

// service is the simulator, and what is counted in front of it.
type service struct {
	sim *sim.Server

	mu       sync.Mutex // guards the fields below
	requests []request
	wanted   int           // number of requests at which reached is closed
	reached  chan struct{} //
}

// tokens is the service's limit of tokens a minute, in and out. It is out of reach, and the
// service names it: of one that names none, those of a tier are assumed.
const tokens = 1_000_000_000

// newService returns a service with a limit, of which a burst is left. It also returns what an
// answer costs.
func newService(ctx context.Context, rpm, burst int) (s *service, cost int64) {
	limits := sim.Limits{RequestsPerMinute: burst + 1, InputTokensPerMinute: tokens, OutputTokensPerMinute: tokens}
	s = &service{sim: sim.New(sim.Options{Limits: &limits, Latency: sim.Fixed(latency), NoPromptCache: true})}
	// The first request makes the bucket. With a higher limit it keeps what is left.
	first := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/messages", strings.NewReader(body(text(0))))
	first.Header.Set("X-Api-Key", account)
	first.Header.Set("Anthropic-Version", "2023-06-01")
	answer := httptest.NewRecorder()
	s.sim.ServeHTTP(answer, first)
	limits.RequestsPerMinute = rpm
	s.sim.SetLimits(&limits)
	return s, costOf(answer.Body.Bytes())
}

var question = regexp.MustCompile(`payer=([a-z]+)\. Question q-(\d+)\.`)

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/messages" {
		s.sim.ServeHTTP(w, r)
		return
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the client has gone
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	asked := request{prompt: -1, began: time.Now(), machine: machineOf(r.RemoteAddr)}
	if m := question.FindSubmatch(data); m != nil {
		asked.key = string(m[1])
		asked.prompt, _ = strconv.Atoi(string(m[2])) // digits
	}
	answer := &recorder{ResponseWriter: w, status: http.StatusOK}
	defer func() { // also if the simulator resets the connection
		asked.ended, asked.status = time.Now(), answer.status
		if asked.status == http.StatusOK {
			asked.cost = costOf(answer.written.Bytes())
		}
		s.note(asked)
	}()
	s.sim.ServeHTTP(answer, r)
}

func (s *service) note(asked request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, asked)
	if len(s.requests) == s.wanted {
		close(s.reached)
	}
}

// reach returns a channel that is closed when the service has answered n more requests.
func (s *service) reach(n int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted, s.reached = len(s.requests)+n, make(chan struct{})
	return s.reached
}

// counted returns all requests.
func (s *service) counted() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// machineOf returns the machine that an address is of, or -1.
func machineOf(remote string) int {
	host, _, err := net.SplitHostPort(remote)
	for machine := range machines {
		if err == nil && host == addressOf(machine) {
			return machine
		}
	}
	return -1
}

// recorder keeps what is written to a client.
type recorder struct {
	http.ResponseWriter
	status  int
	written bytes.Buffer
}

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(data []byte) (int, error) {
	w.written.Write(data)
	return w.ResponseWriter.Write(data)
}

func (w *recorder) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

var inputTokens, outputTokens = regexp.MustCompile(`"input_tokens":\s*(\d+)`), regexp.MustCompile(`"output_tokens":\s*(\d+)`)

// costOf returns what an answer costs by the public price list of Haiku: 0.10 and 0.50
// dollars for a million tokens. What its events say last of the tokens holds.
func costOf(answer []byte) int64 {
	last := func(tokens *regexp.Regexp) (n int64) {
		if all := tokens.FindAllSubmatch(answer, -1); len(all) > 0 {
			n, _ = strconv.ParseInt(string(all[len(all)-1][1]), 10, 64) // digits
		}
		return n
	}
	return last(inputTokens)*100 + last(outputTokens)*500
}
