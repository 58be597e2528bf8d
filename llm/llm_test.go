package llm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

func request() *llm.Request {
	return &llm.Request{
		Model:     "claude-haiku-5-5",
		System:    []llm.Block{llm.TextBlock("You review code.")},
		Messages:  []llm.Message{llm.UserText("Review this.")},
		MaxTokens: 100,
		Tools: []llm.Tool{
			{Name: "grep", InputSchema: json.RawMessage(`{"type":"object"}`)},
			{Name: "cat", InputSchema: json.RawMessage(`{"type":"object"}`)},
		},
		OutputConfig: json.RawMessage(`{"effort":"low"}`),
	}
}

func mustKey(t *testing.T, k llm.Keyer, req *llm.Request) llm.Key {
	t.Helper()
	key, err := k.Key(req)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeyIgnoresWhatDoesNotChangeTheAnswer(t *testing.T) {
	t.Parallel()
	var keyer llm.Keyer
	want := mustKey(t, keyer, request())
	same := map[string]func(*llm.Request){
		"tool order":    func(r *llm.Request) { r.Tools[0], r.Tools[1] = r.Tools[1], r.Tools[0] },
		"agent":         func(r *llm.Request) { r.Agent = "reviewer" },
		"service tier":  func(r *llm.Request) { r.ServiceTier = "standard_only" },
		"user id":       func(r *llm.Request) { r.UserID = "u" },
		"cache policy":  func(r *llm.Request) { r.Policy = llm.PolicyRefresh },
		"cache control": func(r *llm.Request) { r.System[0].CacheControl = json.RawMessage(`{"type":"ephemeral"}`) },
		"white space":   func(r *llm.Request) { r.OutputConfig = json.RawMessage(`{ "effort" : "low" }`) },
		"raw block": func(r *llm.Request) {
			r.System[0] = llm.Block{Type: "text", Raw: json.RawMessage(`{"text":"You review code.","cache_control":{"type":"ephemeral"},"type":"text"}`)}
		},
	}
	for name, change := range same {
		req := request()
		change(req)
		if got := mustKey(t, keyer, req); got != want {
			t.Errorf("%s changes the key", name)
		}
	}
}

func TestKeyHoldsWhatChangesTheAnswer(t *testing.T) {
	t.Parallel()
	seen := map[llm.Key]string{}
	add := func(name string, k llm.Keyer, change func(*llm.Request)) {
		req := request()
		change(req)
		key := mustKey(t, k, req)
		if other, dup := seen[key]; dup {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[key] = name
	}
	none := func(*llm.Request) {}
	add("plain", llm.Keyer{}, none)
	add("provider", llm.Keyer{Provider: "bedrock"}, none)
	add("api version", llm.Keyer{APIVersion: "2026-10-21"}, none)
	add("namespace", llm.Keyer{Namespace: llm.Namespace("sk-1")}, none)
	add("other namespace", llm.Keyer{Namespace: llm.Namespace("sk-2")}, none)
	add("second sample", llm.Keyer{}, func(r *llm.Request) { r.Sample = 1 })
	add("third sample", llm.Keyer{}, func(r *llm.Request) { r.Sample = 2 })
	add("model", llm.Keyer{}, func(r *llm.Request) { r.Model = "claude-opus-5-5" })
	add("system", llm.Keyer{}, func(r *llm.Request) { r.System[0].Text += "!" })
	add("split system", llm.Keyer{}, func(r *llm.Request) {
		r.System = []llm.Block{llm.TextBlock("You review "), llm.TextBlock("code.")}
	})
	add("message", llm.Keyer{}, func(r *llm.Request) { r.Messages[0].Content[0].Text = "Review that." })
	add("role", llm.Keyer{}, func(r *llm.Request) { r.Messages[0].Role = llm.RoleAssistant })
	add("tool", llm.Keyer{}, func(r *llm.Request) { r.Tools = r.Tools[:1] })
	add("tool choice", llm.Keyer{}, func(r *llm.Request) { r.ToolChoice = json.RawMessage(`{"type":"none"}`) })
	add("max tokens", llm.Keyer{}, func(r *llm.Request) { r.MaxTokens++ })
	add("stop", llm.Keyer{}, func(r *llm.Request) { r.StopSequences = []string{"END"} })
	add("thinking", llm.Keyer{}, func(r *llm.Request) { r.Thinking = json.RawMessage(`{"type":"adaptive"}`) })
	add("effort", llm.Keyer{}, func(r *llm.Request) { r.OutputConfig = json.RawMessage(`{"effort":"high"}`) })
	add("unknown field", llm.Keyer{}, func(r *llm.Request) {
		r.Extra = map[string]json.RawMessage{"speed": json.RawMessage(`"fast"`)}
	})
	add("beta", llm.Keyer{}, func(r *llm.Request) { r.Betas = []string{"b1"} })
}

func TestATextAloneIsABlock(t *testing.T) {
	raw, err := json.Marshal(llm.Block{Type: llm.BlockText, Raw: json.RawMessage(`"a \"b\"\n"`)})
	if err != nil {
		t.Fatal(err)
	}
	var b llm.Block
	if err := json.Unmarshal(raw, &b); err != nil || b.Text != "a \"b\"\n" || b.Type != llm.BlockText {
		t.Errorf("%s, %+v, %v", raw, b, err)
	}
}

func TestBlockRoundTrip(t *testing.T) {
	t.Parallel()
	blocks := []string{
		`{"type":"text","text":"hi"}`,
		`{"type":"text","text":""}`,
		`{"type":"thinking","thinking":"hm","signature":"sig"}`,
		`{"type":"tool_use","id":"toolu_1","name":"grep","input":{"b":1,"a":[2]}}`,
		`{"type":"tool_result","tool_use_id":"toolu_1","content":"3 lines","is_error":true}`,
		`{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"x"}]}`,
		`{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}`,
		`{"type":"text","text":"cited","citations":[{"type":"char_location"}]}`,
		`{"type":"text","text":17}`,
	}
	for _, in := range blocks {
		var b llm.Block
		if err := json.Unmarshal([]byte(in), &b); err != nil {
			t.Errorf("decoding %s: %v", in, err)
			continue
		}
		out, err := json.Marshal(b)
		if err != nil {
			t.Errorf("encoding %s: %v", in, err)
			continue
		}
		if string(out) != in {
			t.Errorf("round trip of %s = %s", in, out)
		}
	}
}

func TestCollectNeedsAnAnswer(t *testing.T) {
	t.Parallel()
	cut := func(yield func(llm.Event, error) bool) {
		yield(llm.Event{Type: llm.EventText, Text: "half an ans"}, nil)
	}
	if _, err := llm.Collect(iter.Seq2[llm.Event, error](cut)); llm.CodeOf(err) != llm.CodeIncomplete {
		t.Errorf("Collect of a cut stream: err = %v, want code incomplete", err)
	}
}

func TestCollectOfReplay(t *testing.T) {
	t.Parallel()
	want := &llm.Response{Content: []llm.Block{llm.TextBlock("a"), llm.TextBlock("b")}}
	var shown string
	got, err := llm.Collect(func(yield func(llm.Event, error) bool) {
		for ev, err := range llm.Replay(want) {
			shown += ev.Text
			if !yield(ev, err) {
				return
			}
		}
	})
	if err != nil || got != want || shown != "ab" {
		t.Errorf("Collect(Replay(r)) = %v, %v with pieces %q; want r, nil, \"ab\"", got, err, shown)
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	cases := []struct {
		err  error
		want llm.Code
	}{
		{nil, 0},
		{fmt.Errorf("step a: %w", llm.NewError(llm.CodeAuth, "no key", nil)), llm.CodeAuth},
		{fmt.Errorf("x: %w", context.Canceled), llm.CodeCanceled},
		{context.DeadlineExceeded, llm.CodeTimeout},
		{errors.New("boom"), llm.CodeInternal},
	}
	for _, c := range cases {
		if got := llm.CodeOf(c.err); got != c.want {
			t.Errorf("CodeOf(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, id string
		notice   bool
	}{
		{"haiku", "claude-haiku-5-5", false},
		{"claude-haiku-4-5", "claude-haiku-4-5-20251001", false},
		{"claude-3-5-haiku-20241022", "claude-haiku-4-5-20251001", true},
		{"claude-next", "claude-next", false},
	}
	for _, c := range cases {
		id, notice := llm.Prices().Resolve(c.name)
		if id != c.id || (notice != "") != c.notice {
			t.Errorf("Resolve(%q) = %q, %q; want %q, notice: %v", c.name, id, notice, c.id, c.notice)
		}
	}
}

func TestEveryNameResolvesToAPricedModel(t *testing.T) {
	t.Parallel()
	table := llm.Prices()
	names := []string{}
	for alias := range table.Aliases {
		names = append(names, alias)
	}
	for _, r := range table.Retirees {
		names = append(names, r.ID)
	}
	for _, name := range names {
		id, _ := table.Resolve(name)
		if _, ok := table.Cost(id, llm.Usage{}); !ok {
			t.Errorf("%s resolves to %s, which has no price", name, id)
		}
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	cases := []struct {
		model string
		usage llm.Usage
		want  float64
	}{
		{"claude-haiku-5-5", llm.Usage{InputTokens: 100_000, OutputTokens: 1000}, 0.0105},
		// One token more puts every token, output included, in the second tier.
		{"claude-haiku-5-5", llm.Usage{InputTokens: 100_001, OutputTokens: 1000}, 0.0525005},
		{"claude-haiku-5-5", llm.Usage{InputTokens: 1, CacheReadTokens: 100_000}, 0.0050005},
		{"claude-opus-5-5", llm.Usage{CacheWrite5m: 1e6, CacheWrite1h: 1e6, CacheReadTokens: 1e6, OutputTokens: 1e6}, 33.2},
		{"claude-sonnet-5-5", llm.Usage{WebSearches: 3}, 0.03},
		{"claude-haiku-5-5", llm.Usage{InputTokens: 100_000, OutputTokens: 1000, WebSearches: 1, Batch: true}, 0.01525},
	}
	for _, c := range cases {
		got, ok := llm.Prices().Cost(c.model, c.usage)
		if !ok || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("Cost(%s, %+v) = %v, %v; want %v, true", c.model, c.usage, got, ok, c.want)
		}
	}
	if _, ok := llm.Prices().Cost("claude-next", llm.Usage{}); ok {
		t.Error("an unknown model has a price")
	}
}
