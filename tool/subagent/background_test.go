package subagent_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

// behind returns a call that starts an agent in the background.
func behind(id, which, prompt string) llm.Block {
	return use(id, "Agent", in{"description": "look it up", "prompt": prompt, "subagent_type": which, "run_in_background": true})
}

// notified returns the notes on agents in the background in the last request of an
// agent.
func (c *cast) notified(agent string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var text strings.Builder
	var last *llm.Request
	for _, req := range c.requests {
		if req.Agent == agent {
			last = req
		}
	}
	for _, m := range last.Messages {
		for _, b := range m.Content {
			if strings.HasPrefix(b.Text, "<task-notification>") {
				text.WriteString(b.Text + "\n")
			}
		}
	}
	return text.String()
}

// TestBackground starts agents in the background: by the call, and by the agent's
// file. The task does not end before their reports were read, and what they took is
// in its cost.
func TestBackground(t *testing.T) {
	t.Parallel()
	always := &agent.Agent{Name: "always", Description: "Works behind.", Tools: []string{"Read"}, Extra: map[string]any{"background": true}}
	gate := make(chan struct{})
	model := &cast{most: 20}
	model.play = func(who, prompt string, n int) []llm.Block {
		switch {
		case who != "lead":
			<-gate // the call has returned before the agent answers
			return text("report on " + prompt)
		case n == 0:
			return []llm.Block{behind("1", "helper", "p"), start("2", "always", "q")}
		case n == 1:
			close(gate)
			return text("I wait.")
		}
		return text("all done")
	}
	res := runner(t, model, t.TempDir(), permission.Policy{}, lead, helper, always).Run(t.Context(), task.Task{Agent: "lead", Prompt: "go"}, nil)
	if res.Err != nil || res.Output != "all done" {
		t.Fatalf("outcome: %+v", res)
	}
	notes := model.notified("lead")
	for _, want := range []string{"report on p", "report on q", "helper in the background (look it up) has ended", "<status>completed</status>"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in the notes:\n%s", want, notes)
		}
	}
	if n := strings.Count(notes, "<task-notification>"); n != 2 {
		t.Errorf("%d notes", n)
	}
	calls := len(model.requests)
	if res.Calls != calls || res.Turns != calls || res.CostUSD == nil || int(*res.CostUSD*1000+0.5) != calls {
		t.Errorf("%d calls, %d turns, cost %v, want %d calls", res.Calls, res.Turns, *res.CostUSD, calls)
	}
}

// blocks is a model that answers an agent only once its context has ended.
type blocks struct {
	llm.Model
	agent string
}

func (b blocks) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	if req.Agent == b.agent && len(req.Messages) > 1 {
		<-ctx.Done()
	}
	return b.Model.Stream(ctx, req)
}

// TestBackgroundEnds covers agents in the background that do not end by themselves:
// TaskStop ends them, and so does the end of the task. What they took counts.
func TestBackgroundEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		turns int
		stop  bool
		want  string
	}{
		"at the end of the task": {2, false, "the end"},
		"by TaskStop":            {20, true, "the end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model := &cast{most: 20}
			id := ""
			model.play = func(who, _ string, n int) []llm.Block {
				switch {
				case who != "lead":
					return []llm.Block{use("r", "Read", in{"file_path": "x"})}
				case n == 0:
					return []llm.Block{behind("1", "helper", "p")}
				case n == 1 && c.stop:
					_, id, _ = strings.Cut(string(model.requests[len(model.requests)-1].Messages[2].Content[0].Raw), "with ID ")
					return []llm.Block{use("s", "TaskStop", in{"task_id": id[:9]})}
				}
				return text("the end")
			}
			waits := &firstAnswered{Model: blocks{model, "helper"}, agent: "helper", answered: make(chan struct{})}
			r := runner(t, waits, t.TempDir(), permission.Policy{}, lead, helper)
			res := r.Run(t.Context(), task.Task{Agent: "lead", Prompt: "go", MaxTurns: c.turns}, nil)
			if res.Err != nil || res.Output != c.want {
				t.Fatalf("outcome: %+v", res)
			}
			if c.stop && !strings.Contains(model.notified("lead"), "<status>stopped</status>") {
				t.Errorf("notes: %s", model.notified("lead"))
			}
			// Of the agent's calls one was paid for, and one ended without an answer.
			if asked := model.asked(); asked["helper"] < 1 || res.CostUSD == nil || int(*res.CostUSD*1000+0.5) != asked["lead"]+1 {
				t.Errorf("%v, cost %v", asked, *res.CostUSD)
			}
		})
	}
}

// firstAnswered is a model whose other agents wait until one has had an answer.
type firstAnswered struct {
	llm.Model
	agent    string
	answered chan struct{}
	once     sync.Once
}

func (f *firstAnswered) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	if req.Agent != f.agent && len(req.Messages) > 1 {
		<-f.answered
	}
	return func(yield func(llm.Event, error) bool) {
		for ev, err := range f.Model.Stream(ctx, req) {
			if !yield(ev, err) {
				return
			}
		}
		if req.Agent == f.agent {
			f.once.Do(func() { close(f.answered) })
		}
	}
}

// TestBackgroundAsksNoOne covers a call of an agent in the background that needs
// permission: no one is asked, and it is refused.
func TestBackgroundAsksNoOne(t *testing.T) {
	t.Parallel()
	model := &cast{most: 20}
	model.play = func(who, _ string, n int) []llm.Block {
		switch {
		case who == "lead" && n == 0:
			return []llm.Block{behind("1", "helper", "p")}
		case who == "helper" && n == 0:
			return []llm.Block{use("w", "Write", in{"file_path": "a.txt", "content": "x"})}
		}
		return text("done")
	}
	dir := t.TempDir()
	r := runner(t, model, dir, permission.Policy{}, lead, helper)
	asked := asking(t, r, dir, lead, helper)
	res := r.Run(t.Context(), task.Task{Agent: "lead", Prompt: "go"}, nil)
	if res.Err != nil || *asked != 0 {
		t.Fatalf("asked %d times, outcome %+v", *asked, res)
	}
	if got := model.results("helper"); len(got) != 1 || !got[0].Error {
		t.Errorf("result: %+v", got)
	}
}

// asking lets the tools of a runner ask, and counts the questions.
func asking(t *testing.T, r *task.Runner, dir string, agents ...*agent.Agent) *int {
	t.Helper()
	asked := 0
	project, err := toolset.Open(toolset.Options{
		Dir: dir, Contributors: []toolset.Contributor{contributor(r, agents...)},
		Asker: func(context.Context, permission.Question) (bool, error) { asked++; return true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Tools = project.For
	return &asked
}

var errKilled = errors.New("the process was killed")

// fragileLog is the journal of a process that is killed once it has written a number
// of events.
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
			l.events, l.left = append(l.events, ev), l.left-1
		}
	}
	if l.left > 0 {
		return func() error { return nil }
	}
	l.kill()
	return func() error { return errKilled }
}

func (l *fragileLog) Release() error { return nil }

// TestBackgroundKilled kills the process after each number of events. The task goes on
// in another one, which reports the agent in the background once: as ended if the
// first process had written that down, else as interrupted. No answer of the lead is
// paid for twice but the one that the kill cut off.
func TestBackgroundKilled(t *testing.T) {
	t.Parallel()
	outcomes := map[string]int{}
	for left := 1; ; left++ {
		if left > 40 {
			t.Fatal("the task does not end")
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		model := &cast{most: 40}
		model.play = func(who, _ string, n int) []llm.Block {
			switch {
			case who != "lead" && n == 0:
				return []llm.Block{use("r", "Read", in{"file_path": "x"})}
			case who != "lead":
				return text("the report")
			case n == 0:
				return []llm.Block{behind("1", "helper", "p")}
			case n < 3:
				return []llm.Block{use(fmt.Sprint("r", n), "Read", in{"file_path": "x"})}
			}
			return text("done")
		}
		r := runner(t, model, dir, permission.Policy{}, lead, helper)
		run := func(events []journal.Event, left int) ([]journal.Event, *task.Result) {
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			log := &fragileLog{kill: kill, events: events, left: left}
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
			unit := journal.Unit{Step: "work"}
			res := r.Run(ctx, task.Task{Agent: "lead", Prompt: "go", Turns: journal.NewTurns(log, unit, state.Unit("work", ""))}, nil)
			log.mu.Lock()
			defer log.mu.Unlock()
			return log.events, res
		}
		events, first := run(nil, left)
		if first.Err == nil {
			break
		}
		_, res := run(events, 1<<30)
		if res.Err != nil || res.Output != "done" {
			t.Fatalf("killed after %d events: %+v", left, res)
		}
		notes := model.notified("lead")
		if strings.Count(notes, "<task-notification>") != 1 {
			t.Fatalf("killed after %d events: notes %s", left, notes)
		}
		switch {
		case strings.Contains(notes, "the report") && strings.Contains(notes, "completed"):
			outcomes["completed"]++
		case strings.Contains(notes, "was interrupted") && strings.Contains(notes, "failed"):
			outcomes["interrupted"]++
		default:
			t.Fatalf("killed after %d events: notes %s", left, notes)
		}
		// 4 or 5 turns, and the one that was cut off.
		if n := model.asked()["lead"]; n > 6 {
			t.Errorf("killed after %d events: the lead was asked %d times", left, n)
		}
	}
	if outcomes["completed"] == 0 || outcomes["interrupted"] == 0 {
		t.Errorf("outcomes: %v", outcomes)
	}
}
