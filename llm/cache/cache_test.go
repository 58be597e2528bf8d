package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/llmtest"
)

// memory is a store in memory.
type memory struct {
	mu      sync.Mutex
	entries map[llm.Key]*cache.Entry
	fails   error // what every call returns, if not nil
}

func newMemory() *memory { return &memory{entries: map[llm.Key]*cache.Entry{}} }

func (m *memory) Get(_ context.Context, key llm.Key, notBefore time.Time) (*cache.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return nil, m.fails
	}
	e, ok := m.entries[key]
	if !ok || e.Expired(time.Now()) || e.CreatedAt.Before(notBefore) {
		return nil, cache.ErrMiss
	}
	c := *e
	c.Response = e.Response.Clone()
	return &c, nil
}

func (m *memory) Put(_ context.Context, e *cache.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return m.fails
	}
	c := *e
	c.Response = e.Response.Clone()
	m.entries[e.Key] = &c
	return nil
}

func TestSuite(t *testing.T) {
	llmtest.Suite(t, func(t *testing.T, next llm.Model) llm.Model {
		return cache.New(next, cache.Options{Store: newMemory()})
	})
}

func request(change ...func(*llm.Request)) *llm.Request {
	req := llmtest.Request("Explain lists")
	for _, f := range change {
		f(req)
	}
	return req
}

func with(p llm.Policy) func(*llm.Request) { return func(r *llm.Request) { r.Policy = p } }

func TestPolicies(t *testing.T) {
	script := llmtest.NewScript(llmtest.Answer("first"), llmtest.Answer("second"), llmtest.Answer("third"))
	m := cache.New(script, cache.Options{Store: newMemory()})
	steps := []struct {
		policy llm.Policy
		text   string
		source llm.Source
	}{
		{llm.PolicyDefault, "first", llm.SourceLive},
		{llm.PolicyDefault, "first", llm.SourceCache},
		{llm.PolicyOff, "second", llm.SourceLive},
		{llm.PolicyDefault, "first", llm.SourceCache},
		{llm.PolicyRefresh, "third", llm.SourceLive},
		{llm.PolicyDefault, "third", llm.SourceCache},
	}
	for i, step := range steps {
		resp := llmtest.MustCollect(t, m, request(with(step.policy)))
		if resp.Text() != step.text || resp.Source != step.source {
			t.Errorf("step %d: %q from %s; want %q from %s", i, resp.Text(), resp.Source, step.text, step.source)
		}
	}
}

func TestAHitIsReplayedAsAStream(t *testing.T) {
	m := cache.New(llmtest.Echo{}, cache.Options{Store: newMemory()})
	read := func() (types []llm.EventType, text string) {
		for ev, err := range m.Stream(t.Context(), request()) {
			if err != nil {
				t.Fatal(err)
			}
			types = append(types, ev.Type)
			text += ev.Text
		}
		return types, text
	}
	_, live := read()
	types, hit := read()
	if hit != live || types[0] != llm.EventStart || types[len(types)-1] != llm.EventDone {
		t.Errorf("live %q, hit %q with events %v", live, hit, types)
	}
}

func TestWhatIsNotStored(t *testing.T) {
	answer := func(change func(*llm.Response)) []llmtest.Step {
		resp := llmtest.Response("text")
		change(resp)
		return []llmtest.Step{llmtest.Start(), llmtest.Done(resp)}
	}
	stopped := func(reason string) []llmtest.Step {
		return answer(func(r *llm.Response) { r.StopReason = reason })
	}
	tests := map[string]struct {
		steps  []llmtest.Step
		prompt string
		opts   cache.Options
		stored bool
	}{
		"whole":             {stopped(llm.StopEndTurn), "", cache.Options{}, true},
		"cut at max_tokens": {stopped(llm.StopMaxTokens), "", cache.Options{}, true},
		"refusal":           {stopped(llm.StopRefusal), "", cache.Options{}, false},
		"paused turn":       {stopped(llm.StopPauseTurn), "", cache.Options{}, false},
		"error":             {[]llmtest.Step{llmtest.Start(), llmtest.Text("half"), llmtest.FailCode(llm.CodeServer)}, "", cache.Options{}, false},
		"cut stream":        {[]llmtest.Step{llmtest.Start(), llmtest.Text("half")}, "", cache.Options{}, false},
		"another model":     {answer(func(r *llm.Response) { r.Model = "claude-opus-5-5" }), "", cache.Options{}, false},
		"altered":           {answer(func(r *llm.Response) { r.Altered = true }), "", cache.Options{}, false},
		"a copy":            {answer(func(r *llm.Response) { r.Source = llm.SourceCoalesced }), "", cache.Options{}, false},
		"of another process": {answer(func(r *llm.Response) {
			r.Source, r.Elsewhere = llm.SourceCoalesced, true
		}), "", cache.Options{}, true},
		"broken tool input": {answer(func(r *llm.Response) {
			r.Content = []llm.Block{{Type: llm.BlockToolUse, ID: "t", Name: "n", Input: json.RawMessage(`{"a":`)}}
		}), "", cache.Options{}, false},
		"tool of the service":      {answer(func(r *llm.Response) { r.Usage.WebSearches = 1 }), "", cache.Options{}, false},
		"agent without a life":     {stopped(llm.StopEndTurn), "", cache.Options{TTLOf: func(string) (time.Duration, bool) { return 0, true }}, false},
		"credential":               {stopped(llm.StopEndTurn), "my key is sk-ant-api03-0123456789abcdefghijkl", cache.Options{}, false},
		"credential, encrypted":    {stopped(llm.StopEndTurn), "my key is sk-ant-api03-0123456789abcdefghijkl", cache.Options{Encrypted: true}, true},
		"private key":              {stopped(llm.StopEndTurn), "-----BEGIN RSA PRIVATE KEY-----\nMIIE", cache.Options{}, false},
		"only looks like a prefix": {stopped(llm.StopEndTurn), "keys begin with sk-ant- or AKIA", cache.Options{}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			store := newMemory()
			var notices []string
			tt.opts.Store, tt.opts.Notice = store, func(_ context.Context, s string) { notices = append(notices, s) }
			m := cache.New(llmtest.NewScript(tt.steps), tt.opts)
			for range 2 {
				req := request(func(r *llm.Request) { r.Agent = "poet" })
				if tt.prompt != "" {
					req.Messages = []llm.Message{llm.UserText(tt.prompt)}
				}
				_, _ = llm.Collect(m.Stream(t.Context(), req)) // some fail
			}
			if stored := len(store.entries) > 0; stored != tt.stored {
				t.Errorf("stored: %t; want %t", stored, tt.stored)
			}
			if strings.HasPrefix(name, "credential") || name == "private key" {
				if want := map[bool]int{true: 0, false: 1}[tt.stored]; len(notices) != want {
					t.Errorf("notices %q; want %d", notices, want)
				}
				if strings.Contains(strings.Join(notices, ""), "0123456789abcdefghijkl") {
					t.Errorf("a notice shows the credential: %q", notices)
				}
			}
			for _, e := range store.entries {
				if e.Truncated != (name == "cut at max_tokens") {
					t.Errorf("truncated: %t", e.Truncated)
				}
			}
		})
	}
}

func TestLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := llmtest.NewScript(llmtest.Answer("x"))
		m := cache.New(script, cache.Options{Store: newMemory(), TTL: time.Hour, TTLOf: func(agent string) (time.Duration, bool) {
			return time.Minute, agent == "short"
		}})
		ask := func(agent string) llm.Source {
			return llmtest.MustCollect(t, m, request(func(r *llm.Request) { r.Agent = agent })).Source
		}
		wait := func(d time.Duration) { <-time.After(d) } // of the bubble's clock
		var got []llm.Source
		got = append(got, ask("long"), ask("long"))
		wait(59 * time.Minute)
		got = append(got, ask("long"), ask("short")) // too old for this agent
		wait(30 * time.Second)
		got = append(got, ask("short"))
		wait(time.Hour)
		got = append(got, ask("long"))
		want := []llm.Source{llm.SourceLive, llm.SourceCache, llm.SourceCache, llm.SourceLive, llm.SourceCache, llm.SourceLive}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// slowStore is a store that takes a second to write.
type slowStore struct{ *memory }

func (s slowStore) Put(ctx context.Context, e *cache.Entry) error {
	<-time.After(time.Second)
	return s.memory.Put(ctx, e)
}

// TestAnAnswerIsFoundWhileItIsStored: who asks between the end of a call and the
// end of its storing must not pay again.
func TestAnAnswerIsFoundWhileItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := llmtest.NewScript(llmtest.Answer("one"), llmtest.Answer("two"))
		m := cache.New(script, cache.Options{Store: slowStore{newMemory()}})
		var first sync.WaitGroup
		first.Go(func() { llmtest.MustCollect(t, m, request()) })
		synctest.Wait() // in the store's second
		resp := llmtest.MustCollect(t, m, request())
		if resp.Text() != "one" || resp.Source != llm.SourceCache || script.Started() != 1 {
			t.Errorf("%q from %s, %d calls", resp.Text(), resp.Source, script.Started())
		}
		first.Wait()
	})
}

func TestABrokenStoreFailsNobody(t *testing.T) {
	store := newMemory()
	store.fails = errors.New("disk on fire")
	var notices []string
	m := cache.New(llmtest.Echo{}, cache.Options{Store: store, Notice: func(_ context.Context, s string) { notices = append(notices, s) }})
	for range 3 {
		if resp := llmtest.MustCollect(t, m, request()); resp.Source != llm.SourceLive {
			t.Errorf("answered from %s", resp.Source)
		}
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "disk on fire") {
		t.Errorf("notices %q; want one", notices)
	}
}

func TestEntriesSayWhatTheyCost(t *testing.T) {
	store := newMemory()
	m := cache.New(llmtest.Echo{}, cache.Options{Store: store})
	llmtest.MustCollect(t, m, request(func(r *llm.Request) { r.Agent = "linter" }))
	for _, e := range store.entries {
		if e.Agent != "linter" || e.Prompt != "Explain lists" || e.CostUSD == nil || *e.CostUSD <= 0 || e.ExpiresAt.Sub(e.CreatedAt) != cache.DefaultTTL {
			t.Errorf("stored %+v", e)
		}
	}
}

func TestWithoutAStoreThereIsNoLayer(t *testing.T) {
	next := llmtest.Echo{}
	if got := cache.New(next, cache.Options{}); got != llm.Model(next) {
		t.Errorf("got %T", got)
	}
}

func BenchmarkMiss(b *testing.B) {
	llmtest.Bench(b, func(next llm.Model) llm.Model {
		return cache.New(next, cache.Options{Store: newMemory(), TTLOf: func(string) (time.Duration, bool) { return 0, true }})
	})
}

// TestAnotherModelIsNamedOnce: an answer that names another model than was asked is not
// kept, and that is said once in a process. Names of clouds are the same model.
func TestAnotherModelIsNamedOnce(t *testing.T) {
	for model, want := range map[string]int{"claude-haiku-5-5": 0, "anthropic.claude-haiku-5-5-v1:0": 0, "gateway-small": 1, "": 1} {
		var notices []string
		store := newMemory()
		next := llm.ModelFunc(func(context.Context, *llm.Request) iter.Seq2[llm.Event, error] {
			return func(yield func(llm.Event, error) bool) {
				yield(llm.Event{Type: llm.EventDone, Response: &llm.Response{
					Model: model, StopReason: llm.StopEndTurn, Content: []llm.Block{llm.TextBlock("yes")},
				}}, nil)
			}
		})
		m := cache.New(next, cache.Options{Store: store, Notice: func(_ context.Context, s string) { notices = append(notices, s) }})
		for range 3 {
			llmtest.MustCollect(t, m, request(func(r *llm.Request) { r.Model = "claude-haiku-5-5" }))
		}
		if len(notices) != want || want == 1 && (!strings.Contains(notices[0], `"`+model+`"`) || len(store.entries) > 0) {
			t.Errorf("%q: notices %q, %d entries", model, notices, len(store.entries))
		}
	}
}

// TestAnswersToClientsAreStoredFirst looks at the store when the end of an answer is given
// to a client.
func TestAnswersToClientsAreStoredFirst(t *testing.T) {
	t.Parallel()
	store := newMemory()
	m := cache.New(llmtest.NewScript(llmtest.Answer("yes")), cache.Options{Store: store})
	req := request()
	req.Wire = &llm.Wire{Body: []byte("{}")}
	for ev, err := range m.Stream(t.Context(), req) {
		if err != nil {
			t.Fatal(err)
		}
		if stored := len(store.entries); ev.Type == llm.EventDone && stored != 1 || ev.Type != llm.EventDone && stored != 0 {
			t.Errorf("%d answers are stored at %v", stored, ev.Type)
		}
	}
}
