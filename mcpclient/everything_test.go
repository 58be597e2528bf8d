package mcpclient_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/mcpclient"
	"github.com/claude-force/claude-force/sandbox"
)

// installEverything installs the protocol's own server for tests and returns its
// program, which is for node.
var installEverything = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", fmt.Sprintf("mcp-everything-%d-*", os.Getpid()))
	if err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", "everything", name))
		if err != nil {
			return dir, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return dir, err
		}
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w\n%s", err, out)
	}
	return dir, nil
})

// removeEverything removes what was installed.
func removeEverything() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("mcp-everything-%d-*", os.Getpid())))
	for _, dir := range dirs {
		_ = os.RemoveAll(dir)
	}
}

// everything returns the program of the protocol's own server for tests.
func everything(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("installs packages")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			citest.Missing(t, "%s is not installed", program)
		}
	}
	dir, err := installEverything()
	if err != nil {
		citest.Missing(t, "the server cannot be installed: %v", err)
	}
	return filepath.Join(dir, "node_modules", "@modelcontextprotocol", "server-everything", "dist", "index.js")
}

// everythingCalls are inputs for all tools of the server, and what their results have.
// Which tools there are depends on what the client can do.
var everythingCalls = map[string][2]string{
	"echo":                              {`{"message":"hello"}`, "hello"},
	"get-sum":                           {`{"a":2,"b":40}`, "42"},
	"get-env":                           {`{}`, "PATH"},
	"get-tiny-image":                    {`{}`, "[Image: source: "},
	"get-annotated-message":             {`{"messageType":"success","includeImage":true}`, "success"},
	"get-resource-links":                {`{"count":2}`, "[Resource link: "},
	"get-resource-reference":            {`{"resourceType":"Text","resourceId":1}`, "[Resource from everything at "},
	"get-structured-content":            {`{"location":"Chicago"}`, `{"temperature":`},
	"gzip-file-as-resource":             {`{"name":"a.txt.gz","data":"data:text/plain;base64,aGk=","outputType":"resourceLink"}`, ""},
	"trigger-long-running-operation":    {`{"duration":1,"steps":2}`, "completed"},
	"toggle-simulated-logging":          {`{}`, "logging"},
	"toggle-subscriber-updates":         {`{}`, ""},
	"get-roots-list":                    {`{}`, "work"},
	"simulate-research-query":           {`{"topic":"go","ambiguous":false}`, ""},
	"trigger-sampling-request":          {`{"prompt":"hi"}`, ""},
	"trigger-sampling-request-async":    {`{"prompt":"hi"}`, ""},
	"trigger-elicitation-request":       {`{}`, ""},
	"trigger-elicitation-request-async": {`{}`, ""},
	"trigger-url-elicitation":           {`{}`, ""},
}

// mayFail are tools that need what this client does not offer: answers of a model or
// of the user to the server.
var mayFail = map[string]bool{
	"simulate-research-query": true, "trigger-sampling-request": true, "trigger-sampling-request-async": true, "trigger-elicitation-request": true,
	"trigger-elicitation-request-async": true, "trigger-url-elicitation": true,
}

// TestEverything calls all tools of the protocol's own server, which shares no code
// with this project, over each transport.
func TestEverything(t *testing.T) {
	program := everything(t)
	for _, transport := range []string{"stdio", "streamableHttp"} {
		t.Run(transport, func(t *testing.T) {
			w := newWorld(t)
			if transport == "stdio" {
				w.user(t, `"everything": {"command": "node", "args": ["`+program+`", "stdio"]}`)
			} else {
				w.user(t, `"everything": {"type": "http", "url": "`+serveEverything(t, program)+`"}`)
			}
			w.open(t, mcpclient.Options{CallTimeout: 5 * time.Minute})
			w.offer(t)
			called := 0
			for _, def := range w.set.Definitions() {
				name, ok := strings.CutPrefix(def.Name, "mcp__everything__")
				if !ok {
					continue
				}
				call, ok := everythingCalls[name]
				if !ok {
					t.Errorf("the server has a tool that the test does not call: %s", name)
					continue
				}
				called++
				r := w.call(t, def.Name, call[0])
				if r.IsError && !mayFail[name] || !strings.Contains(text(r), call[1]) {
					t.Errorf("%s: error %v: %.500s", name, r.IsError, text(r))
				}
			}
			if called < 10 {
				t.Errorf("%d tools were called; notes: %s", called, w.noted())
			}
			if r := w.call(t, "ListMcpResourcesTool", `{}`); r.IsError || !strings.Contains(text(r), `"server":"everything"`) {
				t.Errorf("resources: %.300s", text(r))
			}
			// 5 MB there and back.
			if r := w.call(t, "mcp__everything__echo", `{"message":"`+strings.Repeat("x", 5<<20)+`"}`); transport == "stdio" && (r.IsError || !strings.Contains(text(r), "exceeds the maximum")) {
				t.Errorf("5 MB: %v %.300s", r.IsError, text(r))
			}
			if r := w.call(t, "mcp__everything__echo", `{"message":"after"}`); r.IsError {
				t.Errorf("after 5 MB: %.300s", text(r))
			}
		})
	}
}

// serveEverything starts the server on a loopback port and returns its address.
func serveEverything(t *testing.T, program string) string {
	t.Helper()
	for range 10 {
		if address, ok := tryEverything(t, program); ok {
			return address
		}
	}
	t.Fatal("the server did not start on any of ten ports")
	return ""
}

// tryEverything starts the server on a port that was free a moment ago. It reports whether
// the server listens there: another process may have taken the port.
func tryEverything(t *testing.T, program string) (address string, listens bool) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", program, "streamableHttp")
	cmd.Env = append(os.Environ(), fmt.Sprintf("PORT=%d", port))
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	end, err := sandbox.Supervise(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for !listens && lines.Scan() {
		listens = strings.Contains(lines.Text(), "listening")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines.Scan() {
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { end(); <-done })
	return fmt.Sprintf("http://127.0.0.1:%d/mcp", port), listens
}

// tellCalls is a program that the server loads first: it makes a file when a call of a tool
// has come.
const tellCalls = `const push = process.stdin.push;
process.stdin.push = function (data, ...rest) {
  if (data && data.includes("tools/call")) require("fs").writeFileSync(process.env.CALLED, "");
  return push.call(this, data, ...rest);
};
`

// TestEverythingKilled kills the server in mid call.
func TestEverythingKilled(t *testing.T) {
	program := everything(t)
	w := newWorld(t)
	script, tell := filepath.Join(w.home, "start.sh"), filepath.Join(w.home, "tell.cjs")
	pidFile, called := filepath.Join(w.home, "pid"), filepath.Join(w.home, "called")
	start := "echo $$ > '" + pidFile + "'\nCALLED='" + called + "' exec node --require '" + tell + "' '" + program + "' stdio\n"
	if err := errors.Join(os.WriteFile(script, []byte(start), 0o600), os.WriteFile(tell, []byte(tellCalls), 0o600)); err != nil {
		t.Fatal(err)
	}
	w.user(t, `"everything": {"command": "/bin/sh", "args": ["`+script+`"]}`)
	w.open(t, mcpclient.Options{})
	w.offer(t)
	result := make(chan string)
	go func() {
		r := w.set.Call(t.Context(), w.env, use("mcp__everything__trigger-long-running-operation", `{"duration":60,"steps":60}`))
		result <- text(r)
	}()
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := os.Stat(called); err != nil; _, err = os.Stat(called) {
		<-time.After(time.Millisecond)
	}
	if err := exec.Command("kill", "-9", strings.TrimSpace(string(data))).Run(); err != nil {
		t.Fatal(err)
	}
	if got := <-result; !strings.Contains(got, "Connection closed") {
		t.Errorf("killed in mid call: %q", got)
	}
	if r := w.call(t, "mcp__everything__echo", `{"message":"again"}`); r.IsError || !strings.Contains(text(r), "again") {
		t.Errorf("the call after that: %q", text(r))
	}
}
