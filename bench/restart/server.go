//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

// start starts a process of the server and waits until it answers.
func (l *loop) start(ctx context.Context) (*exec.Cmd, error) {
	cmd := l.program.Command(ctx, "serve", "--listen", l.addr, "--proxy-cache", "always")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for until := time.Now().Add(patience); time.Now().Before(until) && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.addr+"/healthz", nil)
		if err != nil {
			return nil, err
		}
		req.Close = true
		if res, err := http.DefaultClient.Do(req); err == nil {
			return cmd, res.Body.Close()
		}
	}
	err := errors.Join(ctx.Err(), child.Kill(cmd), cmd.Wait())
	return nil, errors.Join(fmt.Errorf("the server does not serve within %s", patience), err, errors.New(said.String()))
}

// live starts a process of the server and kills it after a time.
func (l *loop) live(ctx context.Context, after time.Duration) error {
	cmd, err := l.start(ctx)
	if err != nil {
		return err
	}
	select {
	case <-time.After(after):
	case <-ctx.Done():
	}
	killErr := child.Kill(cmd)
	if err := cmd.Wait(); !child.Killed(cmd) {
		return fmt.Errorf("the server ended by itself: %w", errors.Join(err, killErr))
	}
	return ctx.Err()
}
