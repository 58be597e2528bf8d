package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/sim"
)

type simulateFlags struct {
	listen    string
	latency   string
	batch     string
	timeScale float64
	seed      uint64
	script    string
	limits    sim.Limits
}

func (a *app) simulate() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Serve a simulator of the Messages API",
		Long: `Serve a simulator that behaves like the Messages API: answers, streams, tools,
errors, rate limits and latencies, for tests without a key. Its answers are
built from the request and say that they are simulated. Any SDK works with it;
any key is accepted, but for one that begins with "invalid".

A script plays agents: its rules match agents, tasks, turns and tool results, and
answer with texts, tool calls or errors. See docs/simulator.md.

GET /_sim/stats counts what was asked; POST /_sim/faults takes a list of faults
to inject, such as {"kind": "status", "status": 529, "times": 2}.`,
		Example: `  claude-force simulate --listen 127.0.0.1:8089 --latency 1s
  ANTHROPIC_BASE_URL=http://127.0.0.1:8089 ANTHROPIC_API_KEY=test claude-force execute python-expert "Explain lists"
  claude-force simulate --script agents.yaml --latency instant
  curl http://127.0.0.1:8089/_sim/stats`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serveSimulator(cmd.Context(), &f) },
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8089", "address to listen on; port 0 picks a free one")
	cmd.Flags().StringVar(&f.latency, "latency", "realistic", "how long answers take: realistic, instant, or a duration such as 1s")
	cmd.Flags().StringVar(&f.batch, "batch-latency", "instant", "how long message batches take: realistic, instant, or a duration such as 10s")
	cmd.Flags().Float64Var(&f.timeScale, "time-scale", 1, "factor on all waits: 0.1 makes them ten times shorter")
	cmd.Flags().StringVar(&f.script, "script", "", "YAML or JSON file of rules that answer requests")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "seed of the latencies")
	cmd.Flags().IntVar(&f.limits.RequestsPerMinute, "rpm", 0, "limit of requests per minute; 0 for none")
	cmd.Flags().IntVar(&f.limits.InputTokensPerMinute, "itpm", 0, "limit of input tokens per minute; 0 for none")
	cmd.Flags().IntVar(&f.limits.OutputTokensPerMinute, "otpm", 0, "limit of output tokens per minute; 0 for none")
	return cmd
}

// parseLatency returns the latency that a flag names.
func parseLatency(text string) (sim.Latency, error) {
	latency, err := sim.ParseLatency(text)
	if err != nil {
		return latency, inputError{err}
	}
	return latency, nil
}

func (a *app) serveSimulator(ctx context.Context, f *simulateFlags) error {
	latency, err := parseLatency(f.latency)
	if err != nil {
		return err
	}
	if f.timeScale <= 0 {
		return badInput("--time-scale must be above 0")
	}
	batches, err := parseLatency(f.batch)
	if err != nil {
		return err
	}
	opts := sim.Options{Seed: f.seed, Latency: latency, BatchLatency: batches, TimeScale: f.timeScale}
	if f.script != "" {
		if opts.Script, err = claudeforce.ReadSimulatorScript(f.script); err != nil {
			return inputError{err}
		}
	}
	if f.limits != (sim.Limits{}) {
		opts.Limits = &f.limits
	}
	ctx, cancel := a.soft(ctx)
	defer cancel()
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return inputError{fmt.Errorf("listening: %w (choose another address with --listen)", err)}
	}
	simulator := sim.New(opts)
	server := &http.Server{
		Handler:           simulator,
		ConnState:         simulator.ConnState,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	url := "http://" + listener.Addr().String()
	a.say("simulating the Messages API on %s", url)
	a.say("use it with: ANTHROPIC_BASE_URL=%s ANTHROPIC_API_KEY=simulated", url)
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the simulator: %w", err)
	}
	return nil
}
