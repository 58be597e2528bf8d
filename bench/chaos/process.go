//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/sim"
)

// patience is the longest any process may take.
const patience = 5 * time.Minute

// command is one process of claude-force.
type command struct {
	binary, dir, home, url string
	key                    string // that encrypts the stores; empty for none
}

func (c *command) exec(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"HOME=" + c.home, "PATH=" + os.Getenv("PATH"), "ANTHROPIC_API_KEY=test", "ANTHROPIC_BASE_URL=" + c.url}
	if c.key != "" {
		cmd.Env = append(cmd.Env, "CHAOS_KEY="+c.key, "CLAUDE_FORCE_CACHE_ENCRYPTION_KEY=env:CHAOS_KEY")
	}
	return cmd
}

// read runs a command that prints JSON.
func (c *command) read(ctx context.Context, v any, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := c.exec(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return nil
}

// death is how a process ended.
type death struct {
	code   int // -1 if by a signal
	struck int // signals it lived to get
	stdout []byte
	stderr string
}

// suffer runs a command and sends it signals, each so long after the one before.
func (c *command) suffer(ctx context.Context, signals []os.Signal, after []time.Duration, args ...string) (*death, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s did not end in %v", strings.Join(args, " "), patience))
	defer cancel()
	cmd := c.exec(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", args, err)
	}
	d := &death{}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // waited for below
	var err error
	for i, s := range signals {
		select {
		case err = <-ended:
			ended <- err
		case <-time.After(after[i]):
			if cmd.Process.Signal(s) == nil {
				d.struck++
			}
		}
	}
	err = <-ended
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return nil, fmt.Errorf("waiting for %s: %w", args, err)
	}
	d.code, d.stdout, d.stderr = cmd.ProcessState.ExitCode(), stdout.Bytes(), stderr.String()
	return d, nil
}

// killed reports whether the process died of a SIGKILL.
func (d *death) killed() bool { return d.code == -1 }

// simulator is one in a process of its own.
type simulator struct {
	url string
	cmd *exec.Cmd
}

// startSimulator starts one that takes times like the real ones, drawn for each
// request, but shorter by a factor.
func startSimulator(ctx context.Context, binary, dir string, scale float64) (*simulator, error) {
	cmd := exec.CommandContext(ctx, binary, "simulate", "--listen", "127.0.0.1:0", "--latency", "realistic", "--time-scale", fmt.Sprint(scale))
	cmd.Env = []string{"HOME=" + dir}
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting the simulator: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("starting the simulator: %w", errors.Join(err, cmd.Wait()))
	}
	return &simulator{url: strings.TrimSpace(line[strings.LastIndex(line, " ")+1:]), cmd: cmd}, nil
}

func (s *simulator) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL) // it may have ended with ctx
	_ = s.cmd.Wait()                          // it was killed
}

func (s *simulator) get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("reading what the simulator counted: %w", err)
	}
	return nil
}

// counted returns how often each request was made. It waits until the only connection
// is its own: requests of a process that was killed can arrive after its end.
func (s *simulator) counted(ctx context.Context) (map[string]sim.RequestCount, error) {
	for {
		var stats sim.Stats
		if err := s.get(ctx, "/_sim/stats", &stats); err != nil {
			return nil, err
		}
		if stats.Connections == 1 {
			break
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var answer struct {
		Requests map[string]sim.RequestCount `json:"requests"`
	}
	return answer.Requests, s.get(ctx, "/_sim/requests", &answer)
}

// fail lets the next request that holds a text fail.
func (s *simulator) fail(ctx context.Context, text string) error {
	body, err := json.Marshal(sim.Fault{Kind: sim.FaultStatus, Status: http.StatusBadRequest, Match: text, Times: 1})
	if err != nil {
		return fmt.Errorf("injecting a fault: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/_sim/faults", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("injecting a fault: %w", err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("injecting a fault: %w", err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("injecting a fault: %s %w", res.Status, err)
	}
	return nil
}
