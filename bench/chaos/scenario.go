//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// scenario is one way to disturb runs.
type scenario struct {
	name   string
	rounds int
	work   func(dir, name string, rng *rand.Rand) (*workload, error)
	blows  func(rng *rand.Rand) []blow
	fails  bool // one call of each round fails at first
	rivals bool // two processes resume a run at once
	cached bool // with the response cache
	secret bool // the stores are encrypted
}

// blow is what happens to one process.
type blow struct {
	signals []os.Signal // each after a part of the time that an undisturbed run takes
}

var (
	kill      = blow{[]os.Signal{syscall.SIGKILL}}
	interrupt = blow{[]os.Signal{syscall.SIGINT}}
	twice     = blow{[]os.Signal{syscall.SIGINT, syscall.SIGINT}}
)

func scenarios(opts options) []*scenario {
	graph := func(dir, name string, rng *rand.Rand) (*workload, error) { return newGraph(dir, name, opts.steps, rng) }
	some := max(1, opts.rounds/10)
	return []*scenario{
		{name: "kill", rounds: opts.rounds, work: graph, blows: kills},
		{name: "cached", rounds: some, work: graph, blows: kills, cached: true},
		{name: "encrypted", rounds: some, work: graph, blows: kills, secret: true},
		{name: "interrupt", rounds: some, work: graph, blows: interrupts},
		{name: "rivals", rounds: some, work: graph, rivals: true, blows: func(*rand.Rand) []blow { return []blow{kill} }},
		{name: "failure", rounds: some, work: graph, fails: true, blows: func(*rand.Rand) []blow { return nil }},
		{
			name: "foreach", rounds: 1,
			work:  func(dir, name string, _ *rand.Rand) (*workload, error) { return newFolder(dir, name, opts.items) },
			blows: func(*rand.Rand) []blow { return []blow{interrupt, twice, kill, kill} },
		},
	}
}

// kills returns one, and up to five more, each with a chance of three in four.
func kills(rng *rand.Rand) []blow {
	list := []blow{kill}
	for len(list) < 6 && rng.IntN(4) > 0 {
		list = append(list, kill)
	}
	return list
}

func interrupts(rng *rand.Rand) []blow {
	return []blow{{slices.Repeat([]os.Signal{syscall.SIGINT}, 1+rng.IntN(2))}}
}

// marker is in every task, so that calls can be distinguished, and so is in every
// answer, which quotes the task.
const marker = "[unit "

// run runs the rounds of a scenario, most of them on one store, as a user's are.
func (s *scenario) run(ctx context.Context, opts options, dir string) (*report, error) {
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	var mu sync.Mutex // guards rep and err
	rep := &report{Scenario: s.name, Rounds: s.rounds, Problems: []string{}}
	var err error
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range min(opts.parallel, s.rounds) {
		workers.Go(func() {
			for n := range numbers {
				r := &round{
					scenario: s, opts: opts, home: home, dir: filepath.Join(dir, fmt.Sprint(n)),
					name: fmt.Sprintf("%s-%d", s.name, n), rng: rand.New(rand.NewPCG(opts.seed, uint64(n))),
				}
				if n%10 == 9 { // dies also while a store is made
					r.home = filepath.Join(r.dir, "home")
				}
				failed := r.run(ctx)
				mu.Lock()
				rep.take(r, failed)
				mu.Unlock()
			}
		})
	}
	for n := 0; n < s.rounds && ctx.Err() == nil; n++ {
		numbers <- n
	}
	close(numbers)
	workers.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if s.secret {
		rep.InClear, err = inClear(home)
	}
	return rep, err
}

// maxProblems bounds the problems in a report.
const maxProblems = 10

func (rep *report) take(r *round, failed error) {
	rep.add(r.counts)
	rep.InClear += r.clear
	if failed != nil {
		rep.Failed++
		r.say("%v", failed)
	}
	for _, p := range r.problems {
		if len(rep.Problems) < maxProblems {
			rep.Problems = append(rep.Problems, fmt.Sprintf("round %s: %s", r.name, p))
		}
	}
}

// inClear counts the files of a folder in which tasks or answers can be read.
func inClear(dir string) (found int, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a process that ends takes files away
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(data, []byte(marker)) || bytes.Contains(data, []byte("simulated answer")) {
			found++
		}
		return err
	})
	if err != nil {
		return found, fmt.Errorf("looking for texts in clear: %w", err)
	}
	return found, nil
}

// between returns a random part of a time.
func between(rng *rand.Rand, whole time.Duration) time.Duration {
	return time.Duration(rng.Float64() * float64(whole))
}
