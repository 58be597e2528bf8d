package examples

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// claudeCode returns a folder with a stand-in for Claude Code, which makes one call of the
// model for a task.
func claudeCode(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "claude")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// standIn asks the model what it was given, as Claude Code does, and prints its answer as
// Claude Code does.
func standIn(args []string) error {
	if slices.Contains(args, "--version") {
		fmt.Println("9.9.9 (Claude Code)")
		return nil
	}
	session := ""
	if i := slices.Index(args, "--session-id"); i >= 0 && i+1 < len(args) {
		session = args[i+1]
	}
	fmt.Printf(`{"type":"system","subtype":"init","session_id":%q,"claude_code_version":"9.9.9"}`+"\n", session)
	task, _ := bufio.NewReader(os.Stdin).ReadString(0) // to its end
	body, err := json.Marshal(map[string]any{"model": "claude-sonnet-5-5", "max_tokens": 200, "messages": []any{map[string]string{"role": "user", "content": task}}})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, os.Getenv("ANTHROPIC_BASE_URL")+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("ANTHROPIC_AUTH_TOKEN"))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct{ Content []struct{ Text string } }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if len(answer.Content) == 0 {
		return fmt.Errorf("the model answered nothing: %s", res.Status)
	}
	text, err := json.Marshal("I was asked: " + answer.Content[0].Text)
	if err != nil {
		return err
	}
	fmt.Printf(`{"type":"result","subtype":"success","is_error":false,"result":%s,"num_turns":1,"total_cost_usd":0.1,"stop_reason":"end_turn","session_id":%q}`+"\n", text, session)
	return nil
}
