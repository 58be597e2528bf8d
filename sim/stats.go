package sim

import (
	"maps"
	"net"
	"net/http"
	"sync"
)

// Stats counts the requests to a [Server] since its creation or the last reset.
type Stats struct {
	Requests     int `json:"requests"`      // authenticated requests to /v1/messages, failed ones included
	InputTokens  int `json:"input_tokens"`  // of answers, without cache reads
	OutputTokens int `json:"output_tokens"` // of answers
	CacheReads   int `json:"cache_read_input_tokens"`
	CacheWrites  int `json:"cache_creation_input_tokens"`
	InFlight     int `json:"in_flight"`     // requests in flight now
	MaxInFlight  int `json:"max_in_flight"` // highest InFlight
	Silent       int `json:"silent"`        // of InFlight, those that [FaultSilence] holds
	Connections  int `json:"connections"`   // open now, if the server has [Server.ConnState]
	RateLimited  int `json:"rate_limited"`  // 429s sent
	Errors       int `json:"errors"`        // other errors sent

	// Kinds counts all errors sent, 429s included. The key is the error's code
	// if it has one, such as ramp_limit_exceeded, else its type.
	Kinds         map[string]int `json:"kinds"`
	Batches       int            `json:"batches"`        // message batches created
	BatchRequests int            `json:"batch_requests"` // requests in them; their tokens are counted above when the batch ends
}

// counters holds Stats that requests update concurrently.
type counters struct {
	requests *requestCounter

	mu sync.Mutex // guards the field below
	n  Stats
}

func (c *counters) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = Stats{InFlight: c.n.InFlight, Silent: c.n.Silent, Connections: c.n.Connections, Kinds: map[string]int{}}
	c.n.MaxInFlight = c.n.InFlight
}

func (c *counters) read() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	n.Kinds = maps.Clone(c.n.Kinds)
	return n
}

func (c *counters) begin(body []byte) {
	c.requests.add(body, 1, 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Requests++
	c.n.InFlight++
	c.n.MaxInFlight = max(c.n.MaxInFlight, c.n.InFlight)
}

func (c *counters) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.InFlight--
}

// silent counts a request as one that a fault holds, or no more if n is -1.
func (c *counters) silent(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Silent += n
}

func (c *counters) connected(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Connections += n
}

func (c *counters) failed(status int, kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Kinds[kind]++
	if status == http.StatusTooManyRequests {
		c.n.RateLimited++
	} else {
		c.n.Errors++
	}
}

// submitted counts a batch and its requests.
func (c *counters) submitted(requests []batchRequest) {
	for _, q := range requests {
		c.requests.add(q.Params, 1, 0)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Batches++
	c.n.BatchRequests += len(requests)
}

func (c *counters) answered(body []byte, u usage) {
	c.requests.add(body, 0, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.InputTokens += u.InputTokens + u.CacheCreation
	c.n.OutputTokens += u.OutputTokens
	c.n.CacheReads += u.CacheRead
	c.n.CacheWrites += u.CacheCreation
}

// answeredInBatch counts one answer of a batch.
func (c *counters) answeredInBatch(params []byte, u usage) { c.answered(params, u) }

// Stats returns the counts so far.
func (s *Server) Stats() Stats { return s.stats.read() }

// ConnState counts connections for [Stats]; it is meant for the field of that name of
// an [http.Server]. Requests of a client that was killed may not have been read yet:
// all are counted once no connection is open but the one that reads the counts.
func (s *Server) ConnState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.stats.connected(1)
	case http.StateClosed, http.StateHijacked:
		s.stats.connected(-1)
	case http.StateActive, http.StateIdle:
	}
}

func (s *Server) serveStats(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, s.Stats())
}
