package main

import (
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestServeOpen has a server open a browser that writes down its command line, which has
// nothing that logs anyone in: that is in a file which only the user can read and which
// goes with the server.
func TestServeOpen(t *testing.T) {
	t.Parallel()
	dir, bin := t.TempDir(), t.TempDir()
	fifo := filepath.Join(bin, "asked")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	browser := "#!/bin/sh\ntr '\\0' '\\n' </proc/$$/cmdline >'" + fifo + "'\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(browser), 0o700); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "HOME="+dir, "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME=", "ANTHROPIC_API_KEY=", "PATH="+bin+":"+os.Getenv("PATH"))
	server := startServer(t, dir, env, "--simulate=instant", "--open")
	asked, err := os.ReadFile(fifo)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Split(strings.TrimSpace(string(asked)), "\n")
	path := words[len(words)-1]
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 || strings.Contains(string(asked), "://") {
		t.Fatalf("the browser was started as %q: %v, %v", words, info, err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile(`href="([^"]+)"`).FindSubmatch(page)
	if target == nil {
		t.Fatalf("the file is %s", page)
	}
	address, code, _ := strings.Cut(html.UnescapeString(string(target[1])), "#")
	if !strings.HasPrefix(address, server.url+"/login?") || strings.Contains(string(asked), code) {
		t.Errorf("the file leads to %s", address)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site") // as a browser says of a file
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	res, err := client.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the page answers %v, %v", res, err)
	}
	res.Body.Close()
	res, err = client.PostForm(server.url+"/login", url.Values{"key": {code}})
	if err != nil || res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 {
		t.Fatalf("the login answers %v, %v", res, err)
	}
	res.Body.Close()
	if err := server.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = server.cmd.Wait() // its messages are read elsewhere
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file stays: %v", err)
	}
}
