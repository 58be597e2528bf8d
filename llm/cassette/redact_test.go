package cassette_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/llm/llmtest"
)

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
	// A request with another account's credentials is the same call.
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
