package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/claude-force/claude-force/sim"
)

// scenario is a set of limits and what fills them.
type scenario struct {
	name      string
	processes int
	limits    []change
	measure   func(sim.Stats) int // of the limit that binds
	limit     func(sim.Limits) int
}

// change is the limits from a minute on.
type change struct {
	minute float64
	limits sim.Limits
}

func admitted(s sim.Stats) int { return s.Requests - s.RateLimited - s.Errors }

// scenarios returns the scenarios, sized so that each run takes about so many minutes.
func scenarios(tasks, minutes int) []scenario {
	requests := func(rpm int) sim.Limits {
		return sim.Limits{RequestsPerMinute: rpm, InputTokensPerMinute: 2_000_000, OutputTokensPerMinute: 400_000}
	}
	rpm := tasks / minutes
	part := float64(minutes) / 5
	input, output := requests(1000), requests(1000)
	input.InputTokensPerMinute, output.OutputTokensPerMinute = tasks*1700/minutes, tasks*200/minutes
	byRequests := func(l sim.Limits) int { return l.RequestsPerMinute }
	return []scenario{
		{"requests", 1, []change{{0, requests(rpm)}}, admitted, byRequests},
		{"input tokens", 1, []change{{0, input}}, func(s sim.Stats) int { return s.InputTokens }, func(l sim.Limits) int { return l.InputTokensPerMinute }},
		{"output tokens", 1, []change{{0, output}}, func(s sim.Stats) int { return s.OutputTokens }, func(l sim.Limits) int { return l.OutputTokensPerMinute }},
		{"requests, two processes", 2, []change{{0, requests(rpm)}}, admitted, byRequests},
		{"input, two processes", 2, []change{{0, input}}, func(s sim.Stats) int { return s.InputTokens }, func(l sim.Limits) int { return l.InputTokensPerMinute }},
		{"requests, limits change", 1, []change{{0, requests(rpm)}, {part, requests(2 * rpm)}, {2 * part, requests(rpm / 2)}, {3 * part, requests(rpm)}}, admitted, byRequests},
	}
}

// result is what a run came to.
type result struct {
	used           float64
	requests, n429 int
	makespan       float64 // in minutes
	lost           int
}

func (r *result) refused() float64 { return float64(r.n429) / float64(max(1, r.requests)) }

// measure runs a scenario with one kind of client.
func (b *bench) measure(ctx context.Context, s scenario, client string) (r *result, err error) {
	server := sim.New(sim.Options{
		Limits: &s.limits[0].limits, Latency: sim.Realistic(), TimeScale: b.minute.Minutes(),
	})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the simulator: %w", err)
	}
	web := &http.Server{Handler: server, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }() // waited for below
	defer func() {
		err = errors.Join(err, web.Close())
		<-served
	}()
	dir, err := os.MkdirTemp("", "ratelimit-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	begin := time.Now()
	done := make(chan clientsResult, 1)
	go func() { // waited for by watch
		lost, err := b.start(ctx, "http://"+listener.Addr().String(), dir, client, s.processes)
		done <- clientsResult{lost, err}
	}()
	samples, lost, err := b.watch(server, s, begin, done)
	if err != nil {
		return nil, err
	}
	stats := server.Stats()
	return &result{
		used: s.used(samples, s.measure(stats)), requests: stats.Requests, n429: stats.RateLimited,
		makespan: samples[len(samples)-1].minute, lost: lost,
	}, nil
}

type clientsResult struct {
	lost int
	err  error
}

// sample is how much was used, and allowed, up to a moment.
type sample struct {
	minute  float64
	used    int
	allowed float64 // without what is there at the beginning
}

// watch changes the limits when it is time and takes samples until the clients
// are done.
func (b *bench) watch(server *sim.Server, s scenario, begin time.Time, done <-chan clientsResult) (samples []sample, lost int, err error) {
	ticker := time.NewTicker(b.minute / 300)
	defer ticker.Stop()
	limits, next := s.limits[0].limits, s.limits[1:]
	last := sample{}
	samples = append(samples, last)
	for {
		select {
		case r := <-done:
			return samples, r.lost, r.err
		case now := <-ticker.C:
			minute := float64(now.Sub(begin)) / float64(b.minute)
			if len(next) > 0 && minute >= next[0].minute {
				limits, next = next[0].limits, next[1:]
				server.SetLimits(&limits)
			}
			allowed := last.allowed + (minute-last.minute)*float64(s.limit(limits))
			last = sample{minute, s.measure(server.Stats()), allowed}
			samples = append(samples, last)
		}
	}
}

// used returns the share of what was allowed that was used over the steady part.
func (s *scenario) used(samples []sample, total int) float64 {
	burst := s.limit(s.limits[0].limits)
	var from, to sample
	for _, x := range samples {
		if float64(x.used) < 1.2*float64(burst) {
			from = x
		}
		if float64(x.used) <= 0.95*float64(total) {
			to = x
		}
	}
	if to.allowed <= from.allowed {
		return 0
	}
	return float64(to.used-from.used) / (to.allowed - from.allowed)
}

// start runs the clients, each with its part of the tasks, and counts the tasks
// that got no answer.
func (b *bench) start(ctx context.Context, url, dir, client string, processes int) (lost int, err error) {
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("finding this program: %w", err)
	}
	type running struct {
		cmd *exec.Cmd
		out func() ([]byte, error)
	}
	var clients []running
	for i := range processes {
		job, err := json.Marshal(job{
			URL: url, Dir: dir, Client: client, Minute: b.minute,
			First: i * b.tasks / processes, After: (i + 1) * b.tasks / processes,
		})
		if err != nil {
			return 0, err
		}
		cmd := exec.CommandContext(ctx, program, "-worker", string(job))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return 0, fmt.Errorf("starting a client: %w", err)
		}
		if err := cmd.Start(); err != nil {
			return 0, fmt.Errorf("starting a client: %w", err)
		}
		clients = append(clients, running{cmd, func() ([]byte, error) {
			var data json.RawMessage
			err := json.NewDecoder(out).Decode(&data)
			return data, err
		}})
	}
	for _, c := range clients {
		data, failed := c.out()
		failed = errors.Join(failed, c.cmd.Wait())
		var n int
		if failed == nil {
			failed = json.Unmarshal(data, &n)
		}
		lost += n
		err = errors.Join(err, failed)
	}
	return lost, err
}
