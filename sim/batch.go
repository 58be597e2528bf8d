package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Limits that the API documents for Message Batches.
const (
	maxBatch      = 100_000          // requests of one batch
	maxBatchBody  = 256 << 20        // bytes of the body
	batchLifetime = 24 * time.Hour   // then unprocessed requests expire
	batchMedian   = 10 * time.Minute // median time under Realistic
)

var customID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`) })

type batchRequest struct {
	CustomID string          `json:"custom_id"`
	Params   json.RawMessage `json:"params"`
}

// messageBatch is a batch. Its state is computed from the times; no goroutine
// processes it.
type messageBatch struct {
	id, credential, version string
	beta                    string
	requests                []batchRequest
	created, expires        time.Time
	processing              time.Duration // from created until all requests are processed
	fault                   *Fault        // nil for none
	cancelled               time.Time     // time of the cancel request; zero if none

	// The fields below are set when the batch is first seen to have ended, and
	// do not change after that.
	results []batchResult
	counts  batchCounts
}

// batchList holds all batches, oldest first.
type batchList struct {
	mu      sync.Mutex // guards the fields below, and all batches
	serial  int
	batches []*messageBatch
}

func (l *batchList) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = nil
}

// find returns the batch with the given id if it belongs to the credential,
// else nil. The caller holds mu.
func (l *batchList) find(id, credential string) *messageBatch {
	i := slices.IndexFunc(l.batches, func(b *messageBatch) bool { return b.id == id && b.credential == credential })
	if i < 0 {
		return nil
	}
	return l.batches[i]
}

// end returns the time at which the batch ends, in the past or future.
func (b *messageBatch) end() time.Time {
	end := b.created.Add(b.processing)
	if !b.cancelled.IsZero() {
		end = earlier(end, b.cancelled.Add(b.processing/10)) // requests in progress finish
	}
	return earlier(end, b.expires)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// batchJSON is the API's JSON form of a batch.
type batchJSON struct {
	ID         string      `json:"id"`
	Type       string      `json:"type"`
	Status     string      `json:"processing_status"`
	Counts     batchCounts `json:"request_counts"`
	Created    string      `json:"created_at"`
	Expires    string      `json:"expires_at"`
	Ended      *string     `json:"ended_at"`
	Cancelled  *string     `json:"cancel_initiated_at"`
	Archived   *string     `json:"archived_at"`
	ResultsURL *string     `json:"results_url"`
}

type batchCounts struct {
	Processing int `json:"processing"`
	Succeeded  int `json:"succeeded"`
	Errored    int `json:"errored"`
	Canceled   int `json:"canceled"`
	Expired    int `json:"expired"`
}

// describe returns the batch's current state. The caller holds the list's mu.
func (s *Server) describe(b *messageBatch, r *http.Request) batchJSON {
	stamp := func(t time.Time) *string { return new(t.UTC().Format(time.RFC3339Nano)) }
	j := batchJSON{ID: b.id, Type: "message_batch", Status: "in_progress", Created: *stamp(b.created), Expires: *stamp(b.expires)}
	if !b.cancelled.IsZero() {
		j.Status, j.Cancelled = "canceling", stamp(b.cancelled)
	}
	if !s.finish(b) {
		j.Counts.Processing = len(b.requests)
		return j
	}
	j.Status, j.Ended = "ended", stamp(b.end())
	j.Counts = b.counts
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	j.ResultsURL = new(scheme + "://" + r.Host + "/v1/messages/batches/" + b.id + "/results")
	return j
}

func (s *Server) createBatch(w http.ResponseWriter, r *http.Request, c *call) {
	fault := s.faults.take(OnBatchCreate, c.body)
	if fault != nil && fault.intercept(s, w, r) {
		return
	}
	var body struct {
		Requests []batchRequest `json:"requests"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil {
		s.fail(w, invalid("The request body is not valid JSON for this endpoint: "+err.Error()))
		return
	}
	if err := checkBatch(body.Requests); err != nil {
		s.fail(w, err)
		return
	}
	b := &messageBatch{
		credential: c.credential, version: c.version, beta: c.beta, requests: body.Requests, fault: fault, created: c.start,
		expires: c.start.Add(s.scaled(batchLifetime)),
	}
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	s.batches.serial++
	b.id = fmt.Sprintf("msgbatch_01sim%016x", s.batches.serial)
	b.processing = s.batchTime(b.id)
	if fault != nil && fault.Kind == FaultSlowBatch {
		b.processing += s.scaled(fault.Delay)
	}
	s.batches.batches = append(s.batches.batches, b)
	s.stats.submitted(b.requests)
	if fault != nil && fault.Kind == FaultLostAnswer {
		panic(http.ErrAbortHandler) // the batch exists, but the client gets no response
	}
	j := s.describe(b, r)
	// The response to a creation always shows the batch in progress.
	j.Status, j.Counts, j.Ended, j.ResultsURL = "in_progress", batchCounts{Processing: len(b.requests)}, nil, nil
	writeJSON(w, j)
}

// checkBatch reports the errors for which the API rejects a batch. Errors in
// the parameters of a request appear in that request's result.
func checkBatch(requests []batchRequest) *apiError {
	switch {
	case len(requests) == 0:
		return invalid("requests: at least one request is required")
	case len(requests) > maxBatch:
		return invalid(fmt.Sprintf("requests: a batch may have at most %d requests", maxBatch))
	}
	seen := make(map[string]bool, len(requests))
	for i, q := range requests {
		switch {
		case !customID().MatchString(q.CustomID):
			return invalid(fmt.Sprintf("requests.%d.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'", i))
		case seen[q.CustomID]:
			return invalid(fmt.Sprintf("requests.%d.custom_id: must be unique within a batch", i))
		case len(q.Params) == 0:
			return invalid(fmt.Sprintf("requests.%d.params: Field required", i))
		}
		seen[q.CustomID] = true
	}
	return nil
}

// withBatch returns a handler for requests whose path names a batch.
func (s *Server) withBatch(on FaultTarget, serve func(http.ResponseWriter, *http.Request, *messageBatch, *Fault)) http.HandlerFunc {
	return s.batchAPI(func(w http.ResponseWriter, r *http.Request, c *call) {
		fault := s.faults.take(on, c.body)
		if fault != nil && fault.intercept(s, w, r) {
			return
		}
		s.batches.mu.Lock()
		b := s.batches.find(r.PathValue("id"), c.credential)
		s.batches.mu.Unlock()
		if b == nil {
			s.fail(w, &apiError{status: http.StatusNotFound, message: "No message batch found with id " + r.PathValue("id")})
			return
		}
		serve(w, r, b, fault)
	})
}

func (s *Server) getBatch(w http.ResponseWriter, r *http.Request, b *messageBatch, _ *Fault) {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	writeJSON(w, s.describe(b, r))
}

func (s *Server) cancelBatch(w http.ResponseWriter, r *http.Request, b *messageBatch, _ *Fault) {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	if b.cancelled.IsZero() && !s.finish(b) {
		b.cancelled = time.Now()
	}
	writeJSON(w, s.describe(b, r))
}

func (s *Server) deleteBatch(w http.ResponseWriter, _ *http.Request, b *messageBatch, _ *Fault) {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	if !s.finish(b) {
		s.fail(w, invalid("Message batch "+b.id+" cannot be deleted while it is being processed: cancel it first"))
		return
	}
	s.batches.batches = slices.DeleteFunc(s.batches.batches, func(other *messageBatch) bool { return other == b })
	writeJSON(w, map[string]string{"id": b.id, "type": "message_batch_deleted"})
}

func (s *Server) listBatches(w http.ResponseWriter, r *http.Request, c *call) {
	fault := s.faults.take(OnBatchList, c.body)
	if fault != nil && fault.intercept(s, w, r) {
		return
	}
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	var own []*messageBatch // newest first
	for _, b := range slices.Backward(s.batches.batches) {
		if b.credential == c.credential {
			own = append(own, b)
		}
	}
	p, err := paginate(own, r.URL.Query(), func(b *messageBatch) string { return b.id })
	if err != nil {
		s.fail(w, err)
		return
	}
	list := page[batchJSON]{Data: []batchJSON{}, HasMore: p.HasMore, First: p.First, Last: p.Last}
	for _, b := range p.Data {
		list.Data = append(list.Data, s.describe(b, r))
	}
	writeJSON(w, list)
}

// batchAPI wraps serve like api and adds the batches' own rate limit.
func (s *Server) batchAPI(serve func(http.ResponseWriter, *http.Request, *call)) http.HandlerFunc {
	return s.api(func(w http.ResponseWriter, r *http.Request, c *call) {
		if err := s.limits.admitBatch(c.credential); err != nil {
			s.fail(w, err)
			return
		}
		serve(w, r, c)
	})
}

func (s *Server) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.opts.TimeScale)
}

// batchTime draws a batch's processing time.
func (s *Server) batchTime(id string) time.Duration {
	l := s.opts.BatchLatency
	if !l.realistic {
		return s.scaled(l.fixed)
	}
	rng := newSource([]byte(id)).rng
	return s.scaled(time.Duration(float64(batchMedian) * math.Exp(0.7*rng.NormFloat64())))
}

// shuffled returns the order of a batch's results, as indexes of its requests.
func (b *messageBatch) shuffled() []int {
	digest := newSource([]byte(b.id)).digest
	return rand.New(rand.NewChaCha8(digest)).Perm(len(b.requests))
}
