//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

const worker = "---\nname: worker\ndescription: works\nmodel: haiku\n---\nYou work.\n"

// server is a process of the server, with the simulator that it asks.
type server struct {
	dir    string // has its home and its project
	url    string
	key    string
	cookie string // of a browser that has logged in
	client *http.Client

	processes []*exec.Cmd // the simulator and the server
}

// startServer starts both, with a workflow whose runs have so many items.
func startServer(ctx context.Context, dir string, items int) (s *server, err error) {
	s = &server{dir: dir, client: &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{MaxIdleConnsPerHost: workers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	workflow := fmt.Sprintf("name: work\nsteps:\n  - {id: each, agent: worker, foreach: \"${{ 0..%d }}\", max_parallel: 4, task: \"Do job-${{ run.id }}-${{ item }} now\"}\n", items-1)
	for path, text := range map[string]string{"wf.yaml": workflow, ".claude/agents/worker.md": worker} {
		path = filepath.Join(dir, "project", path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			return nil, err
		}
	}
	simulator, err := s.start(ctx, "", "on ", "simulate", "--listen", "127.0.0.1:0", "--latency", "1s")
	if err != nil {
		return nil, fmt.Errorf("starting the simulator: %w", err)
	}
	key, err := s.command(ctx, simulator, "keys", "token").Output()
	if err != nil {
		return nil, fmt.Errorf("reading the server's key: %w", err)
	}
	s.key = strings.TrimSpace(string(key))
	if s.url, err = s.start(ctx, simulator, "serving at ", "serve", "--listen", "127.0.0.1:0", "--jobs", strconv.Itoa(8*slots)); err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	return s, s.login(ctx)
}

func (s *server) command(ctx context.Context, service string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.dir, "claude-force"), args...)
	cmd.Dir = filepath.Join(s.dir, "project")
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + s.dir, "ANTHROPIC_API_KEY=test", "ANTHROPIC_BASE_URL=" + service}
	return cmd
}

// start starts a process and returns the address that it prints after some words.
func (s *server) start(ctx context.Context, service, before string, args ...string) (address string, err error) {
	cmd := s.command(ctx, service, args...)
	log, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	s.processes = append(s.processes, cmd)
	in := bufio.NewReader(log)
	var said strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("it says no address: %w: %s", err, said.String())
		}
		said.WriteString(line)
		if _, after, ok := strings.Cut(line, before+"http"); ok {
			address, _, _ := strings.Cut("http"+strings.TrimSpace(after), ";")
			go func() { _, _ = io.Copy(io.Discard, in) }() // until it has ended
			return address, nil
		}
	}
}

// stop ends the processes.
func (s *server) stop() {
	for _, cmd := range s.processes {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
}

// login logs a browser in.
func (s *server) login(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/login", strings.NewReader(url.Values{"key": {s.key}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close() // it is of no interest
	if len(res.Cookies()) != 1 {
		return fmt.Errorf("logging in: %s", res.Status)
	}
	s.cookie = res.Cookies()[0].Name + "=" + res.Cookies()[0].Value
	return nil
}

// request returns a request with the key.
func (s *server) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// send makes a request that must succeed and returns the body and headers of the answer.
func (s *server) send(req *http.Request) ([]byte, http.Header, error) {
	res, err := s.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, nil, fmt.Errorf("%s: %.300s", res.Status, data)
	}
	return data, res.Header, nil
}

func (s *server) get(ctx context.Context, path string, v any) error {
	return s.do(ctx, http.MethodGet, path, nil, v)
}

func (s *server) post(ctx context.Context, path string, body, v any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return s.do(ctx, http.MethodPost, path, data, v)
}

func (s *server) do(ctx context.Context, method, path string, body []byte, v any) error {
	req, err := s.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	data, _, err := s.send(req)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// usage returns the resident memory of the server in megabytes, and the processor time that
// it has taken.
func (s *server) usage() (memory float64, cpu time.Duration, err error) {
	pid := s.processes[1].Process.Pid
	if memory, err = child.Memory(pid); err == nil {
		cpu, err = child.CPU(pid)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("looking at the server: %w", err)
	}
	return memory, cpu, nil
}
