//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestKilledTasksAreResumed kills "execute" while a service answers its tasks, with
// the cache off. The service counts what it is asked: what was written down as
// finished must not be sent again.
func TestKilledTasksAreResumed(t *testing.T) {
	t.Parallel()
	const tasks, jobs, killAfter = 40, 4, 15
	var mu sync.Mutex // guards the variables below
	asked := map[string]int{}
	kill := make(chan struct{})
	answered, dead := 0, false
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the process was killed before it had sent all
		}
		name := regexp.MustCompile(`Task number \d+`).FindString(string(body))
		mu.Lock()
		asked[name]++
		if answered++; answered == killAfter {
			close(kill)
		}
		late := answered > killAfter && !dead
		mu.Unlock()
		if late {
			<-r.Context().Done() // until the process is dead
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		serveAnswer(w, r, "Answer to "+name+".")
	})
	service := httptest.NewServer(handler)
	defer service.Close()

	dir := t.TempDir()
	env := append(os.Environ(), "ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL,
		"HOME="+dir, "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME=")
	var list strings.Builder
	for i := range tasks {
		agent := []string{"linter", "python-expert"}[i%2]
		fmt.Fprintf(&list, "{\"id\": \"t%d\", \"agent\": %q, \"task\": \"Task number %d of ${{ params.x }}\"}\n", i, agent, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "tasks.jsonl"), []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "claude-force", args...)
		cmd.Dir, cmd.Env = dir, env
		return cmd
	}
	first := command("execute", "--file", "tasks.jsonl", "--no-cache", "--jobs", fmt.Sprint(jobs))
	first.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	<-kill
	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // killed
	service.Close()  // when all that the process had sent is counted
	next := httptest.NewServer(handler)
	defer next.Close()
	env = append(env, "ANTHROPIC_BASE_URL="+next.URL)
	mu.Lock()
	dead = true
	mu.Unlock()

	finished := finishedTasks(t, command)
	mu.Lock()
	before := len(asked)
	sent := 0
	for _, n := range asked {
		sent += n
	}
	mu.Unlock()
	if before != sent {
		t.Errorf("%d requests for %d tasks before the kill", sent, before)
	}
	if len(finished) == 0 || len(finished) > sent {
		t.Fatalf("%d tasks are finished after %d requests", len(finished), sent)
	}

	out, err := command("runs", "resume", "latest", "--json").Output()
	if err != nil {
		t.Fatalf("resuming: %v\n%s", err, out)
	}
	mu.Lock()
	defer mu.Unlock()
	for i := range tasks {
		name := fmt.Sprintf("Task number %d", i)
		if n := asked[name]; n == 0 || n > 1 && finished[fmt.Sprintf("t%d", i)] || n > 2 {
			t.Errorf("%s was asked %d times; finished before: %t", name, n, finished[fmt.Sprintf("t%d", i)])
		}
		sent -= asked[name]
	}
	// A turn whose answer is in the journal is not sent again, also if its task had
	// not ended.
	if again := -sent; again > tasks-len(finished) {
		t.Errorf("%d requests after the kill; want at most %d", again, tasks-len(finished))
	}
	if n := bytes.Count(out, []byte("\n")); n != tasks || bytes.Count(out, []byte(`"status":"completed"`)) != tasks {
		t.Errorf("%d lines of output; want %d:\n%s", n, tasks, out)
	}
	text, err := command("runs", "output", "latest").Output()
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for i := range tasks {
		next := bytes.Index(text, fmt.Appendf(nil, "--- t%d · ", i))
		if next <= at {
			t.Fatalf("task %d is out of order:\n%s", i, text)
		}
		at = next
	}
}

// finishedTasks returns the ids of the tasks that the latest run has finished.
func finishedTasks(t *testing.T, command func(args ...string) *exec.Cmd) map[string]bool {
	t.Helper()
	out, err := command("runs", "show", "latest", "--json").Output()
	if err != nil {
		t.Fatalf("showing the run: %v", err)
	}
	var shown struct {
		Workflow string
		Result   struct {
			Steps map[string]struct {
				Items []struct{ Item, Status string }
			}
		}
	}
	if err := json.Unmarshal(out, &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Workflow != "execute tasks.jsonl" {
		t.Errorf("the run is %q", shown.Workflow)
	}
	finished := map[string]bool{}
	for _, s := range shown.Result.Steps {
		for _, item := range s.Items {
			if item.Status == "completed" {
				finished[item.Item] = true
			}
		}
	}
	return finished
}
