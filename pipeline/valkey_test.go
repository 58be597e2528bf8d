package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/valkey/valkeytest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/sim"
)

// TestMachinesShareLimits has two machines, which have a data folder each, share limits
// by a server that is killed and comes back: each is said once, and calls are answered
// throughout.
func TestMachinesShareLimits(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-canary")
	server := valkeytest.Start(t, "requirepass canary")
	const limit = 20 // a call counts for three seconds
	service := httptest.NewServer(sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: limit}}))
	defer service.Close()
	notices := make(chan string, 100)
	machine := func() *pipeline.Pipeline {
		cfg, err := config.Load(config.Sources{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		cfg.DataDir, cfg.BaseURL, cfg.Cache.Enabled = t.TempDir(), service.URL, false
		if err := cfg.Set("valkey", strings.Replace(server.URL(), "unix://", "unix://:canary@", 1), "test"); err != nil {
			t.Fatal(err)
		}
		p, err := pipeline.New(t.Context(), cfg, pipeline.Options{OnNotice: func(_ context.Context, text string) { notices <- text }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		return p
	}
	one, two := machine(), machine()
	calls := 0
	call := func(p *pipeline.Pipeline) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		calls++
		if _, err := llm.Collect(p.Model().Stream(ctx, llmtest.Request(fmt.Sprint("number ", calls)))); err != nil {
			t.Fatal(err)
		}
	}
	// The other learns them without a call of its own, and what is left of them, which soon
	// is all again.
	for {
		call(one)
		got := two.Limits()
		if len(got) != 1 || got[0].Requests.Limit != limit || got[0].Requests.Source != admission.SourceLearned || calls > limit/2 {
			t.Fatalf("after %d calls the other machine knows %+v", calls, got)
		}
		if got[0].Requests.Remaining < limit {
			break
		}
	}
	call(two)
	server.Kill()
	call(one)
	call(two)
	server.Restart()
	said := map[string]int{}
	for range 4 {
		text := <-notices
		if strings.Contains(text, "canary") {
			t.Errorf("a secret in %q", text)
		}
		if strings.Contains(text, "does not answer") {
			said["down"]++
		}
	}
	call(one)
	call(two)
	if len(notices) != 0 || said["down"] != 2 {
		for range len(notices) {
			t.Log("more:", <-notices)
		}
		t.Errorf("said %v and more", said)
	}
	if got := two.Limits(); len(got) != 1 || got[0].Requests.Limit != limit {
		t.Errorf("after the restart it knows %+v", got)
	}
}

// TestMachinesShareACall has two machines make the same call at once: the service gets one,
// and both see its first piece before it continues.
func TestMachinesShareACall(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-canary")
	server := valkeytest.Start(t)
	requests, goOn := make(chan struct{}, 10), make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests <- struct{}{}
		w.Header().Set("Content-Type", "text/event-stream")
		send := func(data ...string) {
			for _, d := range data {
				kind, _, _ := strings.Cut(strings.TrimPrefix(d, `{"type":"`), `"`)
				fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, d)
			}
			w.(http.Flusher).Flush()
		}
		send(`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"one "}}`)
		<-goOn
		send(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"two"}}`, `{"type":"content_block_stop","index":0}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}`, `{"type":"message_stop"}`)
	}))
	defer service.Close()
	begun, got := make(chan struct{}, 2), make(chan string, 2)
	for range 2 {
		cfg, err := config.Load(config.Sources{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		cfg.DataDir, cfg.BaseURL, cfg.Valkey = t.TempDir(), service.URL, server.URL()
		p, err := pipeline.New(t.Context(), cfg, pipeline.Options{})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			text := ""
			for ev, err := range p.Model().Stream(t.Context(), llmtest.Request("same")) {
				switch {
				case err != nil:
					text += err.Error()
				case ev.Text != "":
					if text += ev.Text; text == "one " {
						begun <- struct{}{}
					}
				case ev.Response != nil:
					text += " " + string(ev.Response.Source)
				}
			}
			if err := p.Close(); err != nil {
				text += err.Error()
			}
			got <- text
		}()
	}
	<-begun
	<-begun
	close(goOn)
	texts := []string{<-got, <-got}
	slices.Sort(texts)
	if len(requests) != 1 || !slices.Equal(texts, []string{"one two coalesced", "one two live"}) {
		t.Errorf("%d requests, %q", len(requests), texts)
	}
}

// TestMachinesShareAnswers has one machine find the answer that another paid for, until the
// cache is cleared on one and neither has it.
func TestMachinesShareAnswers(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-canary")
	server := valkeytest.Start(t)
	simulator := sim.New(sim.Options{})
	service := httptest.NewServer(simulator)
	defer service.Close()
	call := func(dir string) (*config.Config, llm.Source) {
		cfg, err := config.Load(config.Sources{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		cfg.DataDir, cfg.BaseURL, cfg.Valkey = dir, service.URL, server.URL()
		p, err := pipeline.New(t.Context(), cfg, pipeline.Options{})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := llm.Collect(p.Model().Stream(t.Context(), llmtest.Request("same")))
		if err := errors.Join(err, p.Close()); err != nil {
			t.Fatal(err)
		}
		return cfg, resp.Source
	}
	one, two, three := t.TempDir(), t.TempDir(), t.TempDir()
	_, first := call(one)
	cfg, second := call(two)
	if first != llm.SourceLive || second != llm.SourceCache || simulator.Stats().Requests != 1 {
		t.Errorf("%s, %s, %d requests", first, second, simulator.Stats().Requests)
	}
	store, err := pipeline.OpenCache(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	n, _, err := store.Clear(t.Context(), cache.Filter{})
	if err := errors.Join(err, store.Close()); err != nil || n != 1 {
		t.Errorf("cleared %d, %v", n, err)
	}
	if _, third := call(three); third != llm.SourceLive || simulator.Stats().Requests != 2 {
		t.Errorf("after it was cleared: %s, %d requests", third, simulator.Stats().Requests)
	}
}
