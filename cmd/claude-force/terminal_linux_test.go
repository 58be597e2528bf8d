package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// drawings are the sequences with which progress is drawn.
var drawings = regexp.MustCompile(`\x1b\[[0-9]+A\x1b\[J|\x1b\[\?25[hl]`)

// hostileTexts returns texts that try to steer a terminal, each marked by its
// number.
func hostileTexts() []string {
	var texts []string
	add := func(text string) { texts = append(texts, fmt.Sprintf("start%d %s end%[1]d", len(texts), text)) }
	for c := range rune(0x20) {
		if c != '\t' && c != '\n' {
			add("a" + string(c) + "b")
		}
	}
	for c := rune(0x7f); c < 0xa0; c++ {
		add("a" + string(c) + "2Jb")
	}
	for _, b := range []byte{0x80, 0x84, 0x8d, 0x90, 0x9b, 0x9d, 0x9f, 0xc0, 0xff} {
		add("a" + string([]byte{b}) + "2Jb")
	}
	for _, c := range []rune{0x061c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069, 0xfeff} {
		add("a" + string(c) + "b")
	}
	for _, sequence := range []string{
		"\x1b[2K\x1b[1GPublish README?", "\x1b[2J", "\x1b[1A\x1b[2K", "\x1b[?1049h", "\x1b[8m", "\x1bc", "\x1b(0",
		"\x1b]0;title\a", "\x1b]52;c;ZWNobyBoaQ==\a", "\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\",
		"\x1bP$q\"p\x1b\\", "\x1b_payload\x1b\\", "\x1b^pm\x1b\\", "\x1b[6n", "\x1b[c", "\x1b[21t",
		"over\rwritten", "back\b\b\b\bspace", "\r\n\r\n\x1b[5A",
	} {
		add(sequence)
	}
	return texts
}

// TestNothingSteersTheTerminal has a service answer with hostile texts, gives
// their names to agents, workflows, steps and items, and runs the commands that
// show them on a terminal.
func TestNothingSteersTheTerminal(t *testing.T) {
	t.Parallel()
	texts := hostileTexts()
	if len(texts) < 100 {
		t.Fatalf("%d texts; want 100", len(texts))
	}
	answer := strings.Join(texts, "\n")
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serveAnswer(w, r, answer)
	}))
	defer service.Close()

	dir := t.TempDir()
	env := append(os.Environ(), "ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL,
		"HOME="+dir, "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME=")
	valid := strings.ToValidUTF8(answer, "?")
	write := func(name string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("workflow.json", map[string]any{
		"name": "wf \x1b[2J\u202e " + valid,
		"steps": []any{
			map[string]any{"id": "list", "foreach": strings.Split(valid, "\n")[:20], "agent": "linter", "task": "${{ item }}"},
			map[string]any{"id": "gate", "approval": map[string]any{"message": "Delete?\x1b[2K\x1b[1GPublish? " + valid, "timeout": "1s"}, "on_failure": "continue"},
			map[string]any{"id": "fails", "agent": "linter", "task": "x", "schema": map[string]any{"type": "object"}, "dependencies": []string{"gate", "list"}},
		},
	})
	write("tasks.jsonl", map[string]any{"id": "id \x1b[2J " + texts[5], "agent": "linter", "task": valid})
	if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), []byte("name: x\nsteps: [{id: \"a\\e[2J\\u202e\", agnet: \"\\e]0;x\\a\"}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".claude", "agents"), 0o700); err != nil {
		t.Fatal(err)
	}
	hostileAgent := "---\nname: hostile\ndescription: \"\\e[2J \\u202e \\x9b2J\"\n---\n" + answer
	if err := os.WriteFile(filepath.Join(dir, ".claude", "agents", "hostile.md"), []byte(hostileAgent), 0o600); err != nil {
		t.Fatal(err)
	}

	marks := 0
	for _, args := range [][]string{
		{"execute", "linter", "one"},
		{"execute", "linter", "one", "--json"},
		{"execute", "--file", "tasks.jsonl"},
		{"execute", "hostile", "two"},
		{"execute", "no\x1b[2Jsuch\u202eagent", "x"},
		{"run", "workflow.json"},
		{"run", "workflow.json", "--explain", "--all"},
		{"run", "bad.yaml"},
		{"workflow", "validate", "bad.yaml"},
		{"workflow", "validate", "workflow.json"},
		{"workflow", "graph", "workflow.json"},
		{"plan", "workflow.json"},
		{"agents", "list"},
		{"agents", "show", "hostile"},
		{"agents", "lint"},
		{"runs", "list"},
		{"runs", "show", "latest"},
		{"runs", "logs", "latest"},
		{"runs", "output", "latest"},
		{"runs", "watch", "latest"},
		{"runs", "resume", "latest"},
		{"runs", "diff", "latest", "latest"},
		{"cache", "list"},
		{"analytics", "runs"},
		{"analytics", "calls"},
		{"analytics", "query", "SELECT char(27) || '[2J' || char(0x202e) || char(0x9b) AS x"},
		{"config", "show"},
		{"doctor"},
		{"no\x1b[2Jverb"},
	} {
		screen := onTerminal(t, dir, env, args...)
		marks += strings.Count(screen, "end")
		checkScreen(t, args, screen)
	}
	if marks < 5*len(texts) {
		t.Errorf("%d hostile texts were shown; the commands show too little to test", marks)
	}
	key := strings.Fields(lastLineOf(t, dir, env, "cache", "list"))[0]
	checkScreen(t, []string{"cache", "show"}, onTerminal(t, dir, env, "cache", "show", key))

	// A pipe gets the text as it is.
	cmd := exec.CommandContext(t.Context(), "claude-force", "execute", "linter", "one")
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "\x1b[2K\x1b[1GPublish README?") {
		t.Errorf("a pipe gets %q, %v", out, err)
	}
}

// checkScreen looks for what the terminal would act on, other than the program's
// own drawing of progress: it moves up and erases lines.
func checkScreen(t *testing.T, args []string, screen string) {
	t.Helper()
	screen = strings.ReplaceAll(screen, "\r\n", "\n") // the terminal's own
	screen = drawings.ReplaceAllString(screen, "")
	if !utf8.ValidString(screen) {
		t.Errorf("claude-force %q shows bytes that are not UTF-8", args)
	}
	i := strings.IndexFunc(screen, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
	})
	if i >= 0 {
		t.Errorf("claude-force %q steers the terminal: %q", args, screen[max(0, i-60):min(len(screen), i+60)])
	}
}

// onTerminal runs the command with a terminal for its three streams and returns
// what it wrote.
func onTerminal(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	user, program := openPTY(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "claude-force", args...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close()
	screen, err := io.ReadAll(user)
	if _, ok := errors.AsType[*os.PathError](err); err != nil && !ok { // EIO: the last writer has closed it
		t.Fatal(err)
	}
	_ = cmd.Wait() // many of the commands fail
	if ctx.Err() != nil {
		t.Errorf("claude-force %q hangs:\n%s", args, screen)
	}
	user.Close()
	return string(screen)
}

// lastLineOf runs the command and returns the last line of its output.
func lastLineOf(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "claude-force", args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return lastLine(string(out))
}

// serveAnswer answers a call of the Messages API with a text.
func serveAnswer(w http.ResponseWriter, r *http.Request, text string) {
	if !strings.HasSuffix(r.URL.Path, "/messages") {
		http.NotFound(w, r)
		return
	}
	var req struct{ Model string }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(name string, v map[string]any) {
		v["type"] = name
		data, err := json.Marshal(v)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data)
	}
	event("message_start", map[string]any{"message": map[string]any{
		"id": "msg_1", "type": "message", "role": "assistant", "model": req.Model, "content": []any{},
		"usage": map[string]any{"input_tokens": 10, "output_tokens": 1},
	}})
	event("content_block_start", map[string]any{"index": 0, "content_block": map[string]any{"type": "text", "text": ""}})
	event("content_block_delta", map[string]any{"index": 0, "delta": map[string]any{"type": "text_delta", "text": text}})
	event("content_block_stop", map[string]any{"index": 0})
	event("message_delta", map[string]any{"delta": map[string]any{"stop_reason": "end_turn"}, "usage": map[string]any{"output_tokens": 20}})
	event("message_stop", map[string]any{})
}
