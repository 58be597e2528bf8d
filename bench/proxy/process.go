//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// answer is what the service says to every request. It says too that its limits are
// far away: claude-force would keep to those of a new account otherwise, and wait.
const answer = `{"id":"msg_01","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[{"type":"text","text":"The error has no context."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":40,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":8}}`

// serve serves the service, or the bare proxy to the address of one, until its input
// ends. It prints its address. With a folder the proxy stores each answer there.
func serve(ctx context.Context, part, store string) error {
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a client that is gone needs no answer
		h := w.Header()
		h.Set("Content-Type", "application/json")
		for _, limit := range []string{"Requests", "Input-Tokens", "Output-Tokens"} {
			h.Set("Anthropic-Ratelimit-"+limit+"-Limit", "1000000000")
			h.Set("Anthropic-Ratelimit-"+limit+"-Remaining", "1000000000")
			h.Set("Anthropic-Ratelimit-"+limit+"-Reset", time.Now().Add(time.Minute).UTC().Format(time.RFC3339))
		}
		_, _ = io.WriteString(w, answer)
	})
	if part != "service" {
		runtime.GOMAXPROCS(1) // see oneCore
		to, err := url.Parse(part)
		if err != nil {
			return err
		}
		proxy := &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
			Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true},
		}
		if store != "" {
			if err := storing(proxy, store); err != nil {
				return err
			}
		}
		handler = proxy
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + listener.Addr().String())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// oneCore has a program use one core at a time.
const oneCore = "GOMAXPROCS=1"

// process is a process that answers requests.
type process struct {
	target   *target
	profiles string // address of its profiles; empty for none
	pid      int
	stop     func()
}

// startServer starts claude-force in front of the service, with a home of its own.
func (b *bench) startServer(ctx context.Context, name string) (*process, error) {
	home := filepath.Join(b.dir, name)
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, b.binary(), args...)
		cmd.Dir = home
		cmd.Env = []string{oneCore, "HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + home, "ANTHROPIC_API_KEY=test", "ANTHROPIC_BASE_URL=" + b.service}
		return cmd
	}
	key, err := command("keys", "token").Output()
	if err != nil {
		return nil, fmt.Errorf("reading the server's key: %w", err)
	}
	args := []string{"serve", "--listen", "127.0.0.1:0"}
	if b.profiles != "" {
		args = append(args, "--pprof", "127.0.0.1:0")
	}
	cmd := command(args...)
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("starting claude-force: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting claude-force: %w", err)
	}
	stop := func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
	lines := bufio.NewReader(log)
	var profiles string
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			stop()
			return nil, fmt.Errorf("starting claude-force: it says no address: %w", err)
		}
		if _, at, ok := strings.Cut(line, "profiles at "); ok {
			profiles = strings.TrimSpace(at)
		}
		_, after, ok := strings.Cut(line, "serving at ")
		if !ok {
			continue
		}
		address, _, _ := strings.Cut(after, ";")
		go func() { _, _ = io.Copy(io.Discard, lines) }() // until it has ended
		return &process{newTarget(address, strings.TrimSpace(string(key))), profiles, cmd.Process.Pid, stop}, nil
	}
}
