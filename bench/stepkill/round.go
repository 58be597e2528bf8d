//go:build linux

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

//go:embed workflow.yaml
var workflow []byte

// script is what each command does: it takes a while, leaves its mark and says so.
const script = "sleep 0.02\necho \"$1\" >> marks.txt\nsleep 0.02\necho \"did $1\"\nexit ${2:-0}\n"

const worker = "---\nname: worker\ndescription: works\nmodel: haiku\ntools: Read\n---\nYou work.\n"

// maxProcesses is how many processes a run may take: more than it is killed.
const maxProcesses = 20

// once are the units that must not be done twice.
var once = []string{"one", "/post"}

// ending is what comes of a run: the status and output of each step, and the files.
type ending struct {
	took  time.Duration
	steps map[string]stepResult
	files map[string]string
	done  map[string]int
}

type stepResult struct {
	Status string `json:"status"`
	Output string `json:"output"`
}

// round is one run that is killed and resumed until it is done.
type round struct {
	programs, dir string
	random        *rand.Rand // nil to kill nothing
	whole         *ending    // of the undisturbed run
	end           ending

	counts
	problems []string

	web      *web
	id       string         // of the run; empty while there is none
	done     map[string]int // how often each unit was done, at the last look
	finished map[string]bool
}

func newRound(programs, name string, random *rand.Rand, whole *ending) *round {
	return &round{programs: programs, dir: filepath.Join(programs, "round-"+name), random: random, whole: whole,
		done: map[string]int{}, finished: map[string]bool{}}
}

func (r *round) say(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *round) project() string { return filepath.Join(r.dir, "project") }

// program returns the program that the round runs.
func (r *round) program() *child.Program {
	return &child.Program{Binary: filepath.Join(r.programs, "claude-force"), Home: r.dir, Dir: r.project(), URL: r.web.URL}
}

// run plays the round. What was found is in the counts.
func (r *round) run(ctx context.Context) error {
	r.rounds = 1
	for path, text := range map[string]string{
		"wf.yaml": string(workflow), ".claude/agents/worker.md": worker, "mark.sh": script, "data.csv": "name,score\nAnn,1.10\nBob,7\n", "marks.txt": "",
	} {
		path = filepath.Join(r.project(), path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			return err
		}
	}
	r.web = newWeb()
	defer r.web.Close()
	kills := 0
	if r.random != nil { // one, and up to seven more, each with a chance of four in five
		for kills = 1; kills < 8 && r.random.IntN(5) > 0; kills++ {
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
			return r.compareEnd(ctx)
		}
		if !killed {
			return fmt.Errorf("the process ended by itself, and the run is %q", status)
		}
	}
	return fmt.Errorf("the run is not done after %d processes", maxProcesses)
}

// process starts the run or goes on with it, and kills it at a moment. Meanwhile its
// questions are answered.
func (r *round) process(ctx context.Context, kill bool) (killed bool, err error) {
	grants := []string{"--allow", "Bash", "--allow", "Edit(out/**)", "--allow", "WebFetch(domain:127.0.0.1)"}
	args := append([]string{"run", "wf.yaml", "--no-cache", "--param", "web=" + r.web.URL}, grants...)
	if r.id != "" {
		args = append([]string{"runs", "resume", r.id}, grants...)
		r.resumes++
	}
	after := time.Duration(-1)
	if kill {
		left := float64(r.whole.took) * (0.1 + 0.9*(1-float64(len(r.finished))/float64(len(r.whole.done))))
		after = time.Duration(r.random.Float64() * left)
	}
	answering, stop := context.WithCancel(ctx)
	answered := make(chan struct{})
	go func() { r.answer(answering); close(answered) }()
	killed, err = r.program().RunAndKill(ctx, after, args...)
	stop()
	<-answered
	if killed {
		r.kills++
	}
	return killed, err
}

// answer answers the questions of the run, again and again until its context ends: one
// that is not asked yet, or was answered before, is refused.
func (r *round) answer(ctx context.Context) {
	for {
		for _, args := range [][]string{{"approve", "latest", "where", "--choice", "left"}, {"reject", "latest", "no", "--reason", "not today"}} {
			_ = r.program().Command(ctx, append([]string{"runs"}, args...)...).Run()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// exported is a run as runs export prints it.
type exported struct {
	Events []struct {
		Type   string `json:"type"`
		Step   string `json:"step"`
		Item   string `json:"item"`
		Detail struct {
			Task string `json:"task"`
		} `json:"detail"`
	} `json:"events"`
	Result struct {
		Steps map[string]stepResult `json:"steps"`
	} `json:"result"`
}

// finishedUnits returns the units whose ends are in the journal, by what they do.
func (e *exported) finishedUnits() map[string]bool {
	names, finished := map[string]string{}, map[string]bool{}
	for _, ev := range e.Events {
		at := ev.Step + " " + ev.Item
		switch name := doing(ev.Detail.Task); {
		case ev.Type == "step_started" && name != "":
			names[at] = name
		case ev.Type == "step_finished" && names[at] != "":
			finished[names[at]] = true
		}
	}
	return finished
}

// doing returns the mark of the command, the path of the request or the unit of the agent
// that a task is; empty for another.
func doing(task string) string {
	if ask := unitOf.FindString(task); ask != "" {
		return ask
	}
	var act struct {
		Args []string `json:"args"`
		URL  string   `json:"url"`
	}
	if json.Unmarshal([]byte(task), &act) != nil {
		return ""
	}
	if len(act.Args) > 2 {
		return act.Args[2]
	}
	if at, err := url.Parse(act.URL); err == nil {
		return at.Path
	}
	return ""
}

// look compares the journal with what was counted.
func (r *round) look(ctx context.Context) (status string, err error) {
	left, err := child.AwaitEnd(ctx, r.dir)
	if err != nil {
		return "", err
	}
	if len(left) > 0 {
		r.wrong += len(left)
		r.say("processes are left: %v", left)
	}
	done, err := r.web.counted(ctx)
	if err != nil {
		return "", err
	}
	marks, err := os.ReadFile(filepath.Join(r.project(), "marks.txt"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(marks)) {
		done[strings.TrimSpace(line)]++
	}
	if status, err = r.find(ctx, len(done) > 0); err != nil || r.id == "" {
		return "", err
	}
	var run exported
	if err := r.program().Read(ctx, &run, "runs", "export", r.id); err != nil {
		r.lost++
		return "", err
	}
	r.end.steps = run.Result.Steps
	r.compare(done, run.finishedUnits())
	return status, nil
}

// find looks for the run in the list of runs and returns its status.
func (r *round) find(ctx context.Context, started bool) (status string, err error) {
	r.id, status, err = r.program().FindRun(ctx, r.id, r.unbegun, started)
	switch {
	case errors.Is(err, child.ErrLost):
		r.lost++
	case err == nil && r.id == "":
		r.unbegun++
	}
	return status, err
}

// compare finds what must not have happened since the last look.
func (r *round) compare(done map[string]int, finished map[string]bool) {
	for _, unit := range slices.Sorted(maps.Keys(done)) {
		switch more := done[unit] - r.done[unit]; {
		case more == 0:
			continue
		case r.finished[unit]:
			r.again += more
			r.say("%s had finished and was done again", unit)
		case more > 1:
			r.twice++
			r.say("%s was done %d times by one process", unit, more)
		case r.done[unit] > 0:
			r.cut++
		}
		if done[unit] > 1 && slices.Contains(once, unit) {
			r.repeated++
			r.say("%s must not be done twice", unit)
		}
	}
	for unit := range finished {
		if done[unit] == 0 {
			r.missing++
			r.say("%s has finished, and no one has seen it", unit)
		}
	}
	for unit := range r.finished {
		if !finished[unit] {
			r.lost++
			r.say("%s is not finished any more", unit)
		}
	}
	r.done, r.finished = done, finished
}

// compareEnd compares what came of the run with the undisturbed one.
func (r *round) compareEnd(ctx context.Context) error {
	r.units = len(r.done)
	for _, n := range r.done {
		r.counts.done += n
	}
	r.end.done, r.end.files = r.done, map[string]string{}
	for _, name := range []string{"table.txt", "page.md", "last.txt"} {
		data, err := os.ReadFile(filepath.Join(r.project(), "out", name))
		if err != nil {
			return err
		}
		r.end.files[name] = string(data)
	}
	if r.whole == nil {
		return ctx.Err()
	}
	for id, want := range r.whole.steps {
		got := r.end.steps[id]
		if got == want || (id == "one" || id == "post") && got.Status == "failed" { // it was cut off
			continue
		}
		r.wrong++
		r.say("step %s is %+v; undisturbed it is %+v", id, got, want)
	}
	if !maps.Equal(r.end.files, r.whole.files) {
		r.wrong++
		r.say("the files are %q; undisturbed they are %q", r.end.files, r.whole.files)
	}
	for unit := range r.whole.done {
		step := r.end.steps[strings.TrimPrefix(unit, "/")]
		if r.done[unit] == 0 && !(slices.Contains(once, unit) && step.Status == "failed") { // else it was cut off before it did anything
			r.missing++
			r.say("%s was never done", unit)
		}
	}
	return ctx.Err()
}
