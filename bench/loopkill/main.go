//go:build linux

// Command loopkill kills loops of an agent with tools at random moments and resumes
// them until they are done:
//
//	go run ./bench/loopkill              # 300 rounds
//	go run ./bench/loopkill -rounds 10
//
// Each round is a run of its own by the command: a loop of 20 turns that make 40
// calls of Read, Grep, Write, Edit and Bash, then a step after it. The service is a
// process that shares no code with the project and keeps every request. What tools did
// is counted where a resume cannot reach: each call that changes something writes a
// mark of its own, commands append theirs to a file outside the project, and the kernel
// counts how often each file was written. After every death the journal is read with
// the command, as users read it, and compared with both. The exit code is 1 if
// anything that is promised was not kept.
package main

import (
	"context"
	"encoding/json"
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
	Rounds  int `json:"rounds"`
	Turns   int `json:"turns_needed"`
	Sent    int `json:"turns_sent"`
	Calls   int `json:"calls_needed"`
	Kills   int `json:"kills"`
	Resumes int `json:"resumes"`
	Unbegun int `json:"unbegun"` // deaths before there was a run; it was started again

	// What is promised to be 0.
	Lost     int `json:"runs_lost"`
	Again    int `json:"finished_turns_sent_again"`
	Twice    int `json:"turns_sent_twice_by_one_process"`
	Early    int `json:"turns_sent_before_the_last_was_durable"`
	Repeated int `json:"writes_and_commands_repeated"`
	Missing  int `json:"finished_writes_and_commands_without_effect"`
	Strange  int `json:"effects_of_answers_not_in_the_journal"`
	Left     int `json:"processes_left_behind"`
	Wrong    int `json:"other_problems"` // accounts that disagree among them

	// What is not.
	Cut         int `json:"turns_cut_off"`           // sent again, since no answer was durable
	Interrupted int `json:"calls_interrupted"`       // reported to the model as interrupted
	Done        int `json:"calls_interrupted_done"`  // of these, those that had their effect
	Forgotten   int `json:"results_sent_then_taken"` // results that the service was sent before they were durable
}

func (c *counts) add(d counts) {
	c.Rounds, c.Turns, c.Sent, c.Calls = c.Rounds+d.Rounds, c.Turns+d.Turns, c.Sent+d.Sent, c.Calls+d.Calls
	c.Kills, c.Resumes, c.Unbegun = c.Kills+d.Kills, c.Resumes+d.Resumes, c.Unbegun+d.Unbegun
	c.Lost, c.Again, c.Twice, c.Early, c.Repeated = c.Lost+d.Lost, c.Again+d.Again, c.Twice+d.Twice, c.Early+d.Early, c.Repeated+d.Repeated
	c.Missing, c.Strange, c.Left, c.Wrong = c.Missing+d.Missing, c.Strange+d.Strange, c.Left+d.Left, c.Wrong+d.Wrong
	c.Cut, c.Interrupted, c.Done, c.Forgotten = c.Cut+d.Cut, c.Interrupted+d.Interrupted, c.Done+d.Done, c.Forgotten+d.Forgotten
}

// broken returns how often a promise was not kept.
func (c *counts) broken() int {
	return c.Lost + c.Again + c.Twice + c.Early + c.Repeated + c.Missing + c.Strange + c.Left + c.Wrong
}

// report is what all rounds came to.
type report struct {
	counts
	Seconds  float64  `json:"seconds"`
	Problems []string `json:"problems"` // the first of them
}

// maxProblems bounds the problems in a report.
const maxProblems = 20

type options struct {
	rounds, parallel int
	seed             uint64
	keep             string // folder for the files; empty to remove them
}

func main() {
	var opts options
	flag.IntVar(&opts.rounds, "rounds", 300, "how many rounds")
	flag.IntVar(&opts.parallel, "parallel", 4, "rounds at once")
	flag.Uint64Var(&opts.seed, "seed", 1, "seed of the moments at which processes are killed")
	flag.StringVar(&opts.keep, "keep", "", "keep the files of the rounds in this folder")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	rep, err := measure(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "loopkill:", err)
		os.Exit(1)
	}
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(rep)
	} else {
		rep.print()
	}
	if rep.broken() > 0 {
		os.Exit(1)
	}
}

func (rep *report) print() {
	fmt.Printf("%d rounds in %.0f s\n", rep.Rounds, rep.Seconds)
	var t tally.Table
	t.Add("turns needed", rep.Turns)
	t.Add("calls of tools needed", rep.Calls)
	t.Add("kill -9", rep.Kills)
	t.Add("processes that went on", rep.Resumes)
	t.Add("deaths before there was a run", rep.Unbegun)
	t.Add("promised: runs lost", rep.Lost)
	t.Add("finished turns sent again", rep.Again)
	t.Add("turns sent twice by one process", rep.Twice)
	t.Add("turns sent before the last was durable", rep.Early)
	t.Add("writes and commands repeated", rep.Repeated)
	t.Add("finished writes and commands without effect", rep.Missing)
	t.Add("effects of answers not in the journal", rep.Strange)
	t.Add("processes left behind", rep.Left)
	t.Add("accounts that disagree, and other problems", rep.Wrong)
	t.Add("not promised: turns cut off, sent again", rep.Cut)
	t.Add("calls reported as interrupted", rep.Interrupted)
	t.Add("of these, had their effect", rep.Done)
	t.Add("results sent, then reported as interrupted", rep.Forgotten)
	t.Print(rep.Problems)
}

// measure plays a round without kills, for the time that it takes, and then those of
// opts.
func measure(ctx context.Context, opts options) (rep *report, err error) {
	dir := opts.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "loopkill-"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // as processes know their folders
		return nil, err
	}
	if err := child.Build(ctx, dir, map[string]string{"claude-force": "cmd/claude-force", "service": "bench/loopkill/service"}); err != nil {
		return nil, err
	}
	start := time.Now()
	rep = &report{Problems: []string{}}
	var mu sync.Mutex // guards rep
	play := func(name string, random *rand.Rand, took time.Duration) {
		r := &round{programs: dir, dir: filepath.Join(dir, name), random: random, took: took}
		if err := r.run(ctx); err != nil && ctx.Err() == nil {
			r.Wrong++
			r.say("%v", err)
		}
		if opts.keep == "" {
			_ = os.RemoveAll(r.dir) // removed with the folder around it otherwise
		}
		mu.Lock()
		defer mu.Unlock()
		rep.add(r.counts)
		for _, p := range r.problems {
			if len(rep.Problems) < maxProblems {
				rep.Problems = append(rep.Problems, fmt.Sprintf("round %s: %s", name, p))
			}
		}
	}
	play("undisturbed", nil, 0)
	took := time.Since(start)
	if rep.broken() > 0 {
		return rep, nil
	}
	rep.counts = counts{}
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range min(opts.parallel, opts.rounds) {
		workers.Go(func() {
			for n := range numbers {
				play(strconv.Itoa(n), rand.New(rand.NewPCG(opts.seed, uint64(n))), took)
			}
		})
	}
	for n := 0; n < opts.rounds && ctx.Err() == nil; n++ {
		numbers <- n
	}
	close(numbers)
	workers.Wait()
	rep.Seconds = time.Since(start).Seconds()
	return rep, context.Cause(ctx)
}
