package cassette_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

func create(tb testing.TB) (*cassette.Recorder, string) {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "cassette")
	r, err := cassette.Create(dir, cassette.Meta{Program: "test"}, cassette.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	return r, dir
}

func closeRecorder(tb testing.TB, r *cassette.Recorder) {
	tb.Helper()
	if err := r.Close(); err != nil {
		tb.Fatal(err)
	}
}

func open(tb testing.TB, dir string) *cassette.Player {
	tb.Helper()
	p, err := cassette.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// callFiles returns the files of calls in dir.
func callFiles(tb testing.TB, dir string) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "calls", "*.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

func TestRecorderSuite(t *testing.T) {
	llmtest.Suite(t, func(t *testing.T, next llm.Model) llm.Model {
		r, _ := create(t)
		return r.Layer(next)
	})
}

func TestPlayerSuite(t *testing.T) {
	r, dir := create(t)
	layer := r.Layer(llmtest.Echo{})
	// The suite stops calls early, so each is made completely first.
	t.Run("recording", func(t *testing.T) {
		llmtest.SuiteModel(t, func(t *testing.T) llm.Model {
			return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
				return func(yield func(llm.Event, error) bool) {
					if _, err := llm.Collect(layer.Stream(context.WithoutCancel(ctx), req)); err != nil {
						t.Error(err)
					}
					layer.Stream(ctx, req)(yield)
				}
			})
		})
	})
	closeRecorder(t, r)
	m := open(t, dir).Model()
	llmtest.SuiteModel(t, func(*testing.T) llm.Model { return m })
}

func TestReplaySimulatorRecording(t *testing.T) {
	r, dir := create(t)
	client, err := anthropic.New(anthropic.Options{
		APIKey: "simulated", KeySource: "a test", BaseURL: "http://simulator.invalid",
		HTTPClient: &http.Client{Transport: sim.New(sim.Options{}).RoundTripper()},
	})
	if err != nil {
		t.Fatal(err)
	}
	requests := func() (reqs []*llm.Request) {
		for i := range 5 {
			req := llmtest.Request(fmt.Sprintf("Review <file %d> & say \"fine\"\nor not.", i))
			req.Agent = fmt.Sprintf("agent %d/%d", i, i)
			req.System = []llm.Block{{Type: llm.BlockText, Text: "You review.", CacheControl: json.RawMessage(`{"type":"ephemeral"}`)}}
			req.Tools = []llm.Tool{{Name: "grep", InputSchema: json.RawMessage(`{"type":"object","properties":{"q":{"type":"string"}}}`)}}
			reqs = append(reqs, req)
		}
		return reqs
	}
	layer := r.Layer(client)
	var live []*llm.Response
	for _, req := range requests() {
		live = append(live, llmtest.MustCollect(t, layer, req))
	}
	if err := r.WriteFile("result/answer.txt", []byte(live[0].Text())); err != nil {
		t.Fatal(err)
	}
	closeRecorder(t, r)

	marshal := func(resp *llm.Response) string {
		data, err := json.Marshal(resp)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for range 2 {
		p := open(t, dir)
		if !p.Complete() || p.Len() != 5 || p.Meta().Program != "test" {
			t.Errorf("complete %v, %d calls, meta %v", p.Complete(), p.Len(), p.Meta())
		}
		if n := len(p.Unused()); n != 5 {
			t.Errorf("%d unused calls before the first, want 5", n)
		}
		m := p.Model()
		for i, req := range requests() {
			resp := llmtest.MustCollect(t, m, req)
			if resp.Source != llm.SourceReplay || resp.Attempts != 0 {
				t.Errorf("replayed answer is of source %q after %d attempts", resp.Source, resp.Attempts)
			}
			if got, want := marshal(resp), marshal(live[i]); got != want {
				t.Errorf("replayed\n%s\nrecorded\n%s", got, want)
			}
		}
		if unused := p.Unused(); len(unused) != 0 {
			t.Errorf("unused after all were asked: %q", unused)
		}
		if data, err := p.ReadFile("result/answer.txt"); err != nil || string(data) != live[0].Text() {
			t.Errorf("ReadFile = %q, %v", data, err)
		}
	}
	files := callFiles(t, dir)
	if name := filepath.Base(files[0]); !strings.HasPrefix(name, "0001-agent-0-0-") {
		t.Errorf("first call is in %s", name)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := `"text": "Review <file 0> & say \"fine\"\nor not."`; !strings.Contains(string(data), want) {
		t.Errorf("the file of a call has not\n%s\nbut is\n%s", want, data)
	}
}
