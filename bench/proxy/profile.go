//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// profiled is how many seconds a profile covers.
const profiled = 5

// profile puts a load on claude-force, again and again, and writes a CPU profile of the
// process to a file with the load's name. It does nothing if no profiles are asked for.
func (b *bench) profile(ctx context.Context, name string, load func() error) error {
	if b.profiles == "" {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- b.fetchProfile(ctx, filepath.Join(b.profiles, name+".pprof")) }()
	for {
		select {
		case err := <-done:
			return err
		default:
		}
		if err := load(); err != nil {
			return errors.Join(err, <-done)
		}
	}
}

// fetchProfile writes a CPU profile of claude-force to a file.
func (b *bench) fetchProfile(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%sprofile?seconds=%d", b.ours.profiles, profiled), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profiling claude-force: %w", err)
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("profiling claude-force: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profiling claude-force: status %d: %.300s", resp.StatusCode, text)
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return fmt.Errorf("making a folder for profiles: %w", err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("writing a profile: %w", err)
	}
	return nil
}
