package cassette_test

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestNotFoundNamesDifferences(t *testing.T) {
	r, dir := create(t)
	layer := r.Layer(llmtest.Echo{})
	for _, agent := range []string{"linter", "reviewer", "tester"} {
		req := llmtest.Request("Look at this.\nThen act as " + agent + ".")
		req.Agent = agent
		llmtest.MustCollect(t, layer, req)
	}
	closeRecorder(t, r)
	p := open(t, dir)
	req := llmtest.Request("Look at this.\nThen act as tester!")
	req.Agent, req.MaxTokens = "reviewer", 9
	_, err := llm.Collect(p.Model().Stream(t.Context(), req))
	if llm.CodeOf(err) != llm.CodeInvalid {
		t.Fatalf("error %v, want an invalid request", err)
	}
	for _, want := range []string{
		"agent reviewer", "calls/0002-reviewer-",
		`message 1 (user): line 2 is "…en act as tester!", was "…en act as reviewer."`, "max_tokens: 9, was 256",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if n := len(p.Unused()); n != 3 {
		t.Errorf("%d calls unused, want all 3", n)
	}
}

func TestNotFoundIgnoresJSONFormatting(t *testing.T) {
	request := func(query string) *llm.Request {
		req := llmtest.Request("x")
		raw := `{"type":"server_tool_use","id":"s","name":"web_search","input":{"a":"b","query":"` + query + `"}}`
		req.Messages = append(req.Messages, llm.Message{Role: llm.RoleAssistant, Content: []llm.Block{{Type: "server_tool_use", Raw: json.RawMessage(raw)}}})
		return req
	}
	r, dir := create(t)
	llmtest.MustCollect(t, r.Layer(llmtest.Echo{}), request("cats"))
	closeRecorder(t, r)
	_, err := llm.Collect(open(t, dir).Model().Stream(t.Context(), request("dogs")))
	want := `message 2 (assistant): line 1 is "…,\"query\":\"dogs\"},\"name\":\"web…"`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v does not say %s", err, want)
	}
}

func TestToolInputKeepsBytes(t *testing.T) {
	r, dir := create(t)
	resp := llmtest.Response("")
	raw := json.RawMessage(`{"type":"tool_use","id":"t4","name":"x","input":{"a":1},"caller":{"type":"direct"}}`)
	resp.Content = []llm.Block{
		{Type: llm.BlockToolUse, ID: "t1", Name: "x", Input: json.RawMessage(`{"cut":"of`)},
		{Type: llm.BlockToolUse, ID: "t2", Name: "x", Input: json.RawMessage(`{"compact":[1,2]}`)},
		{Type: llm.BlockToolUse, ID: "t3", Name: "x", Input: json.RawMessage("{\"spaces\": [1,\n2], \"e\":\"\\u003c<\"}")},
		{Type: llm.BlockToolUse, ID: "t4", Name: "x", Input: json.RawMessage(`{ "a":1}`), Raw: raw},
		{Type: llm.BlockToolUse, ID: "t5", Name: "x"},
		{Type: "server_tool_use", Raw: json.RawMessage(`{"type":"server_tool_use","id":"s","input":{"query":"q"}}`)},
	}
	llmtest.MustCollect(t, r.Layer(llmtest.NewScript([]llmtest.Step{llmtest.Done(resp)})), llmtest.Request("x"))
	closeRecorder(t, r)
	got := llmtest.MustCollect(t, open(t, dir).Model(), llmtest.Request("x"))
	asText := cmp.Transformer("text", func(raw json.RawMessage) string { return string(raw) })
	if diff := cmp.Diff(resp, got, asText, cmpopts.IgnoreFields(llm.Response{}, "Source", "Attempts")); diff != "" {
		t.Errorf("replayed (-recorded +replayed):\n%s", diff)
	}
}

// play makes a call of key "x" and returns its answer or error as text.
func play(ctx context.Context, m llm.Model, policy llm.Policy) string {
	req := llmtest.Request("x")
	req.Policy = policy
	resp, err := llm.Collect(m.Stream(ctx, req))
	if err != nil {
		return err.Error()
	}
	return resp.Text()
}

func TestRepeatedCalls(t *testing.T) {
	fail := []llmtest.Step{llmtest.FailCode(llm.CodeOverloaded)}
	a, b, c := llmtest.Answer("a"), llmtest.Answer("b"), llmtest.Answer("c")
	overloaded := "scripted overloaded (overloaded)"
	for _, test := range []struct {
		name   string
		script [][]llmtest.Step
		want   []string
		files  int
	}{
		{"different answers", [][]llmtest.Step{a, b, c}, []string{"a", "b", "c", "c"}, 3},
		{"equal in a row", [][]llmtest.Step{a, a, b, b, a}, []string{"a", "a", "b", "b", "a", "a"}, 3},
		{"only failures", [][]llmtest.Step{fail, fail}, []string{overloaded, overloaded, overloaded}, 1},
		{"failures before an answer", [][]llmtest.Step{fail, fail, a}, []string{"a", "a", "a"}, 1},
		{"a failure after an answer", [][]llmtest.Step{a, fail}, []string{"a", overloaded, overloaded}, 2},
		{"a failure between answers", [][]llmtest.Step{a, fail, a}, []string{"a", "a", "a"}, 1},
		{"another answer after a failure", [][]llmtest.Step{a, fail, b}, []string{"a", "a", "b", "b"}, 2},
		{"a stream that is cut", [][]llmtest.Step{{llmtest.Start()}}, []string{llm.ErrIncomplete.Error()}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, dir := create(t)
			layer := r.Layer(llmtest.NewScript(test.script...))
			for range test.script {
				play(t.Context(), layer, llm.PolicyOff)
			}
			closeRecorder(t, r)
			if n := len(callFiles(t, dir)); n != test.files {
				t.Errorf("%d files, want %d", n, test.files)
			}
			p := open(t, dir)
			for i, want := range test.want {
				if got := play(t.Context(), p.Model(), llm.PolicyDefault); got != want {
					t.Errorf("call %d: %q, want %q", i+1, got, want)
				}
			}
			if unused := p.Unused(); len(unused) > 0 {
				t.Errorf("unused: %q", unused)
			}
		})
	}
}

// Concurrent calls end in any order; the replay must not depend on it.
func TestCallsEndInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answers := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "!", "?"}), 1, 6).Draw(t, "answers")
		ends := make([]int, len(answers))
		for i := range ends {
			ends[i] = i
		}
		ends = rapid.Permutation(ends).Draw(t, "ends")

		tmp, err := os.MkdirTemp("", "cassette") //nolint:usetesting // rapid calls this many times in one test
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(tmp) }()
		r, err := cassette.Create(tmp, cassette.Meta{}, cassette.Options{})
		if err != nil {
			t.Fatal(err)
		}
		began, done := make(chan bool), make([]chan bool, len(answers))
		next := 0
		layer := r.Layer(llm.ModelFunc(func(context.Context, *llm.Request) iter.Seq2[llm.Event, error] {
			return func(yield func(llm.Event, error) bool) {
				i := next
				next++
				began <- true
				<-done[i]
				switch answers[i] {
				case "!", "?":
					llm.Fail(llm.NewError(llm.CodeServer, answers[i], nil))(yield)
				default:
					llm.Replay(llmtest.Response(answers[i]))(yield)
				}
			}
		}))
		ended := make([]chan bool, len(answers))
		for i := range answers {
			done[i], ended[i] = make(chan bool), make(chan bool)
			go func() { // waited for below
				play(context.Background(), layer, llm.PolicyOff)
				close(ended[i])
			}()
			<-began
		}
		for _, i := range ends {
			close(done[i])
			<-ended[i]
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		p, err := cassette.Open(tmp)
		if err != nil {
			t.Fatal(err)
		}
		answered := func(outcomes ...string) bool { return strings.ContainsAny(strings.Join(outcomes, ""), "abc") }
		for i, want := range answers {
			got := strings.TrimSuffix(play(context.Background(), p.Model(), llm.PolicyOff), " (server)")
			overtaken := !answered(want) && answered(answers[i+1:]...)
			if !overtaken && got != want || overtaken && !answered(got) {
				t.Fatalf("call %d of %q, ended in order %v: replayed %q", i+1, answers, ends, got)
			}
		}
	})
}
