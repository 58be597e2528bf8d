//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

const (
	loopTurns = 20 // that call tools
	loopCalls = 2  // in each

	// maxProcesses is how many processes a run may take: more than it is killed.
	maxProcesses = 20
)

const workflow = `name: loop
steps:
  - {id: work, agent: worker, task: Work through the list.}
  - {id: report, agent: worker, task: Report., dependencies: [work]}
`

const worker = `---
name: worker
description: works
model: haiku
tools: Read, Grep, Write, Edit, Bash
---
You work.
`

// round is one run that is killed and resumed until it is done.
type round struct {
	programs, dir string
	random        *rand.Rand    // nil to kill nothing
	took          time.Duration // what a run takes that is not killed, about

	counts
	problems []string

	service *child.Service
	watch   *watch
	id      string // of the run; empty while there is none
	was     state  // at the last look
}

func (r *round) say(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *round) project() string { return filepath.Join(r.dir, "project") }

// program returns the program that the round runs.
func (r *round) program() *child.Program {
	return &child.Program{Binary: filepath.Join(r.programs, "claude-force"), Home: r.dir, Dir: r.project(), URL: r.service.URL}
}

// run plays the round. What was found is in the counts.
func (r *round) run(ctx context.Context) (err error) {
	r.Rounds, r.Turns, r.Calls = 1, loopTurns+2, loopTurns*loopCalls
	if err := r.prepare(); err != nil {
		return err
	}
	if r.service, err = child.Serve(ctx, filepath.Join(r.programs, "service")); err != nil {
		return err
	}
	defer r.service.Stop()
	if r.watch, err = newWatch(r.project()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.watch.close()) }()
	kills := 0
	if r.random != nil { // one, and up to five more, each with a chance of three in four
		for kills = 1; kills < 6 && r.random.IntN(4) > 0; kills++ {
		}
	}
	for range maxProcesses {
		killed, err := r.process(ctx, kills > 0)
		if err != nil {
			return err
		}
		kills--
		status, err := r.look(ctx)
		if err != nil {
			return err
		}
		if status == "completed" {
			return r.verify(ctx)
		}
		if !killed {
			return fmt.Errorf("the process ended by itself, and the run is %q", status)
		}
	}
	return fmt.Errorf("the run is not done after %d processes", maxProcesses)
}

func (r *round) prepare() error {
	var err error
	for path, text := range map[string]string{
		"project/wf.yaml": workflow, "project/.claude/agents/worker.md": worker,
		"project/data.txt": fmt.Sprintf("one line\nsecret=s%x\n", rand.Uint64()), "project/log.txt": "# end\n",
		"outside/effects": "",
	} {
		path = filepath.Join(r.dir, path)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
	}
	return err
}

// process starts the run or goes on with it, and kills it at a moment.
func (r *round) process(ctx context.Context, kill bool) (killed bool, err error) {
	args := []string{"run", "wf.yaml", "--no-cache", "--allow", "Read,Grep,Write,Edit,Bash", "--add-dir", filepath.Join(r.dir, "outside")}
	if r.id != "" {
		args = []string{"runs", "resume", r.id}
		r.Resumes++
	}
	after := time.Duration(-1)
	if kill {
		left := float64(r.took) * (0.1 + 0.9*(1-float64(len(r.was.turns))/(loopTurns+2)))
		after = time.Duration(r.random.Float64() * left)
	}
	if killed, err = r.program().RunAndKill(ctx, after, args...); killed {
		r.Kills++
	}
	return killed, err
}

// look compares the journal with what the service and the tools counted.
func (r *round) look(ctx context.Context) (status string, err error) {
	left, err := child.AwaitEnd(ctx, r.dir)
	if err != nil {
		return "", err
	}
	if len(left) > 0 {
		r.Left += len(left)
		r.say("processes are left: %v", left)
	}
	if err := r.service.Settle(ctx); err != nil {
		return "", err
	}
	var is state
	if err := r.service.Get(ctx, "/log?key=key", &is.log); err != nil {
		return "", err
	}
	if is.effects, err = readEffects(r.dir); err != nil {
		return "", err
	}
	if is.written, err = r.watch.counts(); err != nil {
		return "", err
	}
	if status, err = r.find(ctx, len(is.log)); err != nil || r.id == "" {
		return "", err
	}
	var run exported
	if err := r.program().Read(ctx, &run, "runs", "export", r.id); err != nil {
		r.Lost++
		return "", err
	}
	if err := is.takeJournal(&run); err != nil {
		return "", err
	}
	r.compare(&is)
	if status == "completed" {
		r.compareEnd(&is)
	}
	r.was = is
	return status, nil
}

// find looks for the run in the list of runs and returns its status.
func (r *round) find(ctx context.Context, sent int) (status string, err error) {
	r.id, status, err = r.program().FindRun(ctx, r.id, r.Unbegun, sent > 0)
	switch {
	case errors.Is(err, child.ErrLost):
		r.Lost++
	case err == nil && r.id == "":
		r.Unbegun++
	}
	return status, err
}

// verify has the program compare its own accounts.
func (r *round) verify(ctx context.Context) error {
	if err := r.program().Read(ctx, nil, "analytics", "verify"); err != nil {
		r.Wrong++
		r.say("%v", err)
	}
	var shown struct {
		Result struct {
			Steps map[string]struct {
				Output    string `json:"output"`
				Turns     int    `json:"turns"`
				ToolCalls int    `json:"tool_calls"`
			} `json:"steps"`
		} `json:"result"`
	}
	if err := r.program().Read(ctx, &shown, "runs", "show", r.id, "--json"); err != nil {
		return err
	}
	if work := shown.Result.Steps["work"]; work.Output != "All done." || work.Turns != loopTurns+1 || work.ToolCalls != loopTurns*loopCalls {
		r.Wrong++
		r.say("the step is shown as %+v", work)
	}
	return nil
}

// compare finds what must not have happened since the last look.
func (r *round) compare(is *state) {
	r.Sent = len(is.log)
	attempts, results := map[int]int{}, map[int]received{}
	r.Forgotten, r.Cut = 0, 0
	for i, req := range is.log {
		if req.Problem != "" && i >= len(r.was.log) {
			r.Wrong++
			r.say("turn %d: %s", req.Turn, req.Problem)
		}
		if was, ok := results[req.Turn]; ok {
			r.Cut++
			if was.Results != req.Results {
				r.Forgotten++
				if len(req.Interrupted) <= len(was.Interrupted) {
					r.Wrong++
					r.say("turn %d was sent with other results", req.Turn)
				}
			}
		}
		results[req.Turn] = req
		if i < len(r.was.log) {
			continue
		}
		attempts[req.Turn]++
		if attempts[req.Turn] > 1 {
			r.Twice++
			r.say("turn %d was sent twice by one process", req.Turn)
		}
		if r.was.turns[req.Turn] != "" {
			r.Again++
			r.say("turn %d had finished and was sent again", req.Turn)
		}
		if before := turnBefore(req.Turn); before > 0 && is.turns[before] == "" {
			r.Early++
			r.say("turn %d was sent before turn %d was durable", req.Turn, before)
		}
	}
	for turn, id := range r.was.turns {
		if is.turns[turn] != id {
			r.Lost++
			r.say("turn %d is not finished any more", turn)
		}
	}
	for id, call := range r.was.calls {
		if call.finished && is.calls[id] != call {
			r.Lost++
			r.say("call %s was %+v and is %+v", id, call, is.calls[id])
		}
	}
	r.compareEffects(is)
}

// turnBefore returns the turn whose answer must be durable before a turn is sent.
func turnBefore(turn int) int {
	if turn == 0 { // the step after the loop
		return loopTurns + 1
	}
	return turn - 1
}

// compareEffects finds calls that had effects more often than they may.
func (r *round) compareEffects(is *state) {
	r.Repeated, r.Strange = len(is.doubled), 0
	if len(is.doubled) > 0 {
		r.say("by the journal, calls started or finished twice: %v", is.doubled)
	}
	for at, marks := range is.effects {
		if len(marks) > 1 {
			r.Repeated += len(marks) - 1
			r.say("call %d of turn %d had its effect %d times", at.call, at.turn, len(marks))
		}
		for _, m := range marks {
			if !is.calls[m.id()].started {
				r.Strange++
				r.say("there is an effect of %s, which had not started by the journal", m.id())
			}
		}
	}
	for file, n := range is.written {
		if most := is.writers(file); n > most {
			r.Repeated += n - most
			r.say("%s was written %d times by %d calls", file, n, most)
		}
	}
}

// compareEnd compares what all calls did with what the journal says of them.
func (r *round) compareEnd(is *state) {
	if len(is.turns) != loopTurns+2 { // the last of the loop, and the step after it
		r.Wrong++
		r.say("%d turns are in the journal", len(is.turns))
	}
	reported := map[string]bool{}
	for _, req := range is.log {
		for _, id := range req.Interrupted {
			reported[id] = true
		}
		for _, id := range req.Failed {
			if !slices.ContainsFunc(req.Interrupted, func(other string) bool {
				return turnOf(other) == turnOf(id) // an edit of what an interrupted write did not write
			}) {
				r.Wrong++
				r.say("call %s failed", id)
			}
		}
	}
	writes := map[string]int{}
	for turn := 1; turn <= loopTurns; turn++ {
		for n := 1; n <= loopCalls; n++ {
			id := idOf(turn, n, is.turns[turn])
			call := is.calls[id]
			if !call.finished || call.interrupted != reported[id] {
				r.Wrong++
				r.say("call %s is %+v in the journal; reported as interrupted: %t", id, call, reported[id])
			}
			if call.interrupted {
				r.Interrupted++
				r.Done += len(is.effects[place{turn, n}])
			}
			if !changes(call.tool, turn, n) || call.failed {
				continue
			}
			if len(is.effects[place{turn, n}]) != 1 {
				r.Missing++
				r.say("call %s has finished, and its effect is not there", id)
			}
			if file := fileOf(call.tool, turn); file != "" {
				writes[file]++
			}
		}
	}
	for file, n := range writes {
		if is.written[file] < n {
			r.Missing += n - is.written[file]
			r.say("%s was written %d times by %d calls", file, is.written[file], n)
		}
	}
}
