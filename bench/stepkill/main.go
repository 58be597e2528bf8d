//go:build linux

// Command stepkill kills runs of a workflow with every kind of step at random moments
// and resumes them until they are done:
//
//	go run ./bench/stepkill             # 60 rounds
//	go run ./bench/stepkill -rounds 6
//
// What steps did is counted where a resume cannot reach: commands append a line each to a
// file, and requests, also those of agents, are counted by a server. After every death
// the journal is read with the command, as users read it, and compared with both. The exit
// code is 1 if anything that is promised was not kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
	"github.com/claude-force/claude-force/bench/internal/tally"
)

// counts are what rounds add up to.
type counts struct {
	rounds, units, done, kills, resumes, unbegun int

	// What is promised to be 0.
	lost     int // runs
	again    int // units that had finished and were done again
	twice    int // units that one process did twice
	repeated int // units with effects: once that were done twice
	missing  int // units that have finished and that no one has seen
	wrong    int // results and files that are not those of the undisturbed run, and other problems

	// What is not.
	cut int // units that were done again since their end was not durable
}

func (c *counts) add(d counts) {
	c.rounds, c.units, c.done = c.rounds+d.rounds, c.units+d.units, c.done+d.done
	c.kills, c.resumes, c.unbegun = c.kills+d.kills, c.resumes+d.resumes, c.unbegun+d.unbegun
	c.lost, c.again, c.twice = c.lost+d.lost, c.again+d.again, c.twice+d.twice
	c.repeated, c.missing, c.wrong, c.cut = c.repeated+d.repeated, c.missing+d.missing, c.wrong+d.wrong, c.cut+d.cut
}

// broken returns how often a promise was not kept.
func (c *counts) broken() int {
	return c.lost + c.again + c.twice + c.repeated + c.missing + c.wrong
}

// report is what all rounds came to.
type report struct {
	counts
	took     time.Duration
	problems []string // the first of them
}

// maxProblems bounds the problems in a report.
const maxProblems = 20

type options struct {
	rounds, parallel int
	seed             uint64
}

func main() {
	var opts options
	flag.IntVar(&opts.rounds, "rounds", 60, "how many rounds")
	flag.IntVar(&opts.parallel, "parallel", 4, "rounds at once")
	flag.Uint64Var(&opts.seed, "seed", 1, "seed of the moments at which processes are killed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	rep, err := measure(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stepkill:", err)
		os.Exit(1)
	}
	rep.print()
	if rep.broken() > 0 {
		os.Exit(1)
	}
}

func (rep *report) print() {
	fmt.Printf("%d rounds in %.0f s\n", rep.rounds, rep.took.Seconds())
	var t tally.Table
	t.Add("commands, requests and calls needed", rep.units)
	t.Add("done", rep.done)
	t.Add("kill -9", rep.kills)
	t.Add("processes that went on", rep.resumes)
	t.Add("deaths before there was a run", rep.unbegun)
	t.Add("promised: runs lost", rep.lost)
	t.Add("finished and done again", rep.again)
	t.Add("done twice by one process", rep.twice)
	t.Add("effects: once, and done twice", rep.repeated)
	t.Add("finished without effect", rep.missing)
	t.Add("results that differ, and other problems", rep.wrong)
	t.Add("not promised: cut off, done again", rep.cut)
	t.Print(rep.problems)
}

// measure plays a round without kills, for its results and its time, and then those of
// opts.
func measure(ctx context.Context, opts options) (rep *report, err error) {
	dir, err := os.MkdirTemp("", "stepkill-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // as processes know their folders
		return nil, err
	}
	if err := child.Build(ctx, dir, map[string]string{"claude-force": "cmd/claude-force"}); err != nil {
		return nil, err
	}
	rep = &report{}
	var mu sync.Mutex // guards rep
	play := func(name string, random *rand.Rand, whole *ending) *round {
		r := newRound(dir, name, random, whole)
		if err := r.run(ctx); err != nil && ctx.Err() == nil {
			r.wrong++
			r.say("%v", err)
		}
		_ = os.RemoveAll(r.dir) // removed with the folder around it otherwise
		mu.Lock()
		defer mu.Unlock()
		rep.add(r.counts)
		for _, p := range r.problems {
			if len(rep.problems) < maxProblems {
				rep.problems = append(rep.problems, fmt.Sprintf("round %s: %s", name, p))
			}
		}
		return r
	}
	start := time.Now()
	whole := play("undisturbed", nil, nil).end
	if rep.broken() > 0 {
		return rep, nil
	}
	whole.took = time.Since(start)
	rep.counts = counts{}
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range min(opts.parallel, opts.rounds) {
		workers.Go(func() {
			for n := range numbers {
				play(strconv.Itoa(n), rand.New(rand.NewPCG(opts.seed, uint64(n))), &whole)
			}
		})
	}
	for n := 0; n < opts.rounds && ctx.Err() == nil; n++ {
		numbers <- n
	}
	close(numbers)
	workers.Wait()
	rep.took = time.Since(start)
	return rep, context.Cause(ctx)
}
