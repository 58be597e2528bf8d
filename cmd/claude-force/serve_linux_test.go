package main

import (
	"bufio"
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

// serverProcess is a claude-force server in a process of its own.
type serverProcess struct {
	cmd *exec.Cmd
	url string
}

// startServer starts a server and waits until it serves.
func startServer(t *testing.T, dir string, env []string, flags ...string) *serverProcess {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "claude-force", append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...)...)
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	messages, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have ended
	lines := bufio.NewScanner(messages)
	var said strings.Builder
	for lines.Scan() {
		if m := regexp.MustCompile(`serving at (http://\S+);`).FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, messages) }() // ends with the process
			return &serverProcess{cmd, m[1]}
		}
		fmt.Fprintln(&said, lines.Text())
	}
	t.Fatalf("the server does not serve:\n%s", &said)
	return nil
}

// TestKilledServerGoesOn kills a server while it drives a run and a client follows it.
// The next one resumes the run, the client goes on where it was cut off, and the
// service, which counts, is asked nothing twice that was answered and written down.
func TestKilledServerGoesOn(t *testing.T) {
	t.Parallel()
	const items, killAt = 12, 5
	var mu sync.Mutex // guards the variables below
	asked, dead := map[string]int{}, false
	kill := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name := regexp.MustCompile(`Item \d+`).FindString(string(body))
		mu.Lock()
		asked[name]++
		n := len(asked)
		if n == killAt && !dead {
			close(kill)
		}
		late := n >= killAt && !dead
		mu.Unlock()
		if late {
			<-r.Context().Done() // until the process is dead
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		serveAnswer(w, r, "Answer to "+name+".")
	}))
	defer service.Close()
	dir := t.TempDir()
	env := append(os.Environ(), "ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL,
		"HOME="+dir, "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME=")
	list := make([]string, items)
	for i := range list {
		list[i] = fmt.Sprint(10 + i)
	}
	text := "name: wide\nsteps:\n  - {id: each, agent: linter, foreach: [" + strings.Join(list, ", ") + "], task: \"Item ${{ item }}\"}\n"
	if err := os.WriteFile(filepath.Join(dir, "wide.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	token := exec.CommandContext(t.Context(), "claude-force", "keys", "token")
	token.Env = env
	out, err := token.Output()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(out))
	do := func(method, url, body string, headers ...string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	start := func(url string) string {
		res := do("POST", url+"/api/v1/runs", `{"workflow": "wide.yaml"}`, "Idempotency-Key", "once")
		defer res.Body.Close()
		var run struct {
			ID string `json:"run_id"`
		}
		if err := json.NewDecoder(res.Body).Decode(&run); err != nil || res.StatusCode != http.StatusAccepted {
			t.Fatalf("starting: %s, %v", res.Status, err)
		}
		return run.ID
	}
	first := startServer(t, dir, env, "--no-cache")
	id := start(first.url)
	stream := do("GET", first.url+"/api/v1/runs/"+id+"/stream", "")
	<-kill
	export := func() []byte {
		cmd := exec.CommandContext(t.Context(), "claude-force", "runs", "export", id)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("exporting the run: %v", err)
		}
		return out
	}
	for tries := 0; len(answeredItems(t, export())) == 0; tries++ { // until an answer is written down
		if tries == 400 {
			t.Fatal("no answer is in the journal")
		}
	}
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.cmd.Wait() // killed
	seen := streamed(stream.Body)
	answered := answeredItems(t, export())
	mu.Lock()
	dead = true
	mu.Unlock()

	second := startServer(t, dir, env, "--no-cache")
	if again := start(second.url); again != id {
		t.Errorf("the request that was sent again started %s beside %s", again, id)
	}
	last := "0"
	if len(seen) > 0 {
		last = seen[len(seen)-1].id
	}
	rest := streamed(do("GET", second.url+"/api/v1/runs/"+id+"/stream", "", "Last-Event-ID", last).Body)
	seqs := map[string]bool{}
	for i, ev := range append(seen, rest...) {
		if seqs[ev.id] || ev.id != fmt.Sprint(i+1) {
			t.Errorf("event %d has the id %s", i+1, ev.id)
		}
		seqs[ev.id] = true
	}
	if len(rest) == 0 || !strings.Contains(rest[len(rest)-1].data, `"completed"`) {
		t.Errorf("the stream ended with %+v", rest)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, i := range list {
		if n := asked["Item "+i]; n == 0 || n > 2 || n == 2 && answered[i] {
			t.Errorf("item %s was asked %d times; its answer was written down: %t", i, n, answered[i])
		}
	}
	if err := second.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.cmd.Wait(); err != nil {
		t.Errorf("the server was stopped: %v", err)
	}
}

type streamedEvent struct{ id, data string }

// streamed returns the events of a stream that have an id, until it ends or breaks off.
func streamed(body io.ReadCloser) (list []streamedEvent) {
	defer body.Close()
	var ev streamedEvent
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return list
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			ev.id = value
		case "data":
			ev.data = value
		case "":
			if ev.id != "" {
				list = append(list, ev)
			}
			ev = streamedEvent{}
		}
	}
}

// answeredItems returns the items whose answers are in an exported run.
func answeredItems(t *testing.T, export []byte) map[string]bool {
	t.Helper()
	var run struct {
		Events []struct {
			Type, Item string
			Detail     struct{ Label string }
		}
	}
	if err := json.Unmarshal(export, &run); err != nil {
		t.Fatal(err)
	}
	labels, answered := map[string]string{}, map[string]bool{}
	for _, ev := range run.Events {
		switch {
		case ev.Type == "step_started" && ev.Item != "":
			labels[ev.Item] = ev.Detail.Label
		case ev.Type == "turn_answered":
			if labels[ev.Item] == "" {
				t.Fatalf("an answer to %q, which was not started", ev.Item)
			}
			answered[labels[ev.Item]] = true
		}
	}
	return answered
}
