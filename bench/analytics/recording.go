//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/sim"
)

// recordings compares calls a second through the whole pipeline with and without
// recording, in turn, against a simulator in the process: one that answers at
// once, so that nothing but our own work is measured, and one that takes 20 ms.
func recordings(ctx context.Context, dir string, runs int) (bool, error) {
	fmt.Printf("calls a second through the pipeline, medians of %d\n%-24s %12s %12s %8s\n", runs, "simulator answers", "without", "with", "ratio")
	ok := true
	for _, c := range []struct {
		name    string
		latency sim.Latency
		calls   int
		gated   bool
	}{
		{"at once", sim.Latency{}, 3000, false},
		{"after 20 ms", sim.Fixed(20 * time.Millisecond), 1000, true},
	} {
		var without, with []time.Duration
		for i := range runs {
			for _, record := range []bool{false, true} {
				home := filepath.Join(dir, fmt.Sprintf("recording-%d-%t", i, record))
				took, err := pipeline(ctx, home, record, c.latency, c.calls)
				if err != nil {
					return false, err
				}
				if record {
					with = append(with, took)
				} else {
					without = append(without, took)
				}
			}
		}
		ratio := float64(median(with)) / float64(median(without))
		rate := func(d time.Duration) float64 { return float64(c.calls) / d.Seconds() }
		fmt.Printf("%-24s %12.0f %12.0f %7.3fx\n", c.name, rate(median(without)), rate(median(with)), ratio)
		if c.gated {
			ok = ratio <= recording
			fmt.Printf("recording costs %.1f %%: %s the target of %.2fx\n", 100*(ratio-1), verdict(ok), recording)
		}
	}
	return ok, nil
}

// pipeline measures so many calls, ten at a time, until all is written.
func pipeline(ctx context.Context, home string, record bool, latency sim.Latency, n int) (took time.Duration, err error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return 0, fmt.Errorf("making a folder: %w", err)
	}
	if err := os.Setenv("ANTHROPIC_API_KEY", "simulated"); err != nil {
		return 0, fmt.Errorf("setting the key: %w", err)
	}
	cfg, err := claudeforce.LoadConfig(home)
	if err != nil {
		return 0, err
	}
	cfg.Cache.Enabled = false
	cfg.DataDir, cfg.Store, cfg.Analytics.Enabled = home, "", record
	cfg.Tier = "none" // the simulator has no rate limits, and says so by saying nothing
	server := sim.New(sim.Options{Latency: latency})
	orch, err := claudeforce.New(ctx, claudeforce.Options{Dir: home, Config: cfg, HTTPClient: &http.Client{Transport: server.RoundTripper()}})
	if err != nil {
		return 0, err
	}
	tasks := func(yield func(claudeforce.Task) bool) {
		for i := range n {
			if !yield(claudeforce.Task{Agent: "linter", Prompt: "Task " + strconv.Itoa(i)}) {
				return
			}
		}
	}
	began := time.Now()
	var failed error
	for res := range orch.ExecuteAll(ctx, tasks, claudeforce.AllOptions{Unordered: true}) {
		failed = errors.Join(failed, res.Err)
	}
	err = errors.Join(failed, orch.Close())
	return time.Since(began), err
}
