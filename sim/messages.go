package sim

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// usage is the API's JSON form of one answer's usage.
type usage struct {
	InputTokens   int           `json:"input_tokens"`
	OutputTokens  int           `json:"output_tokens"`
	CacheCreation int           `json:"cache_creation_input_tokens"`
	CacheRead     int           `json:"cache_read_input_tokens"`
	Writes        cacheCreation `json:"cache_creation"`
	Details       outputDetails `json:"output_tokens_details"`
	ServerToolUse any           `json:"server_tool_use"`
	ServiceTier   string        `json:"service_tier"`
	InferenceGeo  string        `json:"inference_geo"`
	Speed         string        `json:"speed"`

	// Of calls that name betas; nil for others.
	Iterations     json.RawMessage `json:"iterations,omitempty"`
	FallbackCredit json.RawMessage `json:"fallback_credit,omitempty"`
}

type cacheCreation struct {
	Minutes int `json:"ephemeral_5m_input_tokens"`
	Hour    int `json:"ephemeral_1h_input_tokens"`
}

type outputDetails struct {
	Thinking int `json:"thinking_tokens"`
}

// messageJSON is the API's JSON form of an answer.
type messageJSON struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"`
	Role         string    `json:"role"`
	Model        string    `json:"model"`
	Content      []content `json:"content"`
	StopReason   *string   `json:"stop_reason"`
	StopSequence *string   `json:"stop_sequence"`
	StopDetails  any       `json:"stop_details"`
	Container    any       `json:"container"`
	Diagnostics  any       `json:"diagnostics"`
	Usage        usage     `json:"usage"`

	ContextManagement json.RawMessage `json:"context_management,omitempty"` // of calls that name betas
}

// reply is the response to one call while it is being sent.
type reply struct {
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	call   *call
	answer *answer
	usage  usage
	model  *model
	pace   pace
	fault  *Fault          // nil for none
	edits  json.RawMessage // context_management of the answer; nil for none
	begin  func()          // makes the prompt's prefix readable by other calls
}

func (s *Server) serveMessages(w http.ResponseWriter, r *http.Request, c *call) {
	s.stats.begin(c.body)
	defer s.stats.end()
	fault := s.faults.take(OnMessages, c.body)
	if fault != nil && fault.intercept(s, w, r) {
		return
	}
	req, err := parseRequest(c.body)
	if err == nil {
		req.beta = c.beta
		err = req.validate(c.version)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	split := s.prompts.split(req, c.credential, c.start, s.opts.TimeScale)
	if err := s.limits.admit(w, c.credential, req.model, split.plain+split.write5m+split.write1h); err != nil {
		s.fail(w, err)
		return
	}
	scripted, err := s.player.take(s.opts.Script, req)
	if err != nil {
		s.fail(w, err)
		return
	}
	if fault == nil && scripted != nil && scripted.fault != nil {
		fault = scripted.fault
		if fault.intercept(s, w, r) {
			return
		}
	}
	a := req.answer(c.body, w.Header().Get("request-id"), scripted)
	if fault != nil {
		fault.alter(a)
	}
	reply := &reply{
		server: s, w: w, r: r, call: c, answer: a, model: req.model, fault: fault, begin: split.commit,
		pace: s.pace(req.model.line, c.body, a),
		usage: usage{
			InputTokens: split.plain, OutputTokens: a.output, CacheRead: split.read, CacheCreation: split.write5m + split.write1h,
			Writes: cacheCreation{split.write5m, split.write1h}, Details: outputDetails{a.thought},
			ServiceTier: "standard", InferenceGeo: "global", Speed: "standard",
		},
	}
	a.usage.bill(&reply.usage)
	reply.usage.ServerToolUse = a.serverTools.count()
	if req.context.compacts {
		req.billCompaction(&reply.usage)
	}
	if req.beta != "" {
		null := json.RawMessage("null")
		reply.edits, reply.usage.FallbackCredit = null, null
		if reply.usage.Iterations == nil {
			reply.usage.Iterations = null
		}
		if slices.Contains(req.fields, "context_management") {
			reply.edits = req.appliedEdits()
		}
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "answering", slog.String("model", req.model.id),
		slog.Bool("stream", req.Stream), slog.Int("output_tokens", a.output))
	if req.Stream {
		reply.sendStream()
	} else {
		reply.sendWhole()
	}
}

// alter changes the model's answer as the fault demands.
func (f *Fault) alter(a *answer) {
	switch f.Kind {
	case FaultRefusal:
		a.content, a.stopReason, a.stopSequence, a.output = []content{}, "refusal", nil, 1
		a.details = map[string]any{"type": "refusal", "category": "general_harms", "explanation": "A simulated refusal."}
	case FaultInvalidToolJSON:
		a.content = []content{{Type: "tool_use", ID: "toolu_01simulated", Name: "simulated_tool", Input: json.RawMessage(`{"broken": `)}}
		a.stopReason, a.stopSequence = "tool_use", nil
	}
}

// kind returns the kind of the reply's fault, or "".
func (p *reply) kind() FaultKind {
	if p.fault == nil {
		return ""
	}
	return p.fault.Kind
}

// record counts the answer once it is sent.
func (p *reply) record() {
	p.server.limits.spend(p.call.credential, p.model, p.usage.OutputTokens)
	p.server.stats.answered(p.call.body, p.usage)
}

func (p *reply) message() messageJSON {
	return messageJSON{
		ID: p.answer.id, Type: "message", Role: "assistant", Model: p.model.id, Content: p.answer.content,
		StopReason: &p.answer.stopReason, StopSequence: p.answer.stopSequence, StopDetails: p.answer.details, Usage: p.usage, ContextManagement: p.edits,
	}
}

// sendWhole sends the answer in one piece.
func (p *reply) sendWhole() {
	if !waitUntil(p.r.Context(), p.call.start.Add(p.pace.first)) {
		return
	}
	p.begin()
	if !waitUntil(p.r.Context(), p.call.start.Add(p.pace.whole)) {
		return
	}
	if p.kind() == FaultSilence {
		p.hold()
		return
	}
	m := p.message()
	if m.Content == nil {
		m.Content = []content{}
	}
	if p.kind() == FaultInvalidToolJSON {
		m.Content[0].Input = json.RawMessage(`{}`) // a JSON body cannot hold invalid JSON
	}
	data, err := json.Marshal(m)
	if err != nil {
		p.server.fail(p.w, &apiError{status: http.StatusInternalServerError, message: err.Error()})
		return
	}
	if kind := p.kind(); kind == FaultCutBody || kind == FaultCutStream {
		p.w.Header().Set("Content-Type", "application/json")
		p.w.Write(data[:len(data)/2])
		flush(p.w)
		panic(http.ErrAbortHandler)
	}
	p.w.Header().Set("Content-Type", "application/json")
	p.w.WriteHeader(http.StatusOK)
	p.w.Write(data)
	p.record()
}

// hold sends nothing until the client disconnects.
func (p *reply) hold() {
	p.server.stats.silent(1)
	defer p.server.stats.silent(-1)
	<-p.r.Context().Done()
}

func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// due returns the time at which a part of the answer is sent. The share of the
// tokens before that part lies between 0, the first event, and 1, the last.
func (p *reply) due(share float64) time.Time {
	return p.call.start.Add(p.pace.first + time.Duration(share*float64(p.pace.whole-p.pace.first)))
}
