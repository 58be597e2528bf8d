package sim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"time"
)

// batchResult is the result of one request of a batch.
type batchResult struct {
	kind  string // succeeded, errored, canceled or expired
	usage usage  // of a request that succeeded
	err   *apiError

	scripted *scriptedAnswer // nil for none
}

// finish computes a batch's results once it has ended, and reports whether it
// has ended. The caller holds the list's mu.
func (s *Server) finish(b *messageBatch) bool {
	end := b.end()
	if time.Now().Before(end) {
		return false
	}
	if b.results != nil {
		return true
	}
	b.results = make([]batchResult, len(b.requests))
	for i, q := range b.requests {
		done := b.created.Add(time.Duration(float64(b.processing) * float64(i+1) / float64(len(b.requests))))
		res := &b.results[i]
		switch {
		case b.faultHits(FaultExpireBatch, q), done.After(b.expires):
			res.kind = "expired"
			b.counts.Expired++
		case b.faultHits(FaultCancelBatch, q), !b.cancelled.IsZero() && done.After(b.cancelled):
			res.kind = "canceled"
			b.counts.Canceled++
		case b.faultHits(FaultErrorBatch, q):
			res.kind, res.err = "errored", &apiError{status: http.StatusInternalServerError, kind: b.fault.ErrorType, message: "an error of the simulator"}
			b.counts.Errored++
		default:
			s.answerInBatch(b, q, res)
		}
	}
	return true
}

// faultHits reports whether the batch has a fault of the given kind that
// matches the request.
func (b *messageBatch) faultHits(kind FaultKind, q batchRequest) bool {
	return b.fault != nil && b.fault.Kind == kind && bytes.Contains(q.Params, []byte(b.fault.Match))
}

// answerInBatch sets the result of a request: its answer, or the error if the
// request is invalid.
func (s *Server) answerInBatch(b *messageBatch, q batchRequest, res *batchResult) {
	req, err := b.parse(q.Params)
	if err != nil {
		res.kind, res.err = "errored", err
		b.counts.Errored++
		return
	}
	if res.scripted, err = s.player.take(s.opts.Script, req); err == nil && res.scripted != nil && res.scripted.fault != nil {
		f := res.scripted.fault
		err = &apiError{status: cmp.Or(f.Status, http.StatusInternalServerError), kind: f.ErrorType, code: f.ErrorCode, message: cmp.Or(f.Message, "an error of the simulator")}
	}
	if err != nil {
		res.kind, res.err = "errored", err
		b.counts.Errored++
		return
	}
	split := s.prompts.split(req, b.credential, b.created, s.opts.TimeScale)
	split.commit()
	a := req.answer(q.Params, b.id+q.CustomID, res.scripted)
	res.kind = "succeeded"
	res.usage = usage{
		InputTokens: split.plain, OutputTokens: a.output, CacheRead: split.read, CacheCreation: split.write5m + split.write1h,
		Writes: cacheCreation{split.write5m, split.write1h}, Details: outputDetails{a.thought},
		ServiceTier: "batch", InferenceGeo: "global", Speed: "standard",
	}
	a.usage.bill(&res.usage)
	res.usage.ServerToolUse = a.serverTools.count()
	if req.context.compacts {
		req.billCompaction(&res.usage)
	}
	b.counts.Succeeded++
	s.stats.answeredInBatch(q.Params, res.usage)
}

// parse parses and validates the parameters of one request. It rejects
// parameters that batches do not accept.
func (b *messageBatch) parse(params json.RawMessage) (*request, *apiError) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(params, &fields) == nil {
		for _, name := range []string{"stream", "speed", "thread"} {
			if v, ok := fields[name]; ok && string(v) != "null" && string(v) != "false" {
				return nil, invalid(name + ": not accepted in a batch")
			}
		}
	}
	req, err := parseRequest(params)
	if err == nil {
		req.beta = b.beta
		err = req.validate(b.version)
	}
	if err == nil && *req.MaxTokens == 0 {
		err = invalid("max_tokens: 0 is not accepted in a batch")
	}
	return req, err
}

// line is one line of the results file.
type line struct {
	CustomID string     `json:"custom_id"`
	Result   lineResult `json:"result"`
}

type lineResult struct {
	Type    string          `json:"type"`
	Message *messageJSON    `json:"message,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

func (b *messageBatch) line(i int) line {
	q, res := b.requests[i], b.results[i]
	l := line{CustomID: q.CustomID, Result: lineResult{Type: res.kind}}
	switch res.kind {
	case "errored":
		l.Result.Error = res.err.envelope("")
	case "succeeded":
		req, err := b.parse(q.Params)
		if err != nil {
			l.Result = lineResult{Type: "errored", Error: err.envelope("")}
			break
		}
		a := req.answer(q.Params, b.id+q.CustomID, res.scripted)
		l.Result.Message = &messageJSON{
			ID: a.id, Type: "message", Role: "assistant", Model: req.model.id, Content: a.content,
			StopReason: &a.stopReason, StopSequence: a.stopSequence, StopDetails: a.details, Usage: res.usage,
		}
	}
	return l
}

func (s *Server) serveResults(w http.ResponseWriter, _ *http.Request, b *messageBatch, fault *Fault) {
	s.batches.mu.Lock()
	ended := s.finish(b)
	s.batches.mu.Unlock()
	if !ended {
		s.fail(w, &apiError{status: http.StatusNotFound, message: "No results are available yet for message batch " + b.id})
		return
	}
	w.Header().Set("Content-Type", "application/x-jsonl")
	order := b.shuffled()
	enc := json.NewEncoder(w)
	for n, i := range order {
		if fault != nil && fault.Kind == FaultCutBody && n >= len(order)/2 {
			flush(w)
			panic(http.ErrAbortHandler)
		}
		if err := enc.Encode(b.line(i)); err != nil {
			return // the client disconnected
		}
	}
}
