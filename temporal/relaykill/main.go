//go:build unix

// Command relaykill has workers of Temporal run a graph of 30 steps and wide foreach within a
// wide foreach, kills them and the Temporal server at random moments, and compares what came of
// it with runs of one process:
//
//	go run ./relaykill             # 40 rounds
//	go run ./relaykill -rounds 3
//	go run ./relaykill -rounds 200 -stands 3
//
// What steps did is counted by a service that shares no code with what asks it. The exit code
// is 1 if anything that is promised was not kept.
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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/temporal/stand"
)

func main() {
	var opts options
	flag.IntVar(&opts.rounds, "rounds", 40, "how many rounds")
	flag.IntVar(&opts.stands, "stands", 1, "stands at once that share the rounds, each with servers and workers of its own")
	flag.IntVar(&opts.runs, "runs", 4, "runs of the graph at once in a round, beside one with wide foreach")
	flag.IntVar(&opts.workers, "workers", 2, "workers")
	flag.Uint64Var(&opts.seed, "seed", 1, "seed of the moments at which processes are killed")
	flag.DurationVar(&opts.delay, "delay", 150*time.Millisecond, "how long the service takes to answer")
	flag.DurationVar(&opts.away, "away", 2*time.Second, "how long a killed Temporal server is away at most")
	flag.StringVar(&opts.programs, "programs", "", "`FOLDER` with the programs; they are built otherwise")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c, problems, err := measureAll(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "relaykill:", err)
	}
	c.print(problems)
	if err != nil || c.broken() > 0 {
		os.Exit(1)
	}
}

type options struct {
	rounds, stands int
	runs, workers  int // of each stand
	seed           uint64
	delay, away    time.Duration
	programs       string
}

// counts are what rounds add up to.
type counts struct {
	rounds, runs, units, requests, workersKilled, serversKilled int

	// What is promised to be 0.
	lost    int // runs that did not complete
	again   int // units that were asked for after they had finished
	missing int // units that have finished without a request
	wrong   int // results that are not those of a local run

	cut int // requests that were repeated, since the end of the unit was not durable
}

func (c *counts) broken() int { return c.lost + c.again + c.missing + c.wrong }

// add adds what other rounds came to.
func (c *counts) add(o counts) {
	c.rounds += o.rounds
	c.runs += o.runs
	c.units += o.units
	c.requests += o.requests
	c.workersKilled += o.workersKilled
	c.serversKilled += o.serversKilled
	c.lost += o.lost
	c.again += o.again
	c.missing += o.missing
	c.wrong += o.wrong
	c.cut += o.cut
}

func (c *counts) print(problems []string) {
	for _, row := range []struct {
		name string
		n    int
	}{
		{"rounds", c.rounds}, {"runs", c.runs}, {"units that asked the service", c.units}, {"requests", c.requests},
		{"kill -9 of workers", c.workersKilled}, {"kill -9 of the Temporal server", c.serversKilled},
		{"promised: runs lost", c.lost}, {"finished and asked for again", c.again}, {"finished without a request", c.missing}, {"results that differ", c.wrong},
		{"not promised: cut off, asked for again", c.cut},
	} {
		fmt.Printf("%-42s %8d\n", row.name, row.n)
	}
	for _, p := range problems {
		fmt.Println("  " + p)
	}
}

// Names of the workflows' files.
const graphFile, nestedFile = "graph.yaml", "nested.yaml"

// jobs is how many calls of a run may be in flight at once.
const jobs = "30"

// maxProblems bounds the problems that are printed.
const maxProblems = 20

// rounds plays the rounds on a stand.
type rounds struct {
	*stand.Stand
	counts
	opts     options
	random   *rand.Rand
	local    map[string]map[string]stepResult // of the runs of one process, by file
	problems []string
}

func (r *rounds) say(format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

// measureAll plays the rounds on all stands, and adds up what came of them.
func measureAll(ctx context.Context, opts options) (c counts, problems []string, err error) {
	if opts.rounds < 0 || opts.stands < 1 {
		return c, nil, errors.New("-rounds is at least 0, and -stands at least 1")
	}
	var mu sync.Mutex // guards what is returned
	var all sync.WaitGroup
	for n := range opts.stands {
		all.Go(func() {
			mine := opts
			mine.rounds = opts.rounds*(n+1)/opts.stands - opts.rounds*n/opts.stands
			sum, said, failed := measure(ctx, mine, n)
			mu.Lock()
			defer mu.Unlock()
			c.add(sum)
			problems = append(problems, said...)
			err = errors.Join(err, failed)
		})
	}
	all.Wait()
	return c, problems, err
}

// measure plays rounds on the n-th stand.
func measure(ctx context.Context, opts options, n int) (c counts, problems []string, err error) {
	s, err := stand.New(ctx, stand.Options{
		Files: map[string]string{graphFile: graph(), nestedFile: nested()}, Programs: opts.programs, Delay: opts.delay,
		Workers: opts.workers, Worker: []string{"-heartbeat", "3s", "-stop-timeout", "1s", "-part", "50"},
	})
	if err != nil {
		return c, nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r := &rounds{Stand: s, opts: opts, random: rand.New(rand.NewPCG(opts.seed, uint64(n))), local: map[string]map[string]stepResult{}}
	for _, file := range []string{graphFile, nestedFile} {
		if err := r.runLocally(ctx, file); err != nil {
			return r.counts, r.problems, err
		}
	}
	for round := 0; round <= opts.rounds && ctx.Err() == nil; round++ { // the first without kills
		began := time.Now()
		if err := r.round(ctx, round); err != nil {
			return r.counts, r.problems, err
		}
		fmt.Fprintf(os.Stderr, "stand %d, round %d: %.0f s\n", n+1, round, time.Since(began).Seconds())
	}
	return r.counts, r.problems, context.Cause(ctx)
}

// exported is a run as runs export prints it.
type exported struct {
	Run struct {
		Status string `json:"status"`
	} `json:"run"`
	Events []struct {
		Type   string    `json:"type"`
		Time   time.Time `json:"time"`
		Step   string    `json:"step"`
		Item   string    `json:"item"`
		Detail struct {
			Task string `json:"task"`
		} `json:"detail"`
	} `json:"events"`
	Result struct {
		Status string                `json:"status"`
		Output string                `json:"output"`
		Steps  map[string]stepResult `json:"steps"`
	} `json:"result"`
}

type stepResult struct {
	Status string `json:"status"`
	Output string `json:"output"`
}

// runLocally runs a workflow in one process.
func (r *rounds) runLocally(ctx context.Context, file string) error {
	answering, stop := context.WithCancel(ctx)
	if file == graphFile {
		go r.answer(answering, "latest")
	}
	_, err := r.Command(ctx, "run", file, "--param", "name=local", "--no-cache", "--no-tools", "--quiet", "--approvals", "durable", "--jobs", jobs)
	stop()
	if err != nil {
		return err
	}
	var run exported
	if err := r.Read(ctx, &run, "runs", "export", "latest"); err != nil {
		return err
	}
	r.local[file] = results(&run, "local")
	return nil
}

// results returns what came of the steps of a run, without its name.
func results(run *exported, name string) map[string]stepResult {
	steps := map[string]stepResult{"": {run.Result.Status, strings.ReplaceAll(run.Result.Output, name, "NAME")}}
	for id, s := range run.Result.Steps {
		s.Output = strings.ReplaceAll(s.Output, name, "NAME")
		steps[id] = s
	}
	return steps
}

// answer answers the question of a run until its context ends: one that is not asked yet, or
// was answered before, is refused.
func (r *rounds) answer(ctx context.Context, run string) {
	for ctx.Err() == nil {
		if _, err := r.Command(ctx, "runs", "approve", run, "where", "--choice", "left"); err == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// round starts runs and kills processes until they have ended.
func (r *rounds) round(ctx context.Context, n int) error {
	r.rounds++
	files, names, ids := []string{}, []string{}, []string{}
	answering, stop := context.WithCancel(ctx)
	defer stop()
	for i := range r.opts.runs + 1 {
		name, file := fmt.Sprintf("r%dx%d", n, i), graphFile
		if i == r.opts.runs {
			file = nestedFile
		}
		out, err := r.Command(ctx, "run", file, "--engine", "temporal", "--detach", "--param", "name="+name, "--no-cache", "--no-tools", "--jobs", jobs)
		if err != nil {
			return err
		}
		id := strings.TrimSpace(string(out))
		files, names, ids = append(files, file), append(names, name), append(ids, id)
		if file == graphFile {
			go r.answer(answering, id)
		}
		r.runs++
	}
	kills := 0
	if n > 0 {
		kills = 1 + r.random.IntN(5)
	}
	deadline := time.Now().Add(3 * time.Minute)
	for open := slices.Clone(ids); len(open) > 0; {
		if kills > 0 {
			kills--
			time.Sleep(time.Duration(r.random.Float64() * float64(3*time.Second)))
			if err := r.kill(); err != nil {
				return err
			}
		} else {
			time.Sleep(300 * time.Millisecond)
		}
		var list []struct {
			ID     string `json:"run_id"`
			Status string `json:"status"`
		}
		if err := r.Read(ctx, &list, "runs", "list", "--json"); err != nil {
			return err
		}
		for _, run := range list {
			if run.Status != "running" && run.Status != "waiting" {
				open = slices.DeleteFunc(open, func(id string) bool { return id == run.ID })
			}
		}
		if time.Now().After(deadline) {
			r.lost += len(open)
			r.say("round %d: not ended: %v", n, open)
			break
		}
	}
	for i, id := range ids {
		if err := r.check(ctx, files[i], names[i], id); err != nil {
			return err
		}
	}
	return nil
}

// kill kills a worker or the server, and starts another.
func (r *rounds) kill() error {
	if r.random.IntN(4) == 0 || r.serversKilled == 0 && r.workersKilled > 0 { // each once at least
		r.serversKilled++
		if err := r.Temporal.Kill(); err != nil {
			return err
		}
		time.Sleep(time.Duration(r.random.Float64() * float64(r.opts.away)))
		return r.Temporal.Restart()
	}
	for range 1 + r.random.IntN(r.Workers()) {
		r.workersKilled++
		if log := r.KillWorker(r.random.IntN(r.Workers())); log != "" {
			r.say("a worker had ended by itself: %s", log)
			r.wrong++
		}
	}
	for r.Workers() < r.opts.workers {
		if err := r.AddWorker(); err != nil {
			return err
		}
	}
	return nil
}

// check compares a run with what the service counted, and with the run of one process.
func (r *rounds) check(ctx context.Context, file, name, id string) error {
	var run exported
	if err := r.Read(ctx, &run, "runs", "export", id); err != nil {
		return err
	}
	if run.Result.Status != "completed" {
		r.lost++
		r.say("%s (%s) is %s", name, id, run.Result.Status)
	}
	got := results(&run, name)
	for step, want := range r.local[file] {
		if got[step] != want {
			r.wrong++
			a, _ := json.Marshal(got[step])
			b, _ := json.Marshal(want)
			r.say("%s: step %q is %s, and locally %s", name, step, a, b)
		}
	}
	names := map[string]string{}
	for _, ev := range run.Events {
		at := ev.Step + " " + ev.Item
		if m := stand.UnitOf.FindStringSubmatch(ev.Detail.Task); ev.Type == "step_started" && m != nil {
			names[at] = m[2]
		}
		if ev.Type != "step_finished" || names[at] == "" {
			continue
		}
		times := r.Service.Times(name, names[at])
		if len(times) == 0 {
			r.missing++
			r.say("%s: %s has finished, and was not asked for", name, names[at])
		}
		r.units++
		r.requests += len(times)
		r.cut += max(0, len(times)-1)
		for _, asked := range times {
			if asked.After(ev.Time) {
				r.again++
				r.say("%s: %s was asked for %s after it had finished", name, names[at], asked.Sub(ev.Time))
			}
		}
	}
	return nil
}
