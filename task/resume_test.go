package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
)

var errKilled = errors.New("the process was killed")

// fragileLog is the journal of a process that is killed once it has written a
// number of events: what comes later is lost, and nothing goes on.
type fragileLog struct {
	kill func()

	mu     sync.Mutex
	events []journal.Event
	left   int
}

func (l *fragileLog) Append(events ...journal.Event) func() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range events {
		if l.left > 0 {
			l.events = append(l.events, ev)
			l.left--
		}
	}
	if l.left > 0 {
		return func() error { return nil }
	}
	l.kill()
	return func() error { return errKilled }
}

func (l *fragileLog) Release() error { return nil }

// turnModel answers each request by the number of turns before it, and counts how
// often each turn was sent.
type turnModel struct {
	script [][]llm.Block
	last   *llm.Request
	sent   []int
}

func (m *turnModel) Stream(_ context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	turn := len(req.Messages) / 2
	m.last = req
	m.sent[turn]++
	stop := llm.StopToolUse
	if turn == len(m.script)-1 {
		stop = llm.StopEndTurn
	}
	return func(yield func(llm.Event, error) bool) {
		yield(llm.Event{Type: llm.EventDone, Response: &llm.Response{
			Model: idOf("haiku"), Content: m.script[turn], StopReason: stop, Source: llm.SourceLive, Usage: llm.Usage{InputTokens: 10, OutputTokens: 5},
		}}, nil)
	}
}

// goTo is a tool that changes the current folder, as a command does.
type goTo struct{}

func (goTo) Definition() llm.Tool {
	return llm.Tool{Name: "go_to", InputSchema: json.RawMessage(`{"type":"object","properties":{"dir":{"type":"string"}}}`)}
}
func (goTo) Concurrent(json.RawMessage) bool { return false }
func (goTo) Call(_ context.Context, env *tool.Env, input json.RawMessage) (tool.Result, error) {
	var in struct{ Dir string }
	if err := json.Unmarshal(input, &in); err != nil {
		return tool.Result{}, err
	}
	return tool.Text("now in " + env.Cwd()), env.Chdir(in.Dir)
}

// longLoop is a loop whose calls depend on what the calls before them changed in
// the environment: what was read, the current folder, the list.
var longLoop = [][]llm.Block{
	{use("1", "Read", `{"file_path":"a.txt"}`), use("2", "Read", `{"file_path":"sub/b.txt"}`), use("3", "Glob", `{"pattern":"*.txt"}`)},
	{use("4", "go_to", `{"dir":"sub"}`), use("5", "TodoWrite", `{"todos":[{"content":"x","status":"pending","activeForm":"y"}]}`)},
	{use("6", "Edit", `{"file_path":"b.txt","old_string":"two","new_string":"zwei"}`)},
	{use("7", "Write", `{"file_path":"new.txt","content":"n"}`), use("8", "Edit", `{"file_path":"new.txt","old_string":"n","new_string":"m"}`)},
	{use("9", "Grep", `{"pattern":"zwei"}`), use("10", "Read", `{"file_path":"b.txt"}`)},
	{use("11", "go_to", `{"dir":".."}`), use("12", "Write", `{"file_path":"a.txt","content":"over"}`), use("13", "TodoWrite", `{"todos":[]}`)},
	{llm.TextBlock("done")},
}

// loopEnd is what a loop leaves.
type loopEnd struct {
	Output, Cwd string
	Messages    string
	Observed    []tool.Observation
	Todos       []tool.Todo
	Files       map[string]string
	Sent        []int
	Ended       []task.LoopEvent // without times
}

// fatal is what tests of all kinds have.
type fatal interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// untilDone runs a task in processes that are killed once they have written as many
// events as kills says, and a last one that is not. It returns the result of the one
// that was not killed before it had one, and all events.
func untilDone(t fatal, kills []int, run func(context.Context, *journal.Turns) *task.Result) (*task.Result, []journal.Event) {
	events, unit := []journal.Event(nil), journal.Unit{Step: "work"}
	for process := 0; ; process++ {
		ctx, kill := context.WithCancel(context.Background())
		log := &fragileLog{kill: kill, left: 1 << 30, events: events}
		if process < len(kills) {
			log.left = kills[process]
		}
		state, err := journal.Fold(func(yield func(journal.Event, error) bool) {
			for _, ev := range events {
				if !yield(ev, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		res := run(ctx, journal.NewTurns(log, unit, state.Unit(unit.Step, unit.Item)))
		kill()
		log.mu.Lock()
		events = slices.Clone(log.events)
		log.mu.Unlock()
		switch {
		case res.Err == nil:
			return res, events
		case process >= len(kills):
			t.Fatalf("process %d, not killed: %v", process, res.Err)
		}
	}
}

// playLoop plays longLoop until it is done; see [untilDone]. It returns what the loop
// leaves and all events.
func playLoop(t fatal, dir string, kills ...int) (loopEnd, []journal.Event) {
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, "sub"), 0o700),
		os.WriteFile(filepath.Join(dir, "a.txt"), []byte("one\n"), 0o600), os.WriteFile(filepath.Join(dir, "sub", "b.txt"), []byte("two\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	set, err := tool.NewSet(append(tool.Files(), goTo{})...)
	if err != nil {
		t.Fatal(err)
	}
	model := &turnModel{script: longLoop, sent: make([]int, len(longLoop))}
	var env *tool.Env
	var ended []task.LoopEvent
	res, events := untilDone(t, kills, func(ctx context.Context, turns *journal.Turns) *task.Result {
		r := newRunner(model, &agent.Agent{Name: "a"})
		r.Tools = func(context.Context, *agent.Agent, task.Task) (*task.Tools, error) {
			return &task.Tools{Set: set, Env: func() (opened *tool.Env, err error) {
				env, err = tool.NewEnv(dir, tool.Options{RequireRead: true})
				return env, err
			}}, nil
		}
		r.OnLoop = func(_ context.Context, ev task.LoopEvent) {
			ev.Start, ev.Duration = time.Time{}, 0
			ended = append(ended, ev)
		}
		return r.Run(ctx, task.Task{Agent: "a", Prompt: "work", Turns: turns}, nil)
	})
	end := loopEnd{Output: res.Output, Cwd: env.Cwd(), Observed: env.Observed(), Todos: env.Todos(), Files: map[string]string{}, Sent: model.sent, Ended: ended}
	messages, err := json.Marshal(model.last.Messages)
	if err != nil {
		t.Fatal(err)
	}
	end.Messages = string(messages)
	for _, name := range []string{"a.txt", "sub/b.txt", "sub/new.txt"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		end.Files[name] = string(data)
	}
	// What was seen at once has no order.
	slices.SortFunc(end.Observed, func(a, b tool.Observation) int {
		return slices.Compare([]string{a.Kind, a.Name, a.Digest}, []string{b.Kind, b.Name, b.Digest})
	})
	return end, events
}

// look is a tool that sees something. Its calls end once two have, in all processes.
type look struct {
	seen *atomic.Int32
	two  *sync.WaitGroup
}

func (look) Definition() llm.Tool             { return llm.Tool{Name: "look"} }
func (look) Concurrent(json.RawMessage) bool  { return true }
func (look) Sight(json.RawMessage) tool.Sight { return tool.SightNoted }
func (l look) Call(_ context.Context, env *tool.Env, input json.RawMessage) (tool.Result, error) {
	env.NoteSeen(tool.Observation{Kind: "look", Name: string(input)})
	if l.seen.Add(1) <= 2 {
		l.two.Done()
	}
	l.two.Wait()
	return tool.Text("seen"), nil
}

// TestACallKeepsWhatItChanged lets two calls run at once that have both changed the
// environment before one of them ends, and kills the process between the two ends: the
// one that runs again changes the environment a second time in the next process, and
// what the other changed is there.
func TestACallKeepsWhatItChanged(t *testing.T) {
	t.Parallel()
	for kill := 1; kill <= 3; kill++ {
		model := &turnModel{script: [][]llm.Block{{use("1", "look", `{"at":1}`), use("2", "look", `{"at":2}`)}, {llm.TextBlock("done")}}, sent: make([]int, 2)}
		var two sync.WaitGroup
		two.Add(2)
		set, err := tool.NewSet(look{new(atomic.Int32), &two})
		if err != nil {
			t.Fatal(err)
		}
		var env *tool.Env
		untilDone(t, []int{kill}, func(ctx context.Context, turns *journal.Turns) *task.Result {
			r := newRunner(model, &agent.Agent{Name: "a"})
			r.Tools = func(context.Context, *agent.Agent, task.Task) (*task.Tools, error) {
				return &task.Tools{Set: set, Env: func() (opened *tool.Env, err error) {
					env, err = tool.NewEnv(t.TempDir(), tool.Options{})
					return env, err
				}}, nil
			}
			return r.Run(ctx, task.Task{Agent: "a", Prompt: "work", Turns: turns}, nil)
		})
		var names []string
		for _, o := range env.Observed() {
			names = append(names, o.Name)
		}
		slices.Sort(names)
		if want := []string{`{"at":1}`, `{"at":2}`}; !slices.Equal(names, want) {
			t.Errorf("killed after event %d: saw %q, want %q", kill, names, want)
		}
	}
}

// TestALoopGoesOnInTheEnvironmentThatItHad kills a process at every boundary: after
// each event that it writes. Unless a call is cut off that may have had effects, the
// loop ends as one without kills, with the same results of all calls.
func TestALoopGoesOnInTheEnvironmentThatItHad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want, events := playLoop(t, dir)
	if want.Files["a.txt"] != "over" || want.Files["sub/b.txt"] != "zwei\n" || want.Files["sub/new.txt"] != "m" {
		t.Fatalf("the loop does not do what it should: %v", want.Files)
	}
	if diff := cmp.Diff([]task.LoopEvent{{Agent: "a", Model: idOf("haiku"), Turns: 7, ToolCalls: 13}}, want.Ended); diff != "" {
		t.Fatal(diff)
	}
	for n := 1; n < len(events); n++ {
		got, after := playLoop(t, dir, n)
		if i := slices.IndexFunc(got.Sent, func(sent int) bool { return sent != 1 }); i >= 0 {
			t.Errorf("killed after %d events: turn %d was sent %d times", n, i+1, got.Sent[i])
		}
		if after[n-1].Type == journal.ToolStarted {
			continue // the model reads that the call was interrupted
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("killed after event %d (%s): %s", n, after[n-1].Type, diff)
		}
	}
}

// TestALoopSurvivesManyKills shows the same with several kills of one loop.
func TestALoopSurvivesManyKills(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want, _ := playLoop(t, dir)
	rapid.Check(t, func(t *rapid.T) {
		kills := rapid.SliceOfN(rapid.IntRange(1, 8), 1, 8).Draw(t, "events until each kill")
		got, _ := playLoop(t, dir, kills...)
		if strings.Contains(got.Messages, "ended before the call did") {
			return // a call was cut off that may have had effects
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
