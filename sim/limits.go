package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits holds the rate limits of each pool of models, as the API counts them.
// 0 means no limit.
type Limits struct {
	RequestsPerMinute     int `json:"requests_per_minute"`
	InputTokensPerMinute  int `json:"input_tokens_per_minute"` // without cache reads
	OutputTokensPerMinute int `json:"output_tokens_per_minute"`

	// BatchRequestsPerMinute limits the HTTP requests to all Message Batches
	// endpoints together. They count toward no other limit.
	BatchRequestsPerMinute int `json:"batch_requests_per_minute"`
}

// limiter holds the buckets of all pools and credentials.
type limiter struct {
	scale float64

	mu     sync.Mutex // guards the fields below
	limits *Limits    // nil for none
	pools  map[string]*pool
}

// SetLimits changes the limits of all pools; nil removes them. Usage so far
// still counts.
func (s *Server) SetLimits(limits *Limits) { s.limits.set(limits) }

func (s *Server) serveLimits(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the client disconnected
	}
	var limits *Limits
	if err := json.Unmarshal(body, &limits); err != nil {
		s.fail(w, invalid("limits: "+err.Error()+`; write {"requests_per_minute": 50, "input_tokens_per_minute": 30000}, or null for none`))
		return
	}
	s.SetLimits(limits)
	writeJSON(w, limits)
}

// pool holds the token buckets of a credential and a group of models. They
// refill continuously.
type pool struct {
	requests, input, output bucket
	batches                 bucket
	updated                 time.Time
}

type bucket struct{ limit, left float64 }

// reset refills all buckets.
func (l *limiter) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pools = map[string]*pool{}
}

// set changes the limits. A bucket holds no more than its new limit; a bucket
// that had no limit starts full.
func (l *limiter) set(limits *Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limits != nil {
		limits = new(*limits)
	}
	if l.limits = limits; limits == nil {
		return
	}
	for _, p := range l.pools {
		p.refill(l.scale)
		p.requests.set(limits.RequestsPerMinute)
		p.input.set(limits.InputTokensPerMinute)
		p.output.set(limits.OutputTokensPerMinute)
		p.batches.set(limits.BatchRequestsPerMinute)
	}
}

func (b *bucket) set(limit int) {
	if b.limit == 0 {
		b.left = float64(limit)
	}
	b.limit = float64(limit)
	b.left = min(b.left, b.limit)
}

// refill adds the tokens gained since the last refill.
func (p *pool) refill(scale float64) {
	now := time.Now()
	minutes := now.Sub(p.updated).Minutes() / scale
	for _, b := range []*bucket{&p.requests, &p.input, &p.output, &p.batches} {
		b.left = min(b.limit, b.left+minutes*b.limit)
	}
	p.updated = now
}

// pool returns the refilled pool of a credential and a group of models. The
// caller holds mu.
func (l *limiter) pool(credential, name string) *pool {
	key := credential + "\x00" + name
	p := l.pools[key]
	if p == nil {
		full := func(n int) bucket { return bucket{float64(n), float64(n)} }
		p = &pool{
			requests: full(l.limits.RequestsPerMinute), input: full(l.limits.InputTokensPerMinute),
			output: full(l.limits.OutputTokensPerMinute), batches: full(l.limits.BatchRequestsPerMinute), updated: time.Now(),
		}
		l.pools[key] = p
	}
	p.refill(l.scale)
	return p
}

// poolName returns the name of the group of models that share the model's
// limits.
func poolName(m *model) string {
	switch {
	case strings.HasPrefix(m.id, "claude-opus-4-"):
		return "opus-4"
	case strings.HasPrefix(m.id, "claude-sonnet-4-"):
		return "sonnet-4"
	case m.line == "fable":
		return "fable-5"
	}
	return m.id
}

// admit takes a request and its input tokens from the pool, or returns an error
// that names the exhausted limit. Output tokens are taken once they are known,
// so that bucket can go below zero.
func (l *limiter) admit(w http.ResponseWriter, credential string, m *model, input int) *apiError {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits == nil {
		return nil
	}
	p := l.pool(credential, poolName(m))
	what, wait := "", 0.0 // minutes
	require := func(name string, b bucket, need float64) {
		need = min(need, b.limit) // a request larger than the limit passes when the bucket is full
		if b.limit > 0 && b.left < need {
			if w := (need - b.left) / b.limit; w > wait {
				what, wait = fmt.Sprintf("%.0f %s per minute", b.limit, name), w
			}
		}
	}
	require("requests", p.requests, 1)
	require("input tokens", p.input, float64(input))
	require("output tokens", p.output, 1)
	if what != "" {
		l.headers(w, p)
		return &apiError{
			status: http.StatusTooManyRequests, retryAfter: l.seconds(wait),
			message: "This request would exceed your organization's rate limit of " + what + " (model pool: " + poolName(m) + ").",
		}
	}
	p.requests.left--
	p.input.left -= float64(input)
	l.headers(w, p)
	return nil
}

// admitBatch takes one request to a batch endpoint, or returns an error if the
// limit is exhausted.
func (l *limiter) admitBatch(credential string) *apiError {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits == nil || l.limits.BatchRequestsPerMinute == 0 {
		return nil
	}
	p := l.pool(credential, "batches")
	if p.batches.left < 1 {
		return &apiError{
			status: http.StatusTooManyRequests, retryAfter: l.seconds((1 - p.batches.left) / p.batches.limit),
			message: fmt.Sprintf("This request would exceed your organization's rate limit of %.0f batch requests per minute.", p.batches.limit),
		}
	}
	p.batches.left--
	return nil
}

// spend takes an answer's output tokens.
func (l *limiter) spend(credential string, m *model, output int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits == nil {
		return
	}
	l.pool(credential, poolName(m)).output.left -= float64(output)
}

// seconds formats a wait for the retry-after header: in whole seconds, or with
// fractions if time is scaled, since a real second is then long.
func (l *limiter) seconds(minutes float64) string {
	s := minutes * 60 * l.scale
	if l.scale == 1 {
		return strconv.Itoa(int(math.Ceil(s)))
	}
	return strconv.FormatFloat(s, 'f', 3, 64)
}

// headers writes the rate-limit headers of all buckets. The "tokens" headers
// show the token bucket with the least left.
func (l *limiter) headers(w http.ResponseWriter, p *pool) {
	now := time.Now()
	write := func(name string, b bucket, round float64) {
		if b.limit == 0 {
			return
		}
		h := w.Header()
		left := max(0, math.Floor(b.left))
		if round > 1 && b.limit >= 10*round {
			left = math.Round(left/round) * round
		}
		full := now.Add(time.Duration((b.limit - b.left) / b.limit * l.scale * float64(time.Minute)))
		h.Set("anthropic-ratelimit-"+name+"-limit", strconv.Itoa(int(b.limit)))
		h.Set("anthropic-ratelimit-"+name+"-remaining", strconv.Itoa(int(left)))
		h.Set("anthropic-ratelimit-"+name+"-reset", full.UTC().Format(time.RFC3339))
	}
	write("requests", p.requests, 1)
	write("input-tokens", p.input, 1000)
	write("output-tokens", p.output, 1000)
	tightest := p.input
	if tightest.limit == 0 || p.output.limit > 0 && p.output.left < p.input.left {
		tightest = p.output
	}
	write("tokens", tightest, 1000)
}
