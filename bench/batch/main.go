// Command batch runs tasks in message batches on the simulator, kills its own
// worker process twice in the middle with SIGKILL, and shows that each task
// was submitted once and cost half.
//
//	go run ./bench/batch              # 1,000 tasks, two kills
//	go run ./bench/batch -rounds 20   # the same again and again, at other moments
//
// It exits with 1 if a task was submitted twice, was not answered, or cost
// anything but half.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/claude-force/claude-force/sim"
)

const model = "claude-haiku-5-5"

type settings struct {
	tasks, size, kills, rounds int
	latency                    time.Duration
	worker                     string // the service's URL; set in the worker
	dir                        string
}

func main() {
	var s settings
	flag.IntVar(&s.tasks, "tasks", 1000, "tasks")
	flag.IntVar(&s.size, "size", 200, "most calls in a batch")
	flag.IntVar(&s.kills, "kills", 2, "kills in a round")
	flag.IntVar(&s.rounds, "rounds", 1, "rounds")
	flag.DurationVar(&s.latency, "latency", time.Second, "how long a batch takes")
	flag.StringVar(&s.worker, "worker", "", "for the worker process: the service's URL")
	flag.StringVar(&s.dir, "dir", "", "for the worker process: its folder")
	flag.Parse()
	ctx := context.Background()
	run := s.measure
	if s.worker != "" {
		run = s.work
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "batch:", err)
		os.Exit(1)
	}
}

func (s settings) measure(ctx context.Context) error {
	for round := range s.rounds {
		if err := s.round(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

// round returns one run of all tasks, with kills.
func (s settings) round(ctx context.Context, round int) error {
	dir, err := os.MkdirTemp("", "batch")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server := sim.New(sim.Options{BatchLatency: sim.Fixed(s.latency)})
	tcp := httptest.NewServer(server)
	defer tcp.Close()
	began := time.Now()
	killed := 0
	for {
		dead, err := s.startWorker(ctx, tcp.URL, dir, s.moment(server, killed))
		if err != nil {
			return err
		}
		if !dead {
			break
		}
		killed++
	}
	return s.report(server, dir, round, killed, time.Since(began))
}

// moment tells when to kill the worker that follows some kills: at random while
// batches are made and run, and every other last time while their answers come.
func (s settings) moment(server *sim.Server, killed int) func() bool {
	if killed >= s.kills {
		return func() bool { return false }
	}
	if killed == s.kills-1 && rand.IntN(2) == 0 {
		var at time.Time
		return func() bool {
			if at.IsZero() && server.Stats().OutputTokens > 0 {
				at = time.Now().Add(rand.N(40 * time.Millisecond))
			}
			return !at.IsZero() && time.Now().After(at)
		}
	}
	at := time.Now().Add(rand.N(s.latency * 9 / 10 / time.Duration(s.kills)))
	return func() bool { return time.Now().After(at) }
}

// startWorker runs the worker until it ends, or until it is due to be killed.
func (s settings) startWorker(ctx context.Context, url, dir string, due func() bool) (killed bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	cmd := exec.CommandContext(ctx, self, "-worker", url, "-dir", dir, "-tasks", fmt.Sprint(s.tasks), "-size", fmt.Sprint(s.size))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return false, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }() // received below
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return false, err
		case <-tick.C:
			if due() {
				_ = cmd.Process.Kill() // it may have ended by itself
				return <-done != nil, nil
			}
		}
	}
}

func (s settings) report(server *sim.Server, dir string, round, killed int, took time.Duration) error {
	twice := 0
	counts := server.Requests()
	for _, n := range counts {
		if n.Started > 1 {
			twice++
		}
	}
	answers, paid, err := readAnswers(dir)
	if err != nil {
		return err
	}
	stats := server.Stats()
	live, _ := llm.Prices().Cost(model, llm.Usage{InputTokens: stats.InputTokens, OutputTokens: stats.OutputTokens})
	fmt.Printf("round %d: %d tasks in %d batches, %d kills, %.1f s: %d submitted, %d of them twice, %d answered; paid $%.4f, live $%.4f, ratio %.3f\n",
		round+1, s.tasks, stats.Batches, killed, took.Seconds(), stats.BatchRequests, twice, len(answers), paid, live, paid/live)
	if twice > 0 || len(counts) != s.tasks || stats.BatchRequests != s.tasks || len(answers) != s.tasks || math.Abs(paid/live-0.5) > 1e-6 {
		return errors.New("not every task was submitted once, answered, and paid by half")
	}
	return nil
}

// work returns the worker: it answers the tasks that have no answer yet.
func (s settings) work(ctx context.Context) (err error) {
	client, err := anthropic.New(anthropic.Options{APIKey: "simulated", BaseURL: s.worker})
	if err != nil {
		return err
	}
	store, err := batch.OpenDir(filepath.Join(s.dir, "batches"))
	if err != nil {
		return err
	}
	batcher := batch.New(client.Batches(), store, batch.Options{
		Keyer: client.Keyer(), MaxCalls: s.size, Idle: 50 * time.Millisecond,
		PollMin: 50 * time.Millisecond, PollMax: 200 * time.Millisecond, Grace: 3 * time.Second,
	})
	defer func() { err = errors.Join(err, batcher.Close(), store.Close()) }()
	known, _, err := readAnswers(s.dir)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(answersPath(s.dir), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	errs := make(chan error, s.tasks)
	var wg sync.WaitGroup
	for i := range s.tasks {
		text := fmt.Sprintf("Summarize document %d.", i)
		if !known[text] {
			wg.Go(func() { errs <- answer(ctx, batcher.Model(), text, file) })
		}
	}
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// answer makes one call and writes down that it was answered, and for how much.
func answer(ctx context.Context, m llm.Model, text string, file *os.File) error {
	resp, err := llm.Collect(m.Stream(ctx, &llm.Request{Model: model, MaxTokens: 500, Messages: []llm.Message{llm.UserText(text)}}))
	if err != nil {
		return err
	}
	usd, ok := llm.Prices().Cost(resp.Model, resp.Usage)
	if !ok {
		return fmt.Errorf("%s has no price", resp.Model)
	}
	_, err = fmt.Fprintf(file, "%s\t%v\n", text, usd)
	return err
}

func answersPath(dir string) string { return filepath.Join(dir, "answers") }

func readAnswers(dir string) (known map[string]bool, paid float64, err error) {
	known = map[string]bool{}
	data, err := os.ReadFile(answersPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return known, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		text, cost, _ := strings.Cut(lines.Text(), "\t")
		var usd float64
		if _, err := fmt.Sscan(cost, &usd); err != nil {
			return nil, 0, fmt.Errorf("reading the answers: %w", err)
		}
		known[text] = true
		paid += usd
	}
	return known, paid, nil
}
