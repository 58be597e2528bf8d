package promptcache_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/promptcache"
	"github.com/claude-force/claude-force/sim"
)

// eager caches and waits for the smallest prompt.
var eager = promptcache.Options{WaitTokens: 1, Prices: withMinimum(1)}

// withMinimum returns a price table in which every model has the given
// cache minimum.
func withMinimum(tokens int) *llm.PriceTable {
	table := *llm.Prices()
	table.Models = slices.Clone(table.Models)
	for i := range table.Models {
		table.Models[i].CacheMinimum = tokens
	}
	return &table
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]promptcache.Options{"default": {}, "eager": eager} {
		t.Run(name, func(t *testing.T) {
			llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model { return promptcache.New(next, opts) })
		})
	}
}

// document returns about n tokens of a dense tokenizer.
func document(n int) string { return strings.Repeat("word ", n*4*10/13/5) }

// ask returns a request of one task on a shared document.
func ask(document, task string) *llm.Request {
	return &llm.Request{
		Model:     "claude-sonnet-5-5",
		System:    []llm.Block{llm.TextBlock("You read documents.")},
		Messages:  []llm.Message{llm.UserTurn([]string{document}, task)},
		MaxTokens: 1000,
	}
}

// provider returns ours over the simulator.
func provider(t *testing.T, server *sim.Server) llm.Model {
	t.Helper()
	c, err := anthropic.New(anthropic.Options{
		APIKey: "sk-test", KeySource: "the test", BaseURL: "http://sim.invalid", HTTPClient: &http.Client{Transport: server.RoundTripper()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fan makes n calls at once and gives the sum of their usages, and when each
// was done.
func fan(t *testing.T, ctx context.Context, m llm.Model, n int, request func(i int) *llm.Request) (sum llm.Usage, took []time.Duration) {
	t.Helper()
	begin := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			resp, err := llm.Collect(m.Stream(ctx, request(i)))
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(begin))
			if err != nil {
				t.Errorf("call %d: %v", i, err)
				return
			}
			sum = sum.Add(resp.Usage)
		})
	}
	wg.Wait()
	return sum, took
}

func tasks(doc string) func(int) *llm.Request {
	return func(i int) *llm.Request { return ask(doc, fmt.Sprintf("Summarise chapter %d.", i)) }
}

func TestAnnouncedCallsWriteOnceAndReadTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := promptcache.New(provider(t, sim.New(sim.Options{Latency: sim.Fixed(10 * time.Second)})), promptcache.Options{})
		ctx := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 40})
		sum, took := fan(t, ctx, m, 40, tasks(document(60_000)))
		wrote := sum.CacheWrite5m
		if wrote < 55_000 || wrote > 65_000 || sum.CacheWrite1h != 0 {
			t.Errorf("wrote %d and %d tokens for an hour, want one document of 60,000", wrote, sum.CacheWrite1h)
		}
		if sum.CacheReadTokens != 39*wrote {
			t.Errorf("read %d tokens, want 39 times %d", sum.CacheReadTokens, wrote)
		}
		if sum.InputTokens > 40*50 {
			t.Errorf("%d tokens at the plain price, want the tasks only", sum.InputTokens)
		}
		// The first event comes after a tenth of the time.
		want := slices.Repeat([]time.Duration{11 * time.Second}, 40)
		want[0] = 10 * time.Second
		if diff := cmp.Diff(want, took); diff != "" {
			t.Error(diff)
		}
		// While the prefix is warm nobody waits.
		again, took := fan(t, t.Context(), m, 3, tasks(document(60_000)))
		if again.CacheReadTokens != 3*wrote || slices.Max(took) != 10*time.Second {
			t.Errorf("warm: usage %+v after %v", again, took)
		}
	})
}

func TestUnannouncedCallsAreSeenToShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := promptcache.New(provider(t, sim.New(sim.Options{Latency: sim.Fixed(10 * time.Second)})), promptcache.Options{})
		sum, took := fan(t, t.Context(), m, 10, tasks(document(60_000)))
		// The first cannot know, the second can.
		wrote := sum.CacheWrite5m
		if wrote < 55_000 || wrote > 65_000 || sum.CacheReadTokens != 8*wrote {
			t.Errorf("usage %+v, want one document at the plain price, one written, eight read", sum)
		}
		if slices.Max(took) != 11*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestNothingIsWrittenThatNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := promptcache.New(provider(t, sim.New(sim.Options{})), promptcache.Options{})
		once := func(ctx context.Context, req *llm.Request) llm.Usage {
			resp, err := llm.Collect(m.Stream(ctx, req))
			if err != nil {
				t.Fatal(err)
			}
			return resp.Usage
		}
		cached := func(u llm.Usage) int { return u.CacheReadTokens + u.CacheWrite5m + u.CacheWrite1h }
		if u := once(t.Context(), ask(document(60_000), "Once.")); cached(u) != 0 {
			t.Errorf("a single call: %+v", u)
		}
		<-time.After(6 * time.Minute) // the bubble's clock
		if u := once(t.Context(), ask(document(60_000), "Once more, too late to share.")); cached(u) != 0 {
			t.Errorf("six minutes later: %+v", u)
		}
		rare := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 2, Every: 10 * time.Minute})
		if u := once(rare, ask(document(30_000), "One of two.")); cached(u) != 0 {
			t.Errorf("two calls ten minutes apart: %+v", u)
		}
		short := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 100})
		if u := once(short, ask(document(500), "Short.")); cached(u) != 0 {
			t.Errorf("below the model's minimum: %+v", u)
		}
		if u := once(short, &llm.Request{
			Model: "claude-sonnet-5-5", MaxTokens: 10, Messages: []llm.Message{llm.UserText(document(5000))},
		}); cached(u) != 0 {
			t.Errorf("nothing of the prompt is shared: %+v", u)
		}
	})
}

func TestCallsFarApartAreKeptForAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := promptcache.New(provider(t, sim.New(sim.Options{})), promptcache.Options{})
		ctx := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 4, Every: 20 * time.Minute})
		var sum llm.Usage
		for i := range 4 {
			u, _ := fan(t, ctx, m, 1, func(int) *llm.Request { return ask(document(60_000), fmt.Sprint("Number ", i)) })
			sum = sum.Add(u)
			<-time.After(20 * time.Minute)
		}
		if sum.CacheWrite5m != 0 || sum.CacheWrite1h < 55_000 || sum.CacheReadTokens != 3*sum.CacheWrite1h {
			t.Errorf("usage %+v, want one written for an hour and read three times", sum)
		}
	})
}

func TestAFailedLeaderPassesTheLeadOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fail := []llmtest.Step{llmtest.Wait(time.Second), llmtest.FailCode(llm.CodeOverloaded)}
		answer := append([]llmtest.Step{llmtest.Wait(time.Second)}, llmtest.Answer("fine")...)
		next := llmtest.NewScript(fail, fail, answer)
		m := promptcache.New(next, promptcache.Options{})
		ctx := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 20})
		begin := time.Now()
		var codes []llm.Code
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, err := llm.Collect(m.Stream(ctx, ask(document(60_000), fmt.Sprint(i))))
				mu.Lock()
				defer mu.Unlock()
				codes = append(codes, llm.CodeOf(err))
			})
		}
		wg.Wait()
		if n := 20 - len(slices.DeleteFunc(codes, func(c llm.Code) bool { return c != 0 })); n != 2 {
			t.Errorf("%d calls failed, want the first two leaders", n)
		}
		if d := time.Since(begin); d != 4*time.Second || next.MaxInFlight() != 17 {
			t.Errorf("took %v with at most %d at once; want three leaders of a second, then 17 followers", d, next.MaxInFlight())
		}
		marked := 0
		for _, req := range next.Requests() {
			if req.Messages[0].Content[0].CacheControl != nil {
				marked++
			}
		}
		if marked != 20 {
			t.Errorf("%d of 20 calls had a breakpoint", marked)
		}
	})
}

func TestARefusedLeaderLetsAllGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript([]llmtest.Step{llmtest.Wait(time.Second), llmtest.FailCode(llm.CodeInvalid)})
		m := promptcache.New(next, promptcache.Options{})
		ctx := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 20})
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { _, _ = llm.Collect(m.Stream(ctx, ask(document(60_000), fmt.Sprint(i)))) })
		}
		wg.Wait()
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("20 calls that are all refused took %v, want the leader's second and the others'", d)
		}
	})
}

func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		silent := append([]llmtest.Step{llmtest.Wait(time.Hour)}, llmtest.Answer("late")...)
		next := llmtest.NewScript(silent, llmtest.Answer("fine"))
		var waited []time.Duration
		m := promptcache.New(next, promptcache.Options{OnWait: func(d time.Duration) { waited = append(waited, d) }})
		ctx := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 3})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = llm.Collect(m.Stream(ctx, ask(document(60_000), "first"))) })
		synctest.Wait()
		wg.Go(func() {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if _, err := llm.Collect(m.Stream(short, ask(document(60_000), "second"))); llm.CodeOf(err) != llm.CodeTimeout {
				t.Errorf("a follower whose deadline passed: %v", err)
			}
		})
		wg.Go(func() { llmtest.MustCollect(t, m, ask(document(60_000), "third")) })
		wg.Wait()
		if diff := cmp.Diff([]time.Duration{time.Second, time.Minute}, waited); diff != "" {
			t.Error(diff)
		}
		if reqs := next.Requests(); len(reqs) != 2 || reqs[1].Messages[0].Content[0].CacheControl != nil {
			t.Error("who went before the prefix was warm writes it too; want the plain price")
		}
	})
}

func TestOthersDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := promptcache.New(provider(t, sim.New(sim.Options{Latency: sim.Fixed(10 * time.Second)})), promptcache.Options{})
		for name, request := range map[string]func(int) *llm.Request{
			"other documents": func(i int) *llm.Request { return ask(fmt.Sprint(i, document(20_000)), "Go.") },
			"other models": func(i int) *llm.Request {
				req := ask(document(20_000), "Go.")
				req.Model = []string{"claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"}[i]
				return req
			},
			"not worth a second": func(i int) *llm.Request { return ask("!"+document(2000), fmt.Sprint(i)) },
		} {
			ctx := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 3})
			sum, took := fan(t, ctx, m, 3, request)
			if slices.Max(took) != 10*time.Second {
				t.Errorf("%s: took %v", name, took)
			}
			if name == "not worth a second" && (sum.CacheWrite5m < 1800 || sum.CacheWrite5m > 2200) {
				t.Errorf("%s: usage %+v, want one written and none twice", name, sum)
			}
		}
	})
}

// TestAConversationIsReadFromTheCache: each turn begins with all turns before.
func TestAConversationIsReadFromTheCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := promptcache.New(provider(t, sim.New(sim.Options{})), promptcache.Options{})
		req := &llm.Request{Model: "claude-sonnet-5-5", MaxTokens: 1000}
		var last, sum llm.Usage
		for i := range 6 {
			req.Messages = append(req.Messages, llm.UserText(fmt.Sprint("Question ", i, document(3000))))
			resp := llmtest.MustCollect(t, m, req)
			req.Messages = append(req.Messages, llm.Message{Role: llm.RoleAssistant, Content: resp.Content})
			last, sum = resp.Usage, sum.Add(resp.Usage)
		}
		if last.CacheReadTokens < 11_000 || last.PromptTokens()-last.CacheReadTokens > 7000 {
			t.Errorf("the sixth turn: %+v, want the first four read", last)
		}
		cost := 1.25*float64(sum.CacheWrite5m) + float64(sum.InputTokens) + 0.1*float64(sum.CacheReadTokens)
		if plain := float64(sum.PromptTokens()); cost > 0.8*plain {
			t.Errorf("cost %.0f, plain %.0f", cost, plain)
		}
	})
}

func TestTheCallersBreakpointsCount(t *testing.T) {
	t.Parallel()
	minutes, hour := json.RawMessage(`{"type":"ephemeral"}`), json.RawMessage(`{"type":"ephemeral","ttl":"1h"}`)
	set := func(control json.RawMessage) llm.Block {
		return llm.Block{Type: llm.BlockText, Text: document(5000), CacheControl: control}
	}
	tests := map[string]struct {
		system []llm.Block
		turn   llm.Message
		extra  json.RawMessage
		every  time.Duration
	}{
		"four":           {[]llm.Block{set(minutes), set(minutes), set(minutes), set(minutes)}, llm.UserTurn([]string{document(5000)}, "x"), nil, 0},
		"three and auto": {[]llm.Block{set(minutes), set(minutes), set(minutes)}, llm.UserTurn([]string{document(5000)}, "x"), minutes, 0},
		"an hour first":  {[]llm.Block{set(hour), set(nil)}, llm.UserTurn([]string{document(5000), document(6000), document(7000)}, "x"), nil, 0},
		"an hour last": {[]llm.Block{set(nil)}, llm.Message{Role: llm.RoleUser, Content: []llm.Block{
			{Type: llm.BlockText, Text: document(5000), Shared: true}, set(hour), llm.TextBlock("x"),
		}}, nil, 0},
		"auto for an hour":                          {[]llm.Block{set(nil)}, llm.UserTurn([]string{document(5000)}, ""), hour, 0},
		"five minutes first, others for an hour":    {[]llm.Block{set(minutes)}, llm.UserTurn([]string{document(5000)}, "x"), nil, 20 * time.Minute},
		"auto for five minutes, others for an hour": {[]llm.Block{set(nil)}, llm.UserTurn([]string{document(5000)}, ""), minutes, 20 * time.Minute},
		"raw": {nil, llm.Message{Role: llm.RoleUser, Content: []llm.Block{
			{Type: llm.BlockText, Raw: json.RawMessage(`{"type":"text","citations":null,"text":"` + document(5000) + `"}`), Shared: true}, llm.TextBlock("x"),
		}}, nil, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := promptcache.New(provider(t, sim.New(sim.Options{})), promptcache.Options{})
			ctx := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 9, Every: test.every})
			for i := range 2 { // the simulator refuses what the service refuses
				req := &llm.Request{
					Model: "claude-sonnet-5-5", MaxTokens: 100, System: test.system, Messages: []llm.Message{test.turn},
					Tools: []llm.Tool{{Name: "grep", Description: document(2000)}},
				}
				if test.extra != nil {
					req.Extra = map[string]json.RawMessage{"cache_control": test.extra}
				}
				resp, err := llm.Collect(m.Stream(ctx, req))
				if err != nil {
					t.Fatal(err)
				}
				if u := resp.Usage; i == 1 && u.CacheReadTokens < u.PromptTokens()-6000 {
					t.Errorf("second call: %+v", u)
				}
			}
		})
	}
}

func TestBelowTheMinimumNothingIsMarked(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript(llmtest.Answer("fine"))
	m := promptcache.New(next, promptcache.Options{})
	ctx := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 9})
	for _, model := range []string{"claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-4-7", "claude-haiku-4-5-20251001", "unknown"} {
		req := ask(document(800), "Go.")
		req.Model = model
		if _, err := llm.Collect(m.Stream(ctx, req)); err != nil {
			t.Fatal(err)
		}
	}
	var marked []string
	for _, req := range next.Requests() {
		if req.Messages[0].Content[0].CacheControl != nil {
			marked = append(marked, req.Model)
		}
	}
	if diff := cmp.Diff([]string{"claude-haiku-5-5"}, marked); diff != "" {
		t.Error(diff)
	}
}

// TestTheTableSaysTheMinimum checks that the cache minimum of the user's price
// table decides what is marked.
func TestTheTableSaysTheMinimum(t *testing.T) {
	t.Parallel()
	for minimum, want := range map[int]bool{600: true, 1000: false} {
		next := llmtest.NewScript(llmtest.Answer("fine"))
		m := promptcache.New(next, promptcache.Options{Prices: withMinimum(minimum)})
		ctx := promptcache.Announce(t.Context(), promptcache.Plan{Calls: 9})
		if _, err := llm.Collect(m.Stream(ctx, ask(document(800), "Go."))); err != nil {
			t.Fatal(err)
		}
		if marked := next.Requests()[0].Messages[0].Content[0].CacheControl != nil; marked != want {
			t.Errorf("minimum %d: marked %t, want %t", minimum, marked, want)
		}
	}
}

func BenchmarkLayer(b *testing.B) {
	llmtest.Bench(b, func(next llm.Model) llm.Model { return promptcache.New(next, promptcache.Options{}) })
}
