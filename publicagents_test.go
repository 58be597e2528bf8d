package claudeforce_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

// samplesVariable names a folder with further agent files to try.
const samplesVariable = "CLAUDE_FORCE_AGENT_SAMPLES"

// toolInputs are calls that succeed in the project of the test, by tool.
var toolInputs = map[string]string{
	"Read": `{"file_path":"a.txt"}`, "Glob": `{"pattern":"*.txt"}`, "Grep": `{"pattern":"needle"}`,
	"Edit": `{"file_path":"a.txt","old_string":"needle","new_string":"thread"}`, "Write": `{"file_path":"new.txt","content":"x"}`,
	"Bash": `{"command":"echo ok"}`, "TodoWrite": `{"todos":[{"content":"a","status":"pending","activeForm":"a"}]}`,
}

// formerNames are names of tools that agent files still have.
var formerNames = map[string]string{"LS": "Glob", "MultiEdit": "Edit"}

// TestPublicAgents runs agent files of the shapes that people publish, each with a
// loop that calls all the tools that its file names, whether there are such or not.
// The tools that exist must work; every other call must get a result that says so,
// and the loop goes on. Each request of the loop has the form that the service
// takes and caches.
func TestPublicAgents(t *testing.T) {
	files, err := filepath.Glob("testdata/publicagents/*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %v, %v", files, err)
	}
	if dir := os.Getenv(samplesVariable); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "*.md"))
		if err != nil || len(more) == 0 {
			t.Fatalf("no agent files in %s (%s): %v", dir, samplesVariable, err)
		}
		files = append(files, more...)
	}
	t.Setenv("ANTHROPIC_API_KEY", "a-key-of-the-test")
	t.Setenv("HOME", t.TempDir())
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { runPublicAgent(t, file) })
	}
}

func runPublicAgent(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := agent.Parse(file, data)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for path, content := range map[string]string{filepath.Join(".claude/agents", filepath.Base(file)): string(data), "a.txt": "a needle\n"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{ // agents that ask for a worktree get one
		{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "first"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	calls, works := callsOf(a)
	recorder := &recordingTransport{next: sim.New(sim.Options{Script: scriptOf(t, calls)}).RoundTripper()}
	var mu sync.Mutex
	failed := map[string]bool{}
	orch := open(t, nil, func(o *claudeforce.Options) {
		o.Dir, o.HTTPClient = dir, &http.Client{Transport: recorder}
		o.Toolset = &toolset.Options{SandboxOff: true, Policy: permission.Policy{Mode: permission.ModeBypass}}
		o.OnTool = func(_ context.Context, ev task.ToolEvent) {
			mu.Lock()
			defer mu.Unlock()
			if ev.Done {
				failed[ev.ID] = ev.IsError
			}
		}
	})
	res, err := orch.Execute(t.Context(), claudeforce.Task{Agent: a.Name, Prompt: "Use all your tools", Model: "haiku"}, nil)
	if err != nil || res.Output != "I have used all." {
		t.Fatalf("answered %q, %v", res.Output, err)
	}
	for i, name := range works {
		if id := fmt.Sprintf("toolu_%d", slices.IndexFunc(calls, func(c scriptedCall) bool { return c.name == name })); failed[id] {
			t.Errorf("%d: %s failed", i, name)
		}
	}
	checkLoop(t, recorder.bodies, len(calls))
	t.Logf("%d calls, %d of tools that exist: %s", len(calls), len(works), strings.Join(works, " "))
}

type scriptedCall struct{ name, input string }

// callsOf returns a call of each tool that an agent names, and the names of those
// that must succeed.
func callsOf(a *agent.Agent) (calls []scriptedCall, works []string) {
	named := a.Tools
	if a.AllTools {
		named = slices.Sorted(maps.Keys(toolInputs))
	}
	add := func(name, input string) {
		if !slices.ContainsFunc(calls, func(c scriptedCall) bool { return c.name == name }) {
			calls = append(calls, scriptedCall{name, input})
		}
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(a.DisallowedTools, func(rule string) bool { return strings.HasPrefix(rule, name) })
	}
	for _, rule := range named {
		name, _, _ := strings.Cut(rule, "(")
		if now, ok := formerNames[name]; ok {
			name = now
		}
		input, known := toolInputs[name]
		if name = strings.ReplaceAll(name, "*", "any"); !known {
			input = `{}`
		}
		add(name, input)
		if known && !taken(name) && !slices.Contains(works, name) {
			works = append(works, name)
		}
	}
	// What is changed must have been read.
	slices.SortStableFunc(calls, func(a, b scriptedCall) int {
		rank := map[string]int{"Read": -1, "Edit": 1}
		return rank[a.name] - rank[b.name]
	})
	return calls, works
}

// scriptOf returns a script that makes the calls one after the other, the first
// three at once.
func scriptOf(t *testing.T, calls []scriptedCall) *sim.Script {
	t.Helper()
	type call struct {
		Name  string          `json:"name"`
		ID    string          `json:"id"`
		Input json.RawMessage `json:"input"`
	}
	var turns []any
	for i := 0; i < len(calls); {
		var tools []call
		for range min(len(calls)-i, max(1, 3-2*i)) {
			tools = append(tools, call{calls[i].name, fmt.Sprintf("toolu_%d", i), json.RawMessage(calls[i].input)})
			i++
		}
		turns = append(turns, map[string]any{"text": "Next.", "tools": tools})
	}
	turns = append(turns, map[string]any{"text": "I have used all."})
	data, err := json.Marshal(map[string]any{"strict": true, "rules": []any{map[string]any{"when": map[string]any{"task": "Use all your tools"}, "turns": turns}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sim.ParseScript("loop.json", data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recordingTransport keeps the bodies of the requests to the Messages API.
type recordingTransport struct {
	next http.RoundTripper

	mu     sync.Mutex // guards the field below
	bodies [][]byte
}

func (r *recordingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/v1/messages") {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
		r.mu.Lock()
		r.bodies = append(r.bodies, body)
		r.mu.Unlock()
	}
	return r.next.RoundTrip(req)
}

type sentBlock struct {
	Type         string          `json:"type"`
	ID           string          `json:"id"`
	ToolUseID    string          `json:"tool_use_id"`
	IsError      *bool           `json:"is_error"`
	CacheControl json.RawMessage `json:"cache_control"`
}

type sentRequest struct {
	System   []sentBlock     `json:"system"`
	Tools    json.RawMessage `json:"tools"`
	Messages []struct {
		Role    string      `json:"role"`
		Content []sentBlock `json:"content"`
	} `json:"messages"`
}

// checkLoop checks the form of a loop's requests: results first, one for each call
// and in its order, errors marked and nothing else, at most four breakpoints with one
// on the last block, and a conversation that only grows.
func checkLoop(t *testing.T, bodies [][]byte, calls int) {
	t.Helper()
	results := 0
	var before map[string]any
	for n, body := range bodies {
		var r sentRequest
		var plain map[string]any
		if err := json.Unmarshal(body, &r); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(body, &plain); err != nil {
			t.Fatal(err)
		}
		if marks := bytes.Count(body, []byte(`"cache_control":{`)); marks > 4 {
			t.Errorf("request %d has %d breakpoints", n+1, marks)
		}
		last := r.Messages[len(r.Messages)-1]
		const cached = 4000 // bytes above which a prompt is certainly long enough to be cached
		if end := last.Content[len(last.Content)-1]; len(bodies) > 1 && len(body) > cached && end.CacheControl == nil {
			t.Errorf("request %d has no breakpoint on its last block", n+1)
		}
		withoutMarks(plain)
		if before != nil {
			old, grown := before["messages"].([]any), plain["messages"].([]any)
			if len(grown) < len(old) || !reflect.DeepEqual(old, grown[:len(old)]) || !reflect.DeepEqual(before["tools"], plain["tools"]) || !reflect.DeepEqual(before["system"], plain["system"]) {
				t.Errorf("request %d changes what request %d sent", n+1, n)
			}
		}
		before = plain
		if n == 0 {
			continue
		}
		var uses, answered []string
		for _, b := range r.Messages[len(r.Messages)-2].Content {
			if b.Type == "tool_use" {
				uses = append(uses, b.ID)
			}
		}
		text := false
		for _, b := range last.Content {
			switch {
			case b.Type != "tool_result":
				text = true
			case text:
				t.Errorf("request %d has a result behind a text", n+1)
			case b.IsError != nil && !*b.IsError:
				t.Errorf("request %d marks a success with is_error", n+1)
				fallthrough
			default:
				answered = append(answered, b.ToolUseID)
			}
		}
		results += len(answered)
		if !slices.Equal(uses, answered) {
			t.Errorf("request %d answers %q with %q", n+1, uses, answered)
		}
	}
	if results != calls {
		t.Errorf("%d results for %d calls", results, calls)
	}
}

// withoutMarks removes the breakpoints within a JSON value.
func withoutMarks(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "cache_control")
		for _, e := range v {
			withoutMarks(e)
		}
	case []any:
		for _, e := range v {
			withoutMarks(e)
		}
	}
}
