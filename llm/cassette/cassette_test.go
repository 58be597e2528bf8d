package cassette_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

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

// callFiles are the files of calls in dir.
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
	// The suite breaks calls off, so that each is made to its end beforehand.
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

func TestRecordOnTheSimulatorReplayWithoutNetwork(t *testing.T) {
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

func TestAChangedPromptIsNamed(t *testing.T) {
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

func TestOnlyRealDifferencesOfJSONAreNamed(t *testing.T) {
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

func TestNoSecretReachesTheFolder(t *testing.T) {
	filler := strings.Repeat("0A", 40)
	secrets := []string{
		"sk-ant-api03-" + filler[:30], "ghp_" + filler[:36], "AKIA" + filler[:16],
		"eyJhbGciOiJ0ZXN0In0.eyJzdWIiOiJ0ZXN0In0.c2lnbmF0dXJl",
	}
	pem := "-----BEGIN PRIVATE KEY-----\n" + filler[:64] + "\n-----END PRIVATE KEY-----\n"
	everything := strings.Join(secrets, "\n") + "\n" + pem
	quoted, err := json.Marshal(everything)
	if err != nil {
		t.Fatal(err)
	}
	object := json.RawMessage(`{"secret":` + string(quoted) + `}`)
	request := func() *llm.Request {
		req := llmtest.Request(everything)
		req.Agent = secrets[0]
		req.System = []llm.Block{llm.TextBlock(everything)}
		req.Messages = append(req.Messages,
			llm.Message{Role: llm.RoleAssistant, Content: []llm.Block{{Type: llm.BlockToolUse, ID: "t", Name: "x", Input: object}}},
			llm.Message{Role: llm.RoleUser, Content: []llm.Block{llm.ToolResult("t", everything, false)}})
		req.Tools = []llm.Tool{{Name: "x", Description: everything, InputSchema: object}}
		req.Extra = map[string]json.RawMessage{"k": object}
		req.StopSequences = secrets
		return req
	}
	dir := filepath.Join(t.TempDir(), "c")
	r, err := cassette.Create(dir, cassette.Meta{Program: secrets[0], Recorded: map[string]any{"params": map[string]any{"key": everything}}}, cassette.Options{})
	if err != nil {
		t.Fatal(err)
	}
	resp := llmtest.Response(everything)
	resp.Content = append(resp.Content, llm.Block{Type: llm.BlockToolUse, ID: "t", Name: "x", Input: object}, llm.Block{Type: llm.BlockThinking, Text: everything})
	layer := r.Layer(llmtest.NewScript([]llmtest.Step{llmtest.Start(), llmtest.Done(resp)}, []llmtest.Step{llmtest.Fail(llm.NewError(llm.CodeServer, everything, nil))}))
	llmtest.MustCollect(t, layer, request())
	if _, err := llm.Collect(layer.Stream(t.Context(), llmtest.Request("another"))); err == nil {
		t.Fatal("the second call did not fail")
	}
	line, err := json.Marshal(map[string]string{"event": everything})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"journal.jsonl": string(line) + "\n" + string(line) + "\n", "workflow.yaml": everything} {
		if err := r.WriteFile(name, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	closeRecorder(t, r)

	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		for _, secret := range append(secrets, filler[:16]) {
			if strings.Contains(string(data)+path, secret) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return err
	})
	if err != nil || files != 5 {
		t.Errorf("%d files, %v; want 5", files, err)
	}

	p := open(t, dir)
	// Another account's credentials make it no other call.
	other := request()
	other.Messages[0] = llm.UserText(strings.ReplaceAll(everything, "api03", "api04"))
	if got := llmtest.MustCollect(t, p.Model(), other).Text(); !strings.Contains(got, "[an Anthropic API key]") || strings.Contains(got, filler[:16]) {
		t.Errorf("replayed %q", got)
	}
	journal, err := p.ReadFile("journal.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(journal)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("scrubbing broke a line of JSON: %s", line)
		}
	}
}

func TestOneCallIsRecordedOnce(t *testing.T) {
	r, dir := create(t)
	layer := r.Layer(llmtest.Echo{})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			req := llmtest.Request("the same")
			req.Agent = fmt.Sprint("agent", i%3)
			if _, err := llm.Collect(layer.Stream(t.Context(), req)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	closeRecorder(t, r)
	if n := len(callFiles(t, dir)); n != 1 {
		t.Errorf("%d files for one call, want 1", n)
	}
	m := open(t, dir).Model()
	for range 50 { // also more often than recorded
		if got := llmtest.MustCollect(t, m, llmtest.Request("the same")).Text(); got != "echo: the same" {
			t.Errorf("replayed %q", got)
		}
	}
}

func TestEverySourceIsRecorded(t *testing.T) {
	r, dir := create(t)
	sources := []llm.Source{llm.SourceLive, llm.SourceCache, llm.SourceCoalesced, llm.SourceJournal}
	for _, source := range sources {
		resp := llmtest.Response("from " + string(source))
		resp.Source = source
		llmtest.MustCollect(t, r.Layer(llmtest.NewScript([]llmtest.Step{llmtest.Done(resp)})), llmtest.Request(string(source)))
	}
	closeRecorder(t, r)
	m := open(t, dir).Model()
	for _, source := range sources {
		if got := llmtest.MustCollect(t, m, llmtest.Request(string(source))).Text(); got != "from "+string(source) {
			t.Errorf("replayed %q", got)
		}
	}
}

func TestToolInputReplaysByteForByte(t *testing.T) {
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

// play makes a call of key "x" and says what came of it.
func play(ctx context.Context, m llm.Model, policy llm.Policy) string {
	req := llmtest.Request("x")
	req.Policy = policy
	resp, err := llm.Collect(m.Stream(ctx, req))
	if err != nil {
		return err.Error()
	}
	return resp.Text()
}

func TestTheNthCallIsAnsweredAsTheNth(t *testing.T) {
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

// Calls at once end in any order; what is replayed must not depend on it.
func TestAnyOrderOfEndings(t *testing.T) {
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

func TestACanceledCallIsNotRecorded(t *testing.T) {
	r, dir := create(t)
	layer := r.Layer(llmtest.NewScript([]llmtest.Step{llmtest.Start(), llmtest.Text("half"), llmtest.Hang()}))
	ctx, cancel := context.WithCancel(t.Context())
	for ev := range layer.Stream(ctx, llmtest.Request("x")) {
		if ev.Type == llm.EventText {
			cancel()
		}
	}
	for range layer.Stream(t.Context(), llmtest.Request("y")) {
		break
	}
	cancel()
	closeRecorder(t, r)
	if files := callFiles(t, dir); len(files) != 0 {
		t.Errorf("recorded %q", files)
	}
	_, err := llm.Collect(open(t, dir).Model().Stream(t.Context(), llmtest.Request("x")))
	if err == nil || !strings.Contains(err.Error(), "holds no calls") {
		t.Errorf("error %v of an empty cassette", err)
	}
}

func TestAnInterruptedRecordingOpens(t *testing.T) {
	r, dir := create(t)
	llmtest.MustCollect(t, r.Layer(llmtest.Echo{}), llmtest.Request("x"))
	// What a writer that is killed leaves behind.
	if err := os.WriteFile(filepath.Join(dir, "calls", ".0002-agent-00000000.json.tmp"), []byte(`{"agent":`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := open(t, dir)
	if p.Complete() {
		t.Error("a recording that runs says that it is complete")
	}
	if got := play(t.Context(), p.Model(), llm.PolicyDefault); got != "echo: x" {
		t.Errorf("replayed %q", got)
	}
}

func TestDamage(t *testing.T) {
	record := func(t *testing.T) (dir, call string) {
		r, dir := create(t)
		llmtest.MustCollect(t, r.Layer(llmtest.Echo{}), llmtest.Request("x"))
		if err := r.WriteFile("notes.txt", []byte("x")); err != nil {
			t.Fatal(err)
		}
		closeRecorder(t, r)
		return dir, callFiles(t, dir)[0]
	}
	edit := func(t *testing.T, file string, f func(string) string) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(f(string(data))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace := func(old, with string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("%q is not in %s", old, s)
			}
			return strings.Replace(s, old, with, 1)
		}
	}
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir, call string)
		want   string
	}{
		{"no cassette", func(t *testing.T, dir, _ string) { _ = os.Remove(filepath.Join(dir, "cassette.json")) }, "it has no cassette.json"},
		{"newer", func(t *testing.T, dir, _ string) {
			edit(t, filepath.Join(dir, "cassette.json"), replace(`"format": 1`, `"format": 9`))
		}, "is of format 9"},
		{"meta", func(t *testing.T, dir, _ string) {
			edit(t, filepath.Join(dir, "cassette.json"), replace(`"created"`, `created`))
		}, "cassette.json:4 is damaged"},
		{"cut", func(t *testing.T, _, call string) {
			edit(t, call, func(s string) string { return s[:len(s)/2] })
		}, ".json:"},
		{"comma", func(t *testing.T, _, call string) { edit(t, call, replace(`"nth": 1,`, `"nth": 1`)) }, ".json:3 is damaged"},
		{"type", func(t *testing.T, _, call string) { edit(t, call, replace(`"nth": 1,`, `"nth": "one",`)) }, ".json:2 is damaged"},
		{"no answer", func(t *testing.T, _, call string) { edit(t, call, replace(`"answer"`, `"anser"`)) }, "either an answer or a failure"},
		{"no stop reason", func(t *testing.T, _, call string) {
			edit(t, call, replace(`"stop_reason": "end_turn"`, `"stop_reason": ""`))
		}, "no stop_reason"},
		{"call gone", func(t *testing.T, _, call string) { _ = os.Remove(call) }, "is missing"},
		{"file gone", func(t *testing.T, dir, _ string) { _ = os.Remove(filepath.Join(dir, "notes.txt")) }, "notes.txt is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, call := record(t)
			test.damage(t, dir, call)
			_, err := cassette.Open(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Open = %v, want %q and the folder in it", err, test.want)
			}
		})
	}
}

func TestCreateTakesOnlyAFolderOfItsOwn(t *testing.T) {
	r, dir := create(t)
	llmtest.MustCollect(t, r.Layer(llmtest.Echo{}), llmtest.Request("x"))
	if err := r.WriteFile("notes/a.txt", []byte("x")); err != nil {
		t.Fatal(err)
	}
	closeRecorder(t, r)
	if err := os.WriteFile(filepath.Join(dir, "mine.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cassette.Create(dir, cassette.Meta{}, cassette.Options{}); !errors.Is(err, cassette.ErrExists) {
		t.Errorf("Create over a cassette = %v, want ErrExists", err)
	}
	again, err := cassette.Create(dir, cassette.Meta{}, cassette.Options{Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	closeRecorder(t, again)
	if p := open(t, dir); p.Len() != 0 {
		t.Errorf("%d calls left of the replaced cassette", p.Len())
	}
	if _, err := os.Stat(filepath.Join(dir, "notes", "a.txt")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file of the replaced cassette: %v, want it gone", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "mine.txt")); err != nil {
		t.Errorf("a file that is not the cassette's is gone: %v", err)
	}

	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "mine.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cassette.Create(other, cassette.Meta{}, cassette.Options{Replace: true}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("Create in a folder with other files = %v", err)
	}
}

func TestFilesStayInside(t *testing.T) {
	r, dir := create(t)
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/../../x", `a\b`, "cassette.json", "Calls/x", "calls", ".hidden", "a//b"} {
		if err := r.WriteFile(name, []byte("x")); err == nil {
			t.Errorf("WriteFile(%q) succeeded", name)
		}
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteFile("out/x", []byte("x")); err == nil {
		t.Error("WriteFile followed a link out of the folder")
	}
	closeRecorder(t, r)
	if _, err := open(t, dir).ReadFile("../x"); err == nil {
		t.Error("ReadFile(../x) succeeded")
	}
}

func TestWhatCannotBeRecordedIsSaidAtTheEnd(t *testing.T) {
	r, dir := create(t)
	if err := os.RemoveAll(filepath.Join(dir, "calls")); err != nil {
		t.Fatal(err)
	}
	if got := play(t.Context(), r.Layer(llmtest.Echo{}), llm.PolicyDefault); got != "echo: x" {
		t.Errorf("the call came to %q, want its answer", got)
	}
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "lacks a call") {
		t.Errorf("Close = %v, want what is missing", err)
	}
	if open(t, dir).Complete() {
		t.Error("the cassette says that it is complete")
	}
}
