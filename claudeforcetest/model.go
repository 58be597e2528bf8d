package claudeforcetest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Answer is an answer of a [Model], and the calls that get it. The zero value
// answers every call with an empty text.
type Answer struct {
	Agent    string // of the calls; empty for all
	Contains string // what the calls' prompts contain; empty for all

	// Times is how many calls get the answer. Later ones get the next answer
	// that fits. 0 means any number.
	Times int

	Text string // of the answer
	JSON any    // a value whose JSON is the answer instead of Text; nil for Text
	Err  error  // instead of an answer, such as an [llm.Error]

	Delay time.Duration // before the answer
	Usage llm.Usage     // the tokens that are paid for; zero for an estimate from the texts
}

// Call is a call that reached a [Model].
type Call struct {
	Agent   string
	Prompt  string       // the last message's text, with the files and results it was given
	Request *llm.Request // read-only
}

// Model is an [llm.Model] that answers from a list. It is safe for concurrent
// use.
type Model struct {
	tb testing.TB

	mu      sync.Mutex // guards the fields below
	answers []answer
	calls   []Call
}

type answer struct {
	Answer
	given int
}

// NewModel returns a model with the given answers. A call gets the first that
// fits it. A call that none fits fails, and so does the test.
func NewModel(tb testing.TB, answers ...Answer) *Model {
	tb.Helper()
	m := &Model{tb: tb}
	for i, a := range answers {
		if a.JSON != nil {
			data, err := json.Marshal(a.JSON)
			if err != nil {
				tb.Fatalf("encoding answer %d: %v", i, err)
			}
			a.Text = string(data)
		}
		m.answers = append(m.answers, answer{Answer: a})
	}
	return m
}

// Calls returns the calls so far, in the order in which they started.
func (m *Model) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Stream answers a call.
func (m *Model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		if ctx.Err() != nil {
			yield(llm.Event{}, llm.ContextError(ctx))
			return
		}
		call := Call{Agent: req.Agent, Prompt: prompt(req), Request: req}
		a, ok := m.find(call)
		if !ok {
			message := fmt.Sprintf("no answer fits the call of agent %q with the prompt %q", call.Agent, call.Prompt)
			m.tb.Error("claudeforcetest: " + message)
			yield(llm.Event{}, llm.NewError(llm.CodeInvalid, message, nil))
			return
		}
		if !wait(ctx, a.Delay) {
			yield(llm.Event{}, llm.ContextError(ctx))
			return
		}
		if a.Err != nil {
			yield(llm.Event{}, a.Err)
			return
		}
		for ev, err := range llm.Replay(a.response(req, call.Prompt)) {
			if ctx.Err() != nil {
				yield(llm.Event{}, llm.ContextError(ctx))
				return
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}

// find returns the answer of a call, which it counts.
func (m *Model) find(call Call) (Answer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, call)
	for i := range m.answers {
		a := &m.answers[i]
		if a.fits(call) {
			a.given++
			return a.Answer, true
		}
	}
	return Answer{}, false
}

func (a *answer) fits(call Call) bool {
	return (a.Times == 0 || a.given < a.Times) &&
		(a.Agent == "" || a.Agent == call.Agent) &&
		strings.Contains(call.Prompt, a.Contains)
}

func (a *Answer) response(req *llm.Request, prompt string) *llm.Response {
	usage := a.Usage
	if usage == (llm.Usage{}) {
		prices := llm.Prices()
		usage.InputTokens = prices.EstimateTokens(req.Model, len(prompt))
		usage.OutputTokens = prices.EstimateTokens(req.Model, len(a.Text))
	}
	return &llm.Response{
		ID: "msg_test", Model: req.Model, Content: []llm.Block{llm.TextBlock(a.Text)}, StopReason: llm.StopEndTurn,
		Usage: usage, Source: llm.SourceLive, Attempts: 1,
	}
}

// prompt returns the text of the last message of a request.
func prompt(req *llm.Request) string {
	if len(req.Messages) == 0 {
		return ""
	}
	var parts []string
	for _, b := range req.Messages[len(req.Messages)-1].Content {
		if b.Type == llm.BlockText {
			parts = append(parts, b.Text)
		}
	}
	return strings.Join(parts, "\n")
}

// wait waits for d, and reports false if ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
