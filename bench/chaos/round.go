//go:build unix

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/sim"
)

// round is one run that is disturbed until it is done.
type round struct {
	scenario  *scenario
	opts      options
	home, dir string
	name      string // of the workflow
	rng       *rand.Rand

	work *workload
	ref  *reference
	cmd  command
	sim  *simulator

	counts
	clear    int
	problems []string

	id       string // of the run; empty while there is none
	killed   bool   // the process before
	finished map[string]bool
	seen     map[string]sim.RequestCount // when it was last looked, by unit
}

// maxProcesses is how many processes a run may take: more than blows can ask for.
const maxProcesses = 20

func (r *round) say(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// run runs the round. The error is for what stopped it; what was found is in
// the counts.
func (r *round) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	if r.work, err = r.scenario.work(r.dir, r.name, r.rng); err != nil {
		return err
	}
	r.cmd = command{binary: r.opts.binary, dir: r.dir, home: r.home}
	if r.ref, err = runReference(ctx, r.cmd, r.work, 1/r.opts.faster); err != nil {
		return err
	}
	if r.scenario.secret {
		key := make([]byte, 32)
		for i := range key { // the same in all rounds, which share a store
			key[i] = byte(r.opts.seed) ^ byte(i)
		}
		r.cmd.key = hex.EncodeToString(key)
	}
	if r.sim, err = startSimulator(ctx, r.opts.binary, r.dir, 1/r.opts.faster); err != nil {
		return err
	}
	defer r.sim.stop()
	r.cmd.url = r.sim.url
	if r.scenario.fails {
		if err := r.sim.fail(ctx, marker+r.work.first+"]"); err != nil {
			return err
		}
	}
	r.finished, r.seen = map[string]bool{}, map[string]sim.RequestCount{}
	blows := r.scenario.blows(r.rng)
	for range maxProcesses {
		next := blow{}
		if len(blows) > 0 {
			next, blows = blows[0], blows[1:]
		}
		done, err := r.process(ctx, next)
		if err != nil || done {
			return err
		}
	}
	return fmt.Errorf("the run was not done after %d processes", maxProcesses)
}

// process starts or resumes the run, and checks the outcome.
func (r *round) process(ctx context.Context, next blow) (done bool, err error) {
	args := []string{"run", r.work.file, "--json"}
	if !r.scenario.cached {
		args = append(args, "--no-cache")
	}
	if r.id != "" {
		args = []string{"runs", "resume", r.id, "--json"}
		r.Resumes++
	}
	after := make([]time.Duration, len(next.signals))
	for i := range after {
		after[i] = between(r.rng, r.left()/time.Duration(len(after)))
	}
	suffer := r.cmd.suffer
	if r.scenario.rivals && r.id != "" {
		suffer = r.rival
	}
	d, err := suffer(ctx, next.signals, after, args...)
	if err != nil {
		return false, err
	}
	switch {
	case d.killed() && next.signals[0] == syscall.SIGKILL:
		r.Kills++
	case d.code == 130 || d.killed(): // an interrupt kills who does not listen yet
		r.Interrupts++
	}
	status, err := r.look(ctx)
	if err != nil {
		return false, err
	}
	if d.code == 0 {
		var res result
		if err := json.Unmarshal(d.stdout, &res); err != nil {
			return false, fmt.Errorf("reading the result: %w", err)
		}
		r.compare("printed", &res)
	}
	defer func() { r.killed = d.killed() }()
	return r.judge(d, status)
}

// rival runs a command twice at once. One of the two must be refused.
func (r *round) rival(ctx context.Context, signals []os.Signal, after []time.Duration, args ...string) (*death, error) {
	var other *death
	var failed error
	var running sync.WaitGroup
	running.Go(func() { other, failed = r.cmd.suffer(ctx, signals, after, args...) })
	d, err := r.cmd.suffer(ctx, signals, after, args...)
	running.Wait()
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	r.Resumes++
	if d.code != 0 {
		d, other = other, d
	}
	if d.code != 0 || other.code != 2 {
		return nil, fmt.Errorf("of two processes at once, one ended with %d: %s and one with %d: %s", d.code, d.stderr, other.code, other.stderr)
	}
	r.Refused++
	return d, nil
}

// left estimates how long the run would take if it were not killed.
func (r *round) left() time.Duration {
	share := 1 - float64(len(r.finished))/float64(len(r.ref.units))
	return time.Duration((0.2 + 0.8*share) * float64(r.ref.took)) // reading the journal takes a while, too
}

// judge reports whether the run is done, from how its process ended and what the
// list of runs says.
func (r *round) judge(d *death, status string) (done bool, err error) {
	switch {
	case status == "completed" && (d.code == 0 || d.struck > 0):
		return true, nil
	case status == "completed" && d.code == 2 && r.killed:
		// SQLite may show the last commit of a killed process only to those who open
		// the store after all others have closed it: the run had ended before.
		return true, nil
	case d.code == 0:
		return false, fmt.Errorf("the process ended well, but the run is %s", status)
	case d.code == 1 && r.scenario.fails && status == "failed":
		return false, nil
	case d.code == 130 && (status == "interrupted" || status == ""):
		return false, nil
	case d.killed():
		return false, nil
	}
	return false, fmt.Errorf("exit code %d, the run is %s: %s", d.code, status, d.stderr)
}

// exported is a run as `runs export` prints it.
type exported struct {
	Events []struct {
		Type   string `json:"type"`
		Step   string `json:"step"`
		Item   string `json:"item"`
		Detail struct {
			Task string `json:"task"`
		} `json:"detail"`
	} `json:"events"`
	Result result `json:"result"`
}

// finishedUnits returns those that the journal has the ends of.
func (e *exported) finishedUnits() map[string]bool {
	units, finished := map[string]string{}, map[string]bool{}
	for _, ev := range e.Events {
		at := ev.Step + "[" + ev.Item
		if unit, ok := unitOf(ev.Detail.Task); ok {
			units[at] = unit
		}
		if ev.Type == "step_finished" && units[at] != "" {
			finished[units[at]] = true
		}
	}
	return finished
}

// look compares the journal with what the simulator has counted.
func (r *round) look(ctx context.Context) (status string, err error) {
	seen, err := r.requests(ctx)
	if err != nil {
		return "", err
	}
	status, err = r.find(ctx)
	if err != nil || r.id == "" {
		return "", err
	}
	var run exported
	if err := r.cmd.read(ctx, &run, "runs", "export", r.id); err != nil {
		r.Lost++
		return "", err
	}
	r.check(seen, run.finishedUnits())
	if r.scenario.secret {
		n, err := inClear(r.home)
		r.clear += n
		if err != nil {
			return "", err
		}
	}
	if status == "completed" {
		r.Units += len(r.ref.units)
		r.compare("written down", &run.Result)
		if len(r.finished) != len(r.ref.units) {
			r.say("%d of %d calls are in the journal", len(r.finished), len(r.ref.units))
			r.Differing++
		}
	}
	return status, nil
}

// find looks for the run in the list of runs, and gives its status.
func (r *round) find(ctx context.Context) (status string, err error) {
	var list []struct {
		ID     string `json:"run_id"`
		Status string `json:"status"`
		Steps  int    `json:"steps"`
	}
	if err := r.cmd.read(ctx, &list, "runs", "list", "--workflow", r.name, "--json"); err != nil {
		return "", err
	}
	if len(list) == 0 {
		if r.id != "" || r.Sent > 0 {
			r.Lost++
			return "", fmt.Errorf("there is no run after %d calls", r.Sent)
		}
		r.Unbegun++
		return "", nil
	}
	// A process that dies while its run is made durable has promised nothing yet, and
	// may leave a run that others see only later. Nothing was asked for it.
	r.Late = len(list) - 1
	for _, late := range list[1:] {
		if late.Steps > 0 || r.Late > r.Unbegun {
			r.Lost++
			return "", fmt.Errorf("there are %d runs after %d deaths without one, and %s has %d steps", len(list), r.Unbegun, late.ID, late.Steps)
		}
	}
	if r.id == "" {
		r.id = list[0].ID
	}
	if r.id != list[0].ID {
		r.Lost++
		return "", fmt.Errorf("run %s is now %s", r.id, list[0].ID)
	}
	return list[0].Status, nil
}

// requests returns what the simulator has counted, by unit.
func (r *round) requests(ctx context.Context) (map[string]sim.RequestCount, error) {
	counted, err := r.sim.counted(ctx)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]sim.RequestCount, len(counted))
	r.Sent, r.Unknown, r.Repaid = 0, 0, 0
	for sum, n := range counted {
		r.Sent += n.Started
		r.Repaid += max(0, n.Answered-1)
		if unit, known := r.ref.units[sum]; known {
			seen[unit] = n
		} else {
			r.Unknown++
		}
	}
	return seen, nil
}

// check finds calls that should not have been made since the last look.
func (r *round) check(seen map[string]sim.RequestCount, finished map[string]bool) {
	for _, unit := range slices.Sorted(maps.Keys(seen)) {
		n, was := seen[unit], r.seen[unit]
		started, answered := n.Started-was.Started, n.Answered-was.Answered
		if started == 0 {
			continue
		}
		if r.finished[unit] {
			r.Again += started
			r.say("%s had finished and was sent again", unit)
		} else if started > 1 {
			r.Twice += started - 1
			r.say("%s was sent %d times by one process", unit, started)
		}
		for _, d := range r.work.needs[unit] {
			if !finished[d] {
				r.Early++
				r.say("%s was sent before %s was durable", unit, d)
			}
		}
		if !finished[unit] {
			r.Answered += answered
			r.Cut += started - answered
		}
	}
	for unit := range r.finished {
		if !finished[unit] {
			r.Lost++
			r.say("%s is not finished any more", unit)
		}
	}
	r.finished, r.seen = finished, seen
}

// compare finds results that differ from the undisturbed run's.
func (r *round) compare(which string, res *result) {
	got := res.outputs()
	for _, unit := range slices.Sorted(maps.Keys(r.ref.outputs)) {
		if got[unit] != r.ref.outputs[unit] {
			r.Differing++
			r.say("the result of %s, as %s, differs from the undisturbed one", unit, which)
		}
	}
	if len(got) != len(r.ref.outputs) {
		r.Differing++
		r.say("%d results, as %s; undisturbed there are %d", len(got), which, len(r.ref.outputs))
	}
}
