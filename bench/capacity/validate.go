//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// real are the runs of ./bench/agents that are predicted: one whose time is that of the
// model's calls, and one in which the processor has most to do.
var real = []struct {
	agents, turns int
	call          time.Duration
}{{50, 10, time.Second}, {50, 10, 20 * time.Millisecond}}

// took finds the two runs that bench/agents prints.
var took = regexp.MustCompile(`(?m)^a slot (each|for two).* +[\d.]+s +([\d.]+)s +`)

// compareWithAgents predicts how long runs of ./bench/agents take on this machine, runs them,
// and prints both. Other work takes a part of the processor: what is left of it is
// measured before and after each run, and the prediction counts on that.
func compareWithAgents(ctx context.Context, c constants, out io.Writer) error {
	fmt.Fprintf(out, "%-52s %10s %10s %10s %8s\n", "", "processor", "predicted", "measured", "ratio")
	for _, r := range real {
		before := freeShare()
		text, err := runCommand(ctx, fmt.Sprintf("go run ./bench/agents -agents %d -turns %d -call %s", r.agents, r.turns, r.call))
		if err != nil {
			return err
		}
		share := (before + freeShare()) / 2
		for i, name := range []string{"a slot each", "a slot for two"} {
			slots, tool := r.agents, r.call/5
			if i == 1 {
				slots, tool = (r.agents+1)/2, r.call
			}
			want := loops(c.slower(share), r.agents, r.turns, slots, r.call, tool)
			measured := 0.0
			for _, found := range took.FindAllStringSubmatch(text, -1) { // the last of several attempts
				if "a slot "+found[1] == name {
					measured, _ = strconv.ParseFloat(found[2], 64) // digits
				}
			}
			if measured == 0 {
				return fmt.Errorf("bench/agents printed something else:\n%s", text)
			}
			label := fmt.Sprintf("%d agents, %d turns, calls of %v, %s", r.agents, r.turns, r.call, name)
			fmt.Fprintf(out, "%-52s %8.0f %% %9.2fs %9.2fs %8.3f\n", label, 100*share, want.Seconds(), measured, want.Seconds()/measured)
		}
	}
	return nil
}

// freeShare returns the share of the processor that this process gets, if it takes all that
// it can get for a second.
func freeShare() float64 {
	start, used := time.Now(), processorTime()
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for time.Since(start) < time.Second {
			}
		})
	}
	all.Wait()
	return (processorTime() - used).Seconds() / time.Since(start).Seconds() / float64(runtime.GOMAXPROCS(0))
}

// processorTime returns the time that this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for wrong arguments only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// slower returns the constants of a process that gets a share of its processor.
func (cs constants) slower(share float64) constants {
	list := slices.Clone(cs)
	for i := range list {
		if strings.HasPrefix(list[i].Name, "worker_") {
			list[i].Value /= share
		}
	}
	return list
}

// loops returns how long agents take that each make so many calls, with a tool between
// two, in one process with a store in SQLite.
func loops(c constants, agents, turns, slots int, call, tool time.Duration) time.Duration {
	w := standard()
	w.Store, w.Workers, w.Machines, w.Jobs, w.Cores = "sqlite", 1, 1, slots, runtime.GOMAXPROCS(0)
	w.Identical, w.Refused, w.Spread = 0, 0, 0
	w.Requests, w.InputMin, w.OutputMin = 0, 0, 0
	w.FirstToken, w.TokenRate = call, 0
	w.Pools, w.Events = 1, 2
	m := newModel(w, c, 1)
	for range agents {
		left := turns
		var turn func()
		turn = func() {
			if left--; left == 0 {
				return
			}
			m.sim.After(tool, func() { m.call(turn) })
		}
		m.call(turn)
	}
	m.sim.Drain()
	return m.sim.Now()
}
