package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"sync"
)

// maxCounted is how many different requests are counted.
const maxCounted = 1_000_000

// RequestCount says how often one and the same request was made.
type RequestCount struct {
	Begun    int `json:"begun"`    // let in, or submitted in a batch
	Answered int `json:"answered"` // answered whole, or succeeded in a batch
}

// tally counts requests by their bodies.
type tally struct {
	mu      sync.Mutex // guards the fields below
	counts  map[[sha256.Size]byte]RequestCount
	leftOut int // requests not counted, since too many were
}

func (t *tally) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts, t.leftOut = map[[sha256.Size]byte]RequestCount{}, 0
}

func (t *tally) add(body []byte, begun, answered int) {
	key := sha256.Sum256(plain(body))
	t.mu.Lock()
	defer t.mu.Unlock()
	n, known := t.counts[key]
	if !known && len(t.counts) >= maxCounted {
		t.leftOut += begun
		return
	}
	n.Begun += begun
	n.Answered += answered
	t.counts[key] = n
}

func (t *tally) read() (counts map[string]RequestCount, leftOut int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts = make(map[string]RequestCount, len(t.counts))
	for key, n := range t.counts {
		counts[hex.EncodeToString(key[:])] = n
	}
	return counts, t.leftOut
}

// breakpoint is a cache_control in JSON. It cannot be within a string, where the
// quotes would be escaped.
var breakpoint = regexp.MustCompile(`,\s*"cache_control"\s*:\s*(\{[^{}]*\}|null)|"cache_control"\s*:\s*(\{[^{}]*\}|null)\s*,`)

// plain is a body as the model sees it: without the breakpoints of the prompt
// cache.
func plain(body []byte) []byte {
	if !bytes.Contains(body, []byte(`"cache_control"`)) {
		return body
	}
	return breakpoint.ReplaceAll(body, nil)
}

// Sum names a request in [Server.Requests]: it is the SHA-256, in hexadecimal, of
// its body without any cache_control, since the same prompt is sent with other
// breakpoints of the prompt cache when it is sent again.
func Sum(body []byte) string {
	sum := sha256.Sum256(plain(body))
	return hex.EncodeToString(sum[:])
}

// Requests says how often each request was made, by the [Sum] of its body; that
// of a request in a batch is the Sum of its params, as they were sent. At most a
// million different requests are counted.
func (s *Server) Requests() map[string]RequestCount {
	counts, _ := s.tally.read()
	return counts
}

func (s *Server) serveRequests(w http.ResponseWriter, _ *http.Request) {
	counts, leftOut := s.tally.read()
	writeJSON(w, struct {
		Requests map[string]RequestCount `json:"requests"`
		LeftOut  int                     `json:"left_out"` // requests not counted, since too many were
	}{counts, leftOut})
}
