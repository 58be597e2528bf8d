package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"sync"
)

// maxCounted is the largest number of distinct requests that are counted.
const maxCounted = 1_000_000

// RequestCount counts how often one request was made.
type RequestCount struct {
	Started  int `json:"begun"`    // authenticated, or submitted in a batch
	Answered int `json:"answered"` // answered completely, or succeeded in a batch
}

// requestCounter counts requests by the hash of their bodies.
type requestCounter struct {
	mu      sync.Mutex // guards the fields below
	counts  map[[sha256.Size]byte]RequestCount
	omitted int // requests over maxCounted
}

func (t *requestCounter) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts, t.omitted = map[[sha256.Size]byte]RequestCount{}, 0
}

func (t *requestCounter) add(body []byte, started, answered int) {
	key := sha256.Sum256(stripBreakpoints(body))
	t.mu.Lock()
	defer t.mu.Unlock()
	n, known := t.counts[key]
	if !known && len(t.counts) >= maxCounted {
		t.omitted += started
		return
	}
	n.Started += started
	n.Answered += answered
	t.counts[key] = n
}

func (t *requestCounter) read() (counts map[string]RequestCount, omitted int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts = make(map[string]RequestCount, len(t.counts))
	for key, n := range t.counts {
		counts[hex.EncodeToString(key[:])] = n
	}
	return counts, t.omitted
}

// breakpoint matches a cache_control in JSON. It cannot match within a string,
// where the quotes are escaped.
var breakpoint = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`,\s*"cache_control"\s*:\s*(\{[^{}]*\}|null)|"cache_control"\s*:\s*(\{[^{}]*\}|null)\s*,`)
})

// stripBreakpoints returns a body as the model sees it: without prompt-cache
// breakpoints.
func stripBreakpoints(body []byte) []byte {
	if !bytes.Contains(body, []byte(`"cache_control"`)) {
		return body
	}
	return breakpoint().ReplaceAll(body, nil)
}

// Sum returns the key of a request in [Server.Requests]: the SHA-256, in
// hexadecimal, of its body without any cache_control. A repeated prompt can
// have other breakpoints, and is still the same request.
func Sum(body []byte) string {
	sum := sha256.Sum256(stripBreakpoints(body))
	return hex.EncodeToString(sum[:])
}

// Requests returns how often each request was made, by the [Sum] of its body.
// For a request in a batch that is the Sum of its params as they were sent. At
// most a million distinct requests are counted.
func (s *Server) Requests() map[string]RequestCount {
	counts, _ := s.requests.read()
	return counts
}

func (s *Server) serveRequests(w http.ResponseWriter, _ *http.Request) {
	counts, omitted := s.requests.read()
	writeJSON(w, struct {
		Requests map[string]RequestCount `json:"requests"`
		LeftOut  int                     `json:"left_out"` // requests over maxCounted
	}{counts, omitted})
}
