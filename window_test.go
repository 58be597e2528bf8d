package claudeforce_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/tool"
)

// watched is a model that keeps what is sent to the service.
type watched struct {
	llm.Model
	mu   sync.Mutex
	sent []*llm.Request
}

func (w *watched) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	w.mu.Lock()
	w.sent = append(w.sent, req)
	w.mu.Unlock()
	return w.Model.Stream(ctx, req)
}

// pages plays an agent that calls a tool with long results: so many calls in each of
// so many turns. The simulator refuses prompts that do not fit the model, as the
// service does.
func pages(t *testing.T, turns, calls int, change func(*claudeforce.Options)) (*claudeforce.Result, *watched) {
	t.Helper()
	var script strings.Builder
	script.WriteString("rules:\n  - when: {task: you summarized it}\n    text: Done after a summary.\n  - when: {task: about to be replaced}\n    text: I have read some pages.\n  - when: {task: Read all}\n    turns:\n")
	for range turns {
		script.WriteString("      - tools:\n")
		for range calls {
			script.WriteString("          - {name: page, input: {}}\n")
		}
	}
	script.WriteString("      - text: Done.\n")
	played, err := sim.ParseScript("script.yaml", []byte(script.String()))
	if err != nil {
		t.Fatal(err)
	}
	page, err := tool.Func("page", "Returns a page.", func(context.Context, struct{}) (string, error) {
		return strings.Repeat("The quick brown fox jumps over the lazy dog. ", 1500), nil // about 20,000 tokens
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := &watched{}
	orch := open(t, sim.New(sim.Options{Script: played}), func(o *claudeforce.Options) {
		o.Tools = []tool.Tool{page}
		o.Agents = []*agent.Agent{{Name: "reader", AllTools: true, Model: "claude-haiku-4-5-20251001", MaxTokens: 4000}}
		o.Wrap = func(next llm.Model) llm.Model {
			seen.Model = next
			return seen
		}
		o.Config.Cache.Enabled = false
		change(o)
	})
	res, err := orch.Execute(t.Context(), claudeforce.Task{Agent: "reader", Prompt: "Read all"}, nil)
	if err != nil {
		t.Fatalf("after %d requests: %v", len(seen.sent), err)
	}
	return res, seen
}

// TestLongLoopIsCleared has the service clear old results once there are many: the
// prompts stay within the window.
func TestLongLoopIsCleared(t *testing.T) {
	t.Parallel()
	res, seen := pages(t, 12, 1, func(*claudeforce.Options) {})
	if res.Output != "Done." || res.Turns != 13 {
		t.Errorf("%q after %d turns", res.Output, res.Turns)
	}
	first := -1
	for i, req := range seen.sent {
		_, edits := req.Extra["context_management"]
		if edits && first < 0 {
			first = i
		}
		if edits != (first >= 0) || edits != (len(req.Betas) == 1) {
			t.Errorf("request %d has the edits: %v, betas %v", i+1, edits, req.Betas)
		}
	}
	if first < 1 || first > 6 {
		t.Errorf("the edits begin with request %d", first+1)
	}
}

// gateway is a model behind a gateway that does not know the edits.
type gateway struct{ llm.Model }

func (g gateway) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	if req.Extra["context_management"] != nil {
		return func(yield func(llm.Event, error) bool) {
			yield(llm.Event{}, llm.NewError(llm.CodeInvalid, "context_management: Extra inputs are not permitted", nil))
		}
	}
	return g.Model.Stream(ctx, req)
}

// TestEditsMayBeRefused goes on without edits if they are not known.
func TestEditsMayBeRefused(t *testing.T) {
	t.Parallel()
	res, seen := pages(t, 4, 1, func(o *claudeforce.Options) {
		wrap := o.Wrap
		o.Wrap = func(next llm.Model) llm.Model { return wrap(gateway{next}) }
	})
	refused := 0
	for _, req := range seen.sent {
		if req.Extra["context_management"] != nil {
			refused++
		}
	}
	if res.Output != "Done." || refused != 1 {
		t.Errorf("%q, %d requests with edits, want 1", res.Output, refused)
	}
}

// TestLongLoopIsSummarized has no edits: the conversation is replaced by a summary.
func TestLongLoopIsSummarized(t *testing.T) {
	t.Parallel()
	res, seen := pages(t, 12, 1, func(o *claudeforce.Options) { o.Config.ContextEditing = false })
	checkSummary(t, res, seen)
	for _, req := range seen.sent {
		if req.Extra["context_management"] != nil {
			t.Error("the service was asked to clear results")
		}
	}
}

// TestALongTurnIsCut gets more results at once than fit the window.
func TestALongTurnIsCut(t *testing.T) {
	t.Parallel()
	for _, edits := range []bool{true, false} {
		t.Run(fmt.Sprint(edits), func(t *testing.T) {
			t.Parallel()
			res, seen := pages(t, 2, 11, func(o *claudeforce.Options) { o.Config.ContextEditing = edits })
			checkSummary(t, res, seen)
		})
	}
}

func checkSummary(t *testing.T, res *claudeforce.Result, seen *watched) {
	t.Helper()
	last := seen.sent[len(seen.sent)-1]
	if res.Output != "Done after a summary." || res.Calls != len(seen.sent) || len(last.Messages) != 1 {
		t.Errorf("%q after %d turns and %d requests, the last of %d messages", res.Output, res.Turns, len(seen.sent), len(last.Messages))
	}
	text := ""
	for _, b := range last.Messages[0].Content {
		text += b.Text + "\n"
	}
	if strings.Contains(text, "There is no summary") {
		t.Error("there is no summary")
	}
	for _, want := range []string{"Read all", "I have read some pages.", `<call tool="page">`, `<result of="page">`} {
		if !strings.Contains(text, want) {
			t.Errorf("the prompt after the summary lacks %q:\n%.2000s", want, text)
		}
	}
}
