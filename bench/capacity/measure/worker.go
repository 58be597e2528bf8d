//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/bench/internal/child"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/sim"
)

// prompt is the system prompt of the agent: requests have 6 kB.
var prompt = strings.Repeat("A line of what the agent is to know and to do, and of how to do it.\n", 85)

// serveSimulator serves a simulator that answers at once, until the input ends.
func serveSimulator(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	fmt.Println("http://" + listener.Addr().String())
	server := &http.Server{Handler: sim.New(sim.Options{}), ReadHeaderTimeout: time.Minute}
	go func() { // ends with the process, whose end it brings about
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// measureWorker runs a workflow of n steps with a call each against a simulator in
// another process, and then again, with all answers from the cache. It reports the
// processor time of this process for a step.
func measureWorker(ctx context.Context, n int) (err error) {
	dir, err := os.MkdirTemp("", "capacity-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	service, err := child.Serve(ctx, self, "-serve")
	if err != nil {
		return err
	}
	defer service.Stop()
	if err := os.Setenv("ANTHROPIC_API_KEY", "simulated"); err != nil {
		return err
	}
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir, Getenv: os.Getenv})
	if err != nil {
		return err
	}
	cfg.BaseURL, cfg.Tier = service.URL, "none"
	orch, err := claudeforce.New(ctx, claudeforce.Options{
		Dir: dir, Config: cfg,
		Agents: []*agent.Agent{{Name: "worker", Description: "Works.", Prompt: prompt, Model: "haiku"}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, orch.Close()) }()
	if _, err := runSteps(ctx, orch, dir, "first", 100); err != nil { // opens connections and files
		return err
	}
	miss, err := runSteps(ctx, orch, dir, "measured", n)
	if err != nil {
		return err
	}
	hit, err := runSteps(ctx, orch, dir, "measured", n)
	if err != nil {
		return err
	}
	report("worker_miss_cpu", miss, "s")
	report("worker_hit_cpu", hit, "s")
	return nil
}

// runSteps runs a workflow of n steps and returns the processor time of each.
func runSteps(ctx context.Context, orch *claudeforce.Orchestrator, dir, name string, n int) (float64, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "name: %s\nsteps:\n", name)
	for i := range n {
		fmt.Fprintf(&text, "  - {id: step-%d, agent: worker, task: %s does part %d}\n", i, name, i)
	}
	file := filepath.Join(dir, name+".yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return 0, err
	}
	wf, err := orch.LoadWorkflow(file)
	if err != nil {
		return 0, err
	}
	before := processorTime()
	res, err := orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{File: file})
	if err == nil && res.Status != engine.StatusCompleted {
		err = fmt.Errorf("the run ended as %s", res.Status)
	}
	return (processorTime() - before).Seconds() / float64(n), err
}

// processorTime returns the time that this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for wrong arguments only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
