package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestServerTakesTheSocketOfTheServiceManager starts a server with a socket of Unix that
// is open already, as systemd does, and asks it and its profiles.
func TestServerTakesTheSocketOfTheServiceManager(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "force.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	env := append(os.Environ(), "HOME="+dir, "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME=")
	token := exec.CommandContext(t.Context(), "claude-force", "keys", "token")
	token.Env = env
	key, err := token.Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec claude-force serve --simulate=instant --pprof 127.0.0.1:0")
	cmd.Dir, cmd.Env, cmd.ExtraFiles = dir, env, []*os.File{socket}
	messages, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have ended
	profiles, serving := "", false
	for lines := bufio.NewScanner(messages); !serving && lines.Scan(); {
		if m := regexp.MustCompile(`profiles at (http://\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			profiles = m[1]
		}
		serving = strings.Contains(lines.Text(), "serving at "+path)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	get := func(client *http.Client, url, host string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
		req.Host = host
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if status := get(client, "http://localhost/api/v1/runs", ""); status != http.StatusOK {
		t.Errorf("over the socket: %d", status)
	}
	if status := get(client, "http://localhost/metrics", ""); status != http.StatusOK {
		t.Errorf("metrics over the socket: %d", status)
	}
	if status := get(client, "http://evil.example.com/metrics", ""); status != http.StatusMisdirectedRequest {
		t.Errorf("under a foreign name: %d", status)
	}
	if status := get(http.DefaultClient, profiles+"goroutine?debug=1", ""); status != http.StatusOK {
		t.Errorf("profiles: %d", status)
	}
	if status := get(http.DefaultClient, profiles, "evil.example.com"); status != http.StatusMisdirectedRequest {
		t.Errorf("profiles under a foreign name: %d", status)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server was stopped: %v", err)
	}
}
