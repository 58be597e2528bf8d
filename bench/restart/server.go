//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

// host is a place where a server runs, one process after the other.
type host struct {
	program child.Program
	addr    string
	cmd     *exec.Cmd // nil for none now
}

// makeHosts makes the hosts, with one key of the owner, and starts a server on each.
func (l *loop) makeHosts(ctx context.Context, program child.Program, dir string, shared bool) error {
	hosts := 1
	if shared {
		hosts = 2
	}
	for n := range hosts {
		h := &host{program: program}
		h.program.Home = filepath.Join(dir, "home-"+strconv.Itoa(n))
		var err error
		if h.addr, err = freeAddress(ctx); err != nil {
			return err
		}
		l.hosts = append(l.hosts, h)
	}
	first := &l.hosts[0].program
	if shared {
		if out, err := first.Command(ctx, "store", "migrate").CombinedOutput(); err != nil {
			return fmt.Errorf("store migrate: %w: %s", err, out)
		}
	}
	out, err := first.Command(ctx, "keys", "token").Output()
	if err != nil {
		return fmt.Errorf("keys token: %w", err)
	}
	l.key = strings.TrimSpace(string(out))
	const file = "data/server-key"
	key, err := os.ReadFile(filepath.Join(first.Home, file))
	if err != nil {
		return err
	}
	for _, h := range l.hosts[1:] {
		path := filepath.Join(h.program.Home, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, key, 0o600)); err != nil {
			return err
		}
	}
	for _, h := range l.hosts {
		if err := h.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start starts a process of the server and waits until it answers.
func (h *host) start(ctx context.Context) error {
	cmd := h.program.Command(ctx, "serve", "--listen", h.addr, "--proxy-cache", "always")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return err
	}
	for until := time.Now().Add(patience); time.Now().Before(until) && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.addr+"/healthz", nil)
		if err != nil {
			return err
		}
		req.Close = true
		if res, err := http.DefaultClient.Do(req); err == nil {
			h.cmd = cmd
			return res.Body.Close()
		}
	}
	err := errors.Join(ctx.Err(), child.Kill(cmd), cmd.Wait())
	return errors.Join(fmt.Errorf("the server does not serve within %s", patience), err, errors.New(said.String()))
}

// kill kills the process of the server.
func (h *host) kill() error {
	killErr := child.Kill(h.cmd)
	err := h.cmd.Wait()
	ended := !child.Killed(h.cmd)
	h.cmd = nil
	if ended {
		return fmt.Errorf("the server ended by itself: %w", errors.Join(err, killErr))
	}
	return nil
}

// both is in how many kills of a server those of the others are killed too, in the mean.
const both = 6

// kill kills a server n times, each time after a while, and starts it again.
func (l *loop) kill(ctx context.Context, n int) error {
	for l.rep.Kills < n {
		select {
		case <-time.After(time.Duration(l.random.Int64N(int64(longest)))):
		case <-ctx.Done():
			return ctx.Err()
		}
		victim, all := l.random.IntN(len(l.hosts)), l.random.IntN(both) == 0
		for i, h := range l.hosts {
			if i == victim || all {
				if err := h.kill(); err != nil {
					return err
				}
				l.rep.Kills++
			}
		}
		for _, h := range l.hosts {
			if h.cmd != nil {
				continue
			}
			if err := h.start(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// stop ends the servers, as all before them.
func (l *loop) stop() {
	for _, h := range l.hosts {
		if h.cmd != nil {
			_ = h.kill()
		}
	}
}
