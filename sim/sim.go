// Package sim provides a server that behaves like the Messages API, so that
// programs that use the API can be run, tested and measured without a key.
//
//	server := sim.New(sim.Options{Latency: sim.Realistic(), TimeScale: 0.1})
//	http.ListenAndServe("127.0.0.1:8089", server)           // for any SDK
//	client := &http.Client{Transport: server.RoundTripper()} // or in memory
//
// Answers are built from the request: they quote the task, describe the files
// in the prompt, follow a JSON schema, and state that they are simulated. A
// line "[simulate: call NAME]" in a task makes the answer call a tool; its
// arguments come from the tool's schema and never from the prompt's text. Everything that varies (answers, their
// lengths, latencies) is a function of the request and the seed, so a run is
// reproducible.
//
// The simulator is written from the API's public documentation and shares no
// code with the client it tests. Beside the API it serves four paths of its
// own:
//
//	GET  /_sim/stats    counts: see [Stats]
//	GET  /_sim/requests how often each request was made: see [Server.Requests]
//	POST /_sim/faults   a [Fault] or a list of them to inject; {"reset": true} calls [Server.Reset]
//	POST /_sim/limits   the new [Limits]; null for none
//
// A Server is safe for concurrent use. Its only state is counts, faults, rate
// limits, the prompt cache and message batches. [Server.Reset] clears all of
// it.
package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Options configures a [Server]. The zero value answers immediately and has no
// rate limits.
type Options struct {
	Seed      uint64       // seeds the latencies
	Latency   Latency      // how long answers take; the zero value is no time
	TimeScale float64      // factor on all times, limits and cache lifetimes included; 0 means 1
	Limits    *Limits      // nil means none, and no rate-limit headers
	Logger    *slog.Logger // nil means no log

	// BatchLatency is the time from a message batch's creation to its end. The
	// zero value means none.
	BatchLatency Latency

	// Script answers the requests that its rules match. nil means none.
	Script *Script

	// NoPromptCache bills every prompt in full and ignores its breakpoints.
	NoPromptCache bool
}

// Server is the simulator. Make one with [New].
type Server struct {
	opts     Options
	log      *slog.Logger
	mux      *http.ServeMux
	serial   atomic.Uint64 // of request ids
	stats    counters
	requests requestCounter
	batches  batchList
	faults   faultList
	limits   limiter
	prompts  promptCache
	player   scriptPlayer
}

// New returns a simulator.
func New(opts Options) *Server {
	if opts.TimeScale <= 0 {
		opts.TimeScale = 1
	}
	s := &Server{opts: opts, log: opts.Logger, mux: http.NewServeMux()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.limits.scale = opts.TimeScale
	s.prompts.off = opts.NoPromptCache
	s.stats.requests = &s.requests
	s.Reset()
	s.SetLimits(opts.Limits)
	s.mux.HandleFunc("GET /_sim/stats", s.serveStats)
	s.mux.HandleFunc("GET /_sim/requests", s.serveRequests)
	s.mux.HandleFunc("POST /_sim/faults", s.serveFaults)
	s.mux.HandleFunc("POST /_sim/limits", s.serveLimits)
	s.mux.HandleFunc("POST /v1/messages", s.api(s.serveMessages))
	s.mux.HandleFunc("POST /v1/messages/count_tokens", s.api(s.serveCount))
	s.mux.HandleFunc("POST /v1/messages/batches", s.batchAPI(s.createBatch))
	s.mux.HandleFunc("GET /v1/messages/batches", s.batchAPI(s.listBatches))
	s.mux.HandleFunc("GET /v1/messages/batches/{id}", s.withBatch(OnBatchGet, s.getBatch))
	s.mux.HandleFunc("POST /v1/messages/batches/{id}/cancel", s.withBatch(OnBatchCancel, s.cancelBatch))
	s.mux.HandleFunc("DELETE /v1/messages/batches/{id}", s.withBatch(OnBatchDelete, s.deleteBatch))
	s.mux.HandleFunc("GET /v1/messages/batches/{id}/results", s.withBatch(OnBatchResults, s.serveResults))
	s.mux.HandleFunc("GET /v1/models", s.api(s.serveModels))
	s.mux.HandleFunc("GET /v1/models/{id}", s.api(s.serveModel))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, &apiError{status: http.StatusNotFound, message: "Not found"})
	})
	return s
}

// Script returns the script that answers; nil for none.
func (s *Server) Script() *Script { return s.opts.Script }

// ServeHTTP serves the API. It ignores a path prefix before /v1/, because
// gateways serve the API under paths of their own.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if i := strings.Index(r.URL.Path, "/v1/"); i > 0 {
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = r.URL.Path[i:], ""
	}
	w.Header().Set("request-id", fmt.Sprintf("req_sim%016x", s.serial.Add(1)))
	s.mux.ServeHTTP(w, r)
}

// Reset clears the counts, the faults, the rate limits' usage, the prompt cache,
// the message batches and the uses of the script's rules.
func (s *Server) Reset() {
	s.stats.reset()
	s.faults.reset()
	s.prompts.reset()
	s.limits.reset()
	s.requests.reset()
	s.batches.reset()
	s.player.reset()
}

// maxBody is the largest request body that the API documents, in bytes.
const maxBody = 32 << 20

// call is one authenticated request to the API.
type call struct {
	version    string
	beta       string // betas that the call names
	credential string
	body       []byte
	start      time.Time
}

// api wraps serve with what all endpoints need: it reads the body and checks
// the credential and the version.
func (s *Server) api(serve func(http.ResponseWriter, *http.Request, *call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w.Header().Set("anthropic-organization-id", "org_simulated")
		maxBytes := maxBody
		if r.Pattern == "POST /v1/messages/batches" {
			maxBytes = maxBatchBody
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, int64(maxBytes)+1))
		switch {
		case err != nil:
			return // the client disconnected
		case len(body) > maxBytes:
			s.fail(w, &apiError{status: http.StatusRequestEntityTooLarge, message: "Request exceeds the maximum size"})
			return
		}
		c := &call{version: r.Header.Get("anthropic-version"), beta: strings.Join(r.Header.Values("anthropic-beta"), ","), credential: credential(r.Header), body: body, start: start}
		switch {
		case c.credential == "":
			s.fail(w, &apiError{status: http.StatusUnauthorized, message: "x-api-key header is required"})
		case strings.HasPrefix(c.credential, "invalid") || strings.HasPrefix(c.credential, "sk-ant-invalid"):
			s.fail(w, &apiError{status: http.StatusUnauthorized, message: "invalid x-api-key"})
		case c.version != "2023-06-01" && c.version != newVersion:
			s.fail(w, invalid("anthropic-version: header is required and must be 2023-06-01 or "+newVersion))
		default:
			serve(w, r, c)
		}
	}
}

// newVersion is the API version that rejects sampling parameters.
const newVersion = "2026-10-21"

// credential returns the API key. Some SDK versions send it as x-api-key,
// others as a bearer token.
func credential(h http.Header) string {
	if key := h.Get("x-api-key"); key != "" {
		return key
	}
	token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return token
}

// maxCounting is the max_tokens with which requests are validated whose tokens
// are counted: all models accept it, with any budget of thinking.
const maxCounting = 64_000

func (s *Server) serveCount(w http.ResponseWriter, _ *http.Request, c *call) {
	req, err := parseRequest(c.body)
	if err == nil {
		req.MaxTokens = new(maxCounting) // the endpoint takes none
		req.beta = c.beta
		err = req.validate(c.version)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	count := map[string]any{"input_tokens": req.tokens()}
	if c.beta != "" {
		count["context_management"] = nil
		if slices.Contains(req.fields, "context_management") {
			count["context_management"] = map[string]int{"original_input_tokens": req.context.original}
		}
	}
	writeJSON(w, count)
}

func writeJSON(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(data)
}
