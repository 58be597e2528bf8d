package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
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
	key := sha256.Sum256(body)
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

// Requests says how often each request was made, by the SHA-256 of its body in
// hexadecimal; that of a request in a batch is the SHA-256 of its params, as
// they were sent. At most a million different requests are counted.
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
