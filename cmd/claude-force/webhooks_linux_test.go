package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// hookTest is a data folder with a webhook, and the processes that use it.
type hookTest struct {
	*testing.T
	dir string
	env []string

	mu   sync.Mutex // guards the field below
	said bytes.Buffer
}

// command returns a command in the project.
func (h *hookTest) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.Context(), "claude-force", args...)
	cmd.Dir, cmd.Env = h.dir, h.env
	return cmd
}

// must runs a command, which must end with a code, and returns what it printed.
func (h *hookTest) must(code int, args ...string) string {
	h.Helper()
	out, err := h.command(args...).CombinedOutput()
	if got := endedWith(err); got != code {
		h.Fatalf("%v: exit code %d, %v:\n%s", args, got, err, out)
	}
	return string(out)
}

func endedWith(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return -1
}

// Write keeps what servers say.
func (h *hookTest) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said.Write(p)
}

// words returns what servers have said.
func (h *hookTest) words() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said.String()
}

// server starts a server and returns it with its address.
func (h *hookTest) server() (*exec.Cmd, string) {
	h.Helper()
	cmd := h.command("serve", "--listen", "127.0.0.1:0", "--public-url", "https://force.example.com")
	messages, err := cmd.StderrPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have ended
	lines := bufio.NewScanner(io.TeeReader(messages, h))
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "serving at "); ok {
			go func() { _, _ = io.Copy(h, messages) }() // ends with the process
			url, _, _ = strings.Cut(url, ";")
			return cmd, url
		}
	}
	h.Fatalf("the server does not serve:\n%s", h.words())
	return nil, ""
}

// TestWebhooks has runs of several processes reported to a receiver in a process of its
// own: before a server runs, while one is killed that sends, and by two at once. Every
// event arrives, what was not sent as a server was killed once, and always with the same
// id; and neither the secret nor an answer is anywhere.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveAnswer(w, r, "Done.") }))
	defer service.Close()
	h := &hookTest{T: t, dir: t.TempDir()}
	h.env = append(os.Environ(), "ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL,
		"HOME="+h.dir, "CLAUDE_FORCE_HOME="+filepath.Join(h.dir, "data"), "XDG_CONFIG_HOME=", "OPS_SECRET="+secret)
	for name, text := range map[string]string{
		"one.yaml": "name: one\nparams: {n: {}}\nsteps:\n  - {id: a, agent: linter, task: \"Item ${{ params.n }}\"}\n",
		"ask.yaml": "name: ask\nsteps:\n  - {id: ok, approval: {message: Announce this?}}\n  - {id: post, dependencies: [ok], agent: linter, task: Post}\n",
	} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	receiver := exec.CommandContext(t.Context(), "webhookreceiver")
	receiver.Env = append(h.env, "RECEIVER_HOLD=3")
	input, inErr := receiver.StdinPipe()
	output, outErr := receiver.StdoutPipe()
	if inErr != nil || outErr != nil || receiver.Start() != nil {
		t.Fatal(inErr, outErr)
	}
	lines := bufio.NewScanner(output)
	if !lines.Scan() {
		t.Fatal("the receiver does not listen")
	}
	h.must(0, "run", "one.yaml", "--param", "n=before") // it is not reported
	h.must(0, "webhooks", "add", "ops", lines.Text(), "--secret-env", "OPS_SECRET")

	var got []receivedLine
	next := func() receivedLine {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the receiver ended after %+v", got)
		}
		var l receivedLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
		return l
	}

	// What other processes did while no server ran is sent, and one is killed at it.
	for i := range 3 {
		h.must(0, "run", "one.yaml", "--param", fmt.Sprint("n=", i))
	}
	h.must(3, "run", "one.yaml", "--param", "n=dear", "--budget", "0.0000001")
	first, _ := h.server()
	for next().Answer != 0 {
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // killed
	crashed := map[string]bool{}
	for _, l := range got {
		crashed[l.ID] = true
	}

	// Two servers send the rest, and what happens meanwhile.
	second, url := h.server()
	third, _ := h.server()
	asks := h.command("run", "ask.yaml")
	asks.Stderr = h
	if err := asks.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		h.must(0, "run", "one.yaml", "--param", fmt.Sprint("n=", 10+i))
	}
	const finished, wanted, reached = 9, 1, 1
	accepted := map[string]int{} // by type
	taken := map[string]bool{}
	for accepted["run.finished"] < finished || accepted["approval.wanted"] < wanted || accepted["budget.reached"] < reached {
		l := next()
		switch {
		case l.Answer == http.StatusServiceUnavailable:
			// At once, if its refusal is written down and no earlier retry was for it too; else
			// the server sends it again by itself.
			for tries, due := 0, false; !due && tries < 3; tries++ {
				due = !strings.Contains(h.must(0, "webhooks", "retry", "ops", "--json"), `"due": 0`)
			}
		case l.Answer == http.StatusNoContent && !taken[l.ID]:
			taken[l.ID] = true
			accepted[l.Type]++
			if l.Type == "approval.wanted" {
				h.must(0, "runs", "approve", l.Data.RunID, "ok")
			}
		}
	}
	if err := asks.Wait(); err != nil {
		t.Errorf("the run that asked: %v", err)
	}
	// The receiver has seen its answers before the servers have written them down.
	for tries := 0; strings.Contains(h.must(0, "webhooks", "deliveries", "ops", "--json"), `"pending"`); tries++ {
		if tries == 2000 {
			t.Fatal("a delivery is pending that was answered")
		}
	}
	var seen []string // what is shown
	seen = append(seen, h.must(0, "webhooks", "list"), h.must(0, "webhooks", "list", "--json"), h.must(0, "webhooks", "deliveries", "ops", "--json"))
	key := strings.TrimSpace(h.must(0, "keys", "token"))
	for _, path := range []string{"/api/v1/webhooks", "/api/v1/webhooks/ops/deliveries", "/metrics", "/", "/openapi.json"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", path, res.Status, err)
		}
		_ = res.Body.Close()
		seen = append(seen, string(body))
	}
	if metrics := seen[5]; !strings.Contains(metrics, `claude_force_webhook_deliveries{state="delivered",webhook="ops"} 11`) {
		t.Errorf("metrics:\n%s", metrics)
	}
	for _, server := range []*exec.Cmd{second, third} {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("a server was stopped: %v", err)
		}
	}
	_ = input.Close()
	for lines.Scan() {
		var l receivedLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	_ = receiver.Wait()

	checkReceived(h, got, crashed)
	seen = append(seen, h.words())
	err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		seen = append(seen, string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range seen {
		for _, canary := range []string{strings.TrimPrefix(secret, "whsec_"), answerCanary} {
			if i := strings.Index(text, canary); i >= 0 {
				t.Errorf("%s is shown or kept: …%.200s", canary, text[max(i-100, 0):])
			}
		}
	}
}

// checkReceived compares what was received with the runs. crashed are the ids that had
// arrived when a server was killed.
func checkReceived(h *hookTest, got []receivedLine, crashed map[string]bool) {
	h.Helper()
	var list []struct {
		ID     string `json:"run_id"`
		Status string
	}
	if err := json.Unmarshal([]byte(h.must(0, "runs", "list", "--json")), &list); err != nil {
		h.Fatal(err)
	}
	want := map[string]string{} // status of a run
	for _, run := range list[:len(list)-1] {
		want[run.ID] = run.Status
	}
	requests, answered, ids := map[string]int{}, map[string]int{}, map[string]string{}
	for _, l := range got {
		if !l.Verified {
			h.Errorf("not verified: %+v", l)
		}
		what := l.Type + " " + l.Data.RunID
		if id := ids[what]; id != "" && id != l.ID {
			h.Errorf("%s came as %s and as %s", what, id, l.ID)
		}
		ids[what] = l.ID
		requests[l.ID]++
		if l.Answer == http.StatusNoContent {
			answered[l.ID]++
		}
		if !strings.HasPrefix(l.Data.URL, "https://force.example.com/runs/run_") {
			h.Errorf("%s leads to %q", what, l.Data.URL)
		}
		if l.Type == "run.finished" && want[l.Data.RunID] != l.Data.Status {
			h.Errorf("%s is %s; the run is %q", what, l.Data.Status, want[l.Data.RunID])
		}
	}
	if len(want) != 9 || len(ids) != 11 {
		h.Errorf("%d runs and %d events: %v", len(want), len(ids), ids)
	}
	for what, id := range ids {
		if answered[id] < 1 {
			h.Errorf("%s has not arrived", what)
		}
		if !crashed[id] && (answered[id] != 1 || requests[id] != 2) {
			h.Errorf("%s was sent %d times and taken %d times, though no server was killed", what, requests[id], answered[id])
		}
	}
}
