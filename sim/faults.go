package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind is a kind of failure.
type FaultKind string

// Kinds of faults. Stream faults act on streamed calls only, except that
// FaultCutStream cuts the body of other calls.
const (
	FaultStatus          FaultKind = "status"            // an error with the given Status
	FaultHTML            FaultKind = "html"              // a 502 from a proxy, not from the API
	FaultCutBody         FaultKind = "cut_body"          // the connection closes within the body
	FaultCutStream       FaultKind = "cut_stream"        // the connection closes after After events
	FaultEndStream       FaultKind = "end_stream"        // the stream ends cleanly but before the answer is complete
	FaultStreamError     FaultKind = "stream_error"      // an error event after After events
	FaultDelay           FaultKind = "delay"             // the response starts after Delay
	FaultSilence         FaultKind = "silence"           // after After events the server sends nothing more until the client disconnects
	FaultDrop            FaultKind = "drop"              // the connection closes before anything is sent
	FaultRefusal         FaultKind = "refusal"           // the model refuses
	FaultInvalidToolJSON FaultKind = "invalid_tool_json" // a tool call whose input is not JSON
)

// Kinds of faults that act on the creation of a message batch, see
// [OnBatchCreate].
const (
	FaultLostAnswer  FaultKind = "lost_answer"  // the batch is created, but the connection closes before the response
	FaultSlowBatch   FaultKind = "slow_batch"   // the batch takes Delay longer
	FaultExpireBatch FaultKind = "expire_batch" // requests that hold Match expire
	FaultCancelBatch FaultKind = "cancel_batch" // requests that hold Match are canceled by another client
	FaultErrorBatch  FaultKind = "error_batch"  // requests that hold Match fail with ErrorType (default api_error)
)

// FaultTarget is an endpoint that faults act on.
type FaultTarget string

// Endpoints that faults act on. Batch endpoints accept the kinds status, html,
// drop and delay; OnBatchResults also accepts cut_body.
const (
	OnMessages     FaultTarget = ""
	OnBatchCreate  FaultTarget = "batch_create"
	OnBatchGet     FaultTarget = "batch_get"
	OnBatchList    FaultTarget = "batch_list"
	OnBatchCancel  FaultTarget = "batch_cancel"
	OnBatchDelete  FaultTarget = "batch_delete"
	OnBatchResults FaultTarget = "batch_results"
)

// kindsOn lists the kinds of faults that each endpoint accepts.
var kindsOn = map[FaultTarget][]FaultKind{
	OnMessages: {
		FaultStatus, FaultHTML, FaultCutBody, FaultCutStream, FaultEndStream, FaultStreamError,
		FaultDelay, FaultSilence, FaultDrop, FaultRefusal, FaultInvalidToolJSON,
	},
	OnBatchCreate: {
		FaultStatus, FaultHTML, FaultDrop, FaultDelay,
		FaultLostAnswer, FaultSlowBatch, FaultExpireBatch, FaultCancelBatch, FaultErrorBatch,
	},
	OnBatchGet:     {FaultStatus, FaultHTML, FaultDrop, FaultDelay},
	OnBatchList:    {FaultStatus, FaultHTML, FaultDrop, FaultDelay},
	OnBatchCancel:  {FaultStatus, FaultHTML, FaultDrop, FaultDelay},
	OnBatchDelete:  {FaultStatus, FaultHTML, FaultDrop, FaultDelay},
	OnBatchResults: {FaultStatus, FaultHTML, FaultDrop, FaultDelay, FaultCutBody},
}

// Fault is a failure of calls to /v1/messages, or to the endpoint that On
// names.
type Fault struct {
	Kind       FaultKind     `json:"kind"`
	On         FaultTarget   `json:"on,omitempty"`
	Status     int           `json:"status,omitempty"`      // of FaultStatus
	RetryAfter string        `json:"retry_after,omitempty"` // value of the header; empty for none
	ErrorType  string        `json:"error_type,omitempty"`  // empty for the status's default
	ErrorCode  string        `json:"error_code,omitempty"`  // error.details.error_code
	Message    string        `json:"message,omitempty"`
	Match      string        `json:"match,omitempty"` // only calls whose body contains it
	Times      int           `json:"times,omitempty"` // number of calls; 0 for all
	After      int           `json:"after,omitempty"` // events sent before it
	Delay      time.Duration `json:"-"`               // of FaultDelay and FaultSlowBatch; in JSON a string such as "500ms"

	// For is how long the fault stays active after its injection; 0 means
	// always. In JSON it is a string such as "60s".
	For   time.Duration `json:"-"`
	until time.Time     // zero means always
}

// UnmarshalJSON parses a fault whose durations are strings.
func (f *Fault) UnmarshalJSON(data []byte) error {
	type plain Fault
	var v struct {
		plain
		Delay string `json:"delay"`
		For   string `json:"for"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return err
	}
	*f = Fault(v.plain)
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{{"delay", v.Delay, &f.Delay}, {"for", v.For, &f.For}} {
		if d.text == "" {
			continue
		}
		var err error
		if *d.to, err = time.ParseDuration(d.text); err != nil {
			return fmt.Errorf("%s %q is not a duration such as 500ms", d.name, d.text)
		}
	}
	return f.check()
}

func (f *Fault) check() error {
	kinds, known := kindsOn[f.On]
	switch {
	case !known:
		return fmt.Errorf("unknown endpoint %q; known are %s, and none for /v1/messages", f.On,
			strings.Join(texts(slices.DeleteFunc(slices.Sorted(maps.Keys(kindsOn)), func(on FaultTarget) bool { return on == OnMessages })), ", "))
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("unknown kind %q; known are %s", f.Kind, strings.Join(texts(kinds), ", "))
	case f.Kind == FaultStatus && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status %d is not an error status", f.Status)
	case f.Times < 0 || f.After < 0 || f.Delay < 0 || f.For < 0:
		return errors.New("times, after, delay and for cannot be negative")
	}
	return nil
}

func texts[T ~string](list []T) []string {
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = string(v)
	}
	return names
}

// faultList holds the faults still to be injected.
type faultList struct {
	mu     sync.Mutex // guards the field below
	faults []Fault
}

func (l *faultList) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = nil
}

func (l *faultList) add(faults []Fault, scale float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range faults {
		if f.For > 0 {
			f.until = time.Now().Add(time.Duration(float64(f.For) * scale))
		}
		l.faults = append(l.faults, f)
	}
}

// take returns the first fault that matches a call to the endpoint, or nil, and
// counts it as used.
func (l *faultList) take(on FaultTarget, body []byte) *Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.faults = slices.DeleteFunc(l.faults, func(f Fault) bool { return !f.until.IsZero() && !now.Before(f.until) })
	for i := range l.faults {
		f := l.faults[i]
		if f.On != on || f.Match != "" && !bytes.Contains(body, []byte(f.Match)) {
			continue
		}
		if f.Times == 1 {
			l.faults = slices.Delete(l.faults, i, i+1)
		} else if f.Times > 1 {
			l.faults[i].Times--
		}
		return &f
	}
	return nil
}

// Inject makes the next calls fail. Each call takes the first fault that
// matches it, in the order of injection. Inject panics if a fault is invalid.
func (s *Server) Inject(faults ...Fault) {
	for _, f := range faults {
		if err := f.check(); err != nil {
			panic("sim: " + err.Error())
		}
	}
	s.faults.add(faults, s.opts.TimeScale)
}

func (s *Server) serveFaults(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the client disconnected
	}
	var reset struct {
		Reset bool `json:"reset"`
	}
	if json.Unmarshal(body, &reset) == nil && reset.Reset {
		s.Reset()
		writeJSON(w, map[string]int{"faults": 0})
		return
	}
	var list []Fault
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		list = make([]Fault, 1)
		err = json.Unmarshal(body, &list[0])
	} else {
		err = json.Unmarshal(body, &list)
	}
	if err != nil {
		s.fail(w, invalid("faults: "+err.Error()+`; write [{"kind": "status", "status": 529, "times": 2}]`))
		return
	}
	s.faults.add(list, s.opts.TimeScale)
	writeJSON(w, map[string]int{"faults": len(list)})
}

// intercept applies the part of a fault that comes before the answer, and
// reports whether the call is finished.
func (f *Fault) intercept(s *Server, w http.ResponseWriter, r *http.Request) bool {
	switch f.Kind {
	case FaultStatus:
		message := f.Message
		if message == "" {
			message = "an error of the simulator"
		}
		s.fail(w, &apiError{status: f.Status, kind: f.ErrorType, code: f.ErrorCode, message: message, retryAfter: f.RetryAfter})
		return true
	case FaultHTML:
		s.stats.failed(http.StatusBadGateway, "html")
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n")
		return true
	case FaultDrop:
		panic(http.ErrAbortHandler)
	case FaultDelay:
		return !waitUntil(r.Context(), time.Now().Add(time.Duration(float64(f.Delay)*s.opts.TimeScale)))
	}
	return false
}
