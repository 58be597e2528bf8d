package sim

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// model holds a model's limits and the features that its endpoint rejects, as
// Anthropic documents them.
type model struct {
	id, short string // short is the id without its date
	name      string
	line      string
	created   string // YYYY-MM-DD
	context   int
	maxOutput int
	minCache  int // shortest prefix that is cached, in tokens

	retires     string // YYYY-MM-DD of a deprecated model; else empty
	prefill     bool   // a last assistant message is continued
	forcedTools bool   // tool_choice any and tool are accepted
	thinking    []string
}

var (
	always   = []string{"adaptive"}
	optional = []string{"adaptive", "disabled"}
	enabled  = []string{"enabled", "disabled"}
	both     = []string{"adaptive", "enabled", "disabled"}
)

// models lists all models.
var models = []model{
	{id: "claude-fable-5-2", name: "Claude Fable 5.2", line: "fable", created: "2026-11-09", context: 1_000_000, maxOutput: 128_000, minCache: 512, thinking: always},
	{id: "claude-opus-5-5", name: "Claude Opus 5.5", line: "opus", created: "2026-09-22", context: 1_000_000, maxOutput: 128_000, minCache: 512, thinking: always},
	{id: "claude-sonnet-5-5", name: "Claude Sonnet 5.5", line: "sonnet", created: "2026-09-28", context: 1_000_000, maxOutput: 128_000, minCache: 1024, thinking: []string{"adaptive", "between_tools"}},
	{id: "claude-haiku-5-5", name: "Claude Haiku 5.5", line: "haiku", created: "2026-10-07", context: 1_000_000, maxOutput: 128_000, minCache: 512, forcedTools: true, thinking: optional},
	{id: "claude-fable-5-1", name: "Claude Fable 5.1", line: "fable", created: "2026-09-01", context: 1_000_000, maxOutput: 128_000, minCache: 512, thinking: always},
	{id: "claude-fable-5", name: "Claude Fable 5", line: "fable", created: "2026-06-09", context: 1_000_000, maxOutput: 128_000, minCache: 512, forcedTools: true, thinking: always},
	{id: "claude-mythos-5-2", name: "Claude Mythos 5.2", line: "mythos", created: "2026-11-09", context: 1_000_000, maxOutput: 128_000, minCache: 512, thinking: always},
	{id: "claude-mythos-5-1", name: "Claude Mythos 5.1", line: "mythos", created: "2026-09-01", context: 1_000_000, maxOutput: 128_000, minCache: 512, forcedTools: true, thinking: always},
	{id: "claude-mythos-5", name: "Claude Mythos 5", line: "mythos", created: "2026-06-09", context: 1_000_000, maxOutput: 128_000, minCache: 512, forcedTools: true, thinking: always},
	{id: "claude-opus-5", name: "Claude Opus 5", line: "opus", created: "2026-07-24", context: 1_000_000, maxOutput: 128_000, minCache: 512, forcedTools: true, thinking: optional},
	{id: "claude-sonnet-5", name: "Claude Sonnet 5", line: "sonnet", created: "2026-06-30", context: 1_000_000, maxOutput: 128_000, minCache: 1024, forcedTools: true, thinking: optional},
	{id: "claude-opus-4-8", name: "Claude Opus 4.8", line: "opus", created: "2026-05-28", context: 1_000_000, maxOutput: 128_000, minCache: 1024, forcedTools: true, thinking: optional},
	{id: "claude-opus-4-7", name: "Claude Opus 4.7", line: "opus", created: "2026-04-16", context: 1_000_000, maxOutput: 128_000, minCache: 2048, forcedTools: true, thinking: optional},
	{id: "claude-opus-4-6", name: "Claude Opus 4.6", line: "opus", created: "2026-02-05", context: 1_000_000, maxOutput: 128_000, minCache: 4096, forcedTools: true, thinking: both},
	{id: "claude-sonnet-4-6", name: "Claude Sonnet 4.6", line: "sonnet", created: "2026-02-17", context: 1_000_000, maxOutput: 128_000, minCache: 1024, forcedTools: true, thinking: both},
	{id: "claude-opus-4-5-20251101", short: "claude-opus-4-5", name: "Claude Opus 4.5", line: "opus", created: "2025-11-24", context: 200_000, maxOutput: 64_000, minCache: 4096, prefill: true, forcedTools: true, thinking: enabled},
	{id: "claude-sonnet-4-5-20250929", short: "claude-sonnet-4-5", name: "Claude Sonnet 4.5", line: "sonnet", created: "2025-09-29", retires: "2026-11-30", context: 200_000, maxOutput: 64_000, minCache: 1024, prefill: true, forcedTools: true, thinking: enabled},
	{id: "claude-haiku-4-5-20251001", short: "claude-haiku-4-5", name: "Claude Haiku 4.5", line: "haiku", created: "2025-10-01", context: 200_000, maxOutput: 64_000, minCache: 4096, prefill: true, forcedTools: true, thinking: enabled},
}

// findModel returns the model with the given id, or nil. Retired models are not
// found, as on the real API.
func findModel(id string) *model {
	for i := range models {
		if m := &models[i]; id == m.id || id != "" && id == m.short {
			return m
		}
	}
	return nil
}

// dense reports whether the model uses the tokenizer of Opus 4.7 and later,
// which yields about 30 % more tokens.
func (m *model) dense() bool {
	return strings.Contains(m.id, "-5") && !strings.Contains(m.id, "-4-") || m.id == "claude-opus-4-7" || m.id == "claude-opus-4-8"
}

// efforts lists all levels of effort.
var efforts = []string{"low", "medium", "high", "xhigh", "max"}

// efforts returns the levels of effort that the model accepts.
func (m *model) efforts() []string {
	switch {
	case m.dense():
		return efforts
	case strings.Contains(m.id, "-4-6"):
		return []string{"low", "medium", "high", "max"}
	case m.short == "claude-opus-4-5":
		return []string{"low", "medium", "high"}
	}
	return nil
}

// systemMessages reports whether the model accepts system messages within the
// conversation.
func (m *model) systemMessages() bool { return m.dense() && m.id != "claude-opus-4-7" }

// thinks reports whether the model thinks unless a request says otherwise.
func (m *model) thinks() bool { return m.dense() && !strings.Contains(m.id, "-4-") }

// modelJSON is the API's JSON form of a model.
type modelJSON struct {
	ID           string       `json:"id"`
	Type         string       `json:"type"`
	Name         string       `json:"display_name"`
	Created      string       `json:"created_at"`
	MaxInput     int          `json:"max_input_tokens"`
	MaxTokens    int          `json:"max_tokens"`
	Lifecycle    string       `json:"lifecycle"`
	Deprecated   *string      `json:"deprecated_at"`
	Retires      *string      `json:"retires_at"`
	Line         string       `json:"line"`
	Capabilities capabilities `json:"capabilities"`
}

type support struct {
	Supported bool `json:"supported"`
}

// capabilities is the API's JSON form of what a model can do.
type capabilities struct {
	Batch             support        `json:"batch"`
	Citations         support        `json:"citations"`
	CodeExecution     support        `json:"code_execution"`
	ContextManagement map[string]any `json:"context_management"`
	Effort            map[string]any `json:"effort"`
	ImageInput        support        `json:"image_input"`
	PDFInput          support        `json:"pdf_input"`
	ServerTools       map[string]any `json:"server_tools"`
	StructuredOutputs support        `json:"structured_outputs"`
	Thinking          struct {
		Supported bool               `json:"supported"`
		Types     map[string]support `json:"types"`
	} `json:"thinking"`
}

// supports returns a group of capabilities: those of all that are among the
// supported ones.
func supports(all, supported []string) map[string]any {
	group := map[string]any{"supported": len(supported) > 0}
	for _, name := range all {
		group[name] = support{slices.Contains(supported, name)}
	}
	return group
}

func (m *model) describe() modelJSON {
	j := modelJSON{
		ID: m.id, Type: "model", Name: m.name, Created: m.created + "T00:00:00Z", MaxInput: m.context, MaxTokens: m.maxOutput,
		Lifecycle: "active", Line: m.line,
	}
	if m.retires != "" {
		j.Lifecycle, j.Retires = "deprecated", new(m.retires+"T00:00:00Z")
	}
	yes := support{true}
	edits := []string{"clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112"}
	tools := []string{"code_execution", "web_search"}
	c := &j.Capabilities
	c.Batch, c.Citations, c.CodeExecution, c.ImageInput, c.PDFInput, c.StructuredOutputs = yes, yes, yes, yes, yes, yes
	c.ContextManagement, c.Effort, c.ServerTools = supports(edits, edits), supports(efforts, m.efforts()), supports(tools, tools)
	c.Thinking.Supported, c.Thinking.Types = true, map[string]support{}
	for _, name := range thinkingTypes {
		c.Thinking.Types[name] = support{slices.Contains(m.thinking, name)}
	}
	return j
}

// modelList returns the models in the order in which they are served: the newest
// first.
var modelList = sync.OnceValue(func() []modelJSON {
	var list []modelJSON
	for i := range models {
		list = append(list, models[i].describe())
	}
	slices.SortStableFunc(list, func(a, b modelJSON) int { return strings.Compare(b.Created, a.Created) })
	return list
})

func (s *Server) serveModels(w http.ResponseWriter, r *http.Request, _ *call) {
	p, err := paginate(modelList(), r.URL.Query(), func(m modelJSON) string { return m.ID })
	if err != nil {
		s.fail(w, err)
		return
	}
	writeJSON(w, p)
}

func (s *Server) serveModel(w http.ResponseWriter, r *http.Request, _ *call) {
	m := findModel(r.PathValue("id"))
	if m == nil {
		s.fail(w, &apiError{status: http.StatusNotFound, message: "model: " + r.PathValue("id")})
		return
	}
	writeJSON(w, m.describe())
}
