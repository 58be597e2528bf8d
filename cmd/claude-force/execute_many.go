package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// executeMany runs a list of tasks that can be read once only, or is too long to
// be held in memory. After the first interrupt it starts no more tasks and waits
// for those under way.
func (a *app) executeMany(ctx context.Context, orch *claudeforce.Orchestrator, list *taskList, complete func(claudeforce.Task) claudeforce.Task, f *executeFlags) error {
	start := time.Now()
	ctx = llm.WithDrain(ctx, a.stopping)
	defer a.waitFor(func() string { return "the tasks that were sent" })()
	if c := list.closer(); c != nil {
		soft, cancel := a.soft(ctx)
		defer cancel()
		defer context.AfterFunc(soft, func() { c.Close() })() // ends a read that waits
	}
	var tasks iter.Seq[claudeforce.Task] = func(yield func(claudeforce.Task) bool) {
		for task := range list.tasks() {
			if a.interrupted() || !yield(complete(task)) {
				return
			}
		}
	}
	done, end := a.counter(list.count, orch.Totals)
	results := taskPrinter{a: a, w: a.stdout, json: f.json}
	for res := range orch.ExecuteAll(ctx, tasks, claudeforce.AllOptions{Unordered: f.json || f.batch}) {
		done()
		if results.print(res); results.err != nil {
			end()
			return results.err
		}
	}
	end()
	a.say("%s", describeTotals(orch.Totals(), results.failed, time.Since(start)))
	return results.outcome(list.err)
}

// maxKept is how many tasks are run as one run, which holds them in memory.
const maxKept = 20_000

// keeps reports whether the list is run as one run, which can be resumed.
func (l *taskList) keeps() bool { return l.reader == nil && l.count <= maxKept }

// isInput reports whether an error is of what the user gave.
func isInput(err error) bool { return exitCode(err) == exitInput }

// executeRun runs a list of tasks as one run. started reports whether it could be
// written down, and so was started.
func (a *app) executeRun(ctx context.Context, orch *claudeforce.Orchestrator, list *taskList, given []attach.File, spending workflow.Budget, f *executeFlags) (started bool, _ error) {
	var tasks []runs.Task
	err := list.each(func(_ int, t claudeforce.Task, line *taskLine) bool {
		tasks = append(tasks, runs.Task{ID: cmp.Or(t.ID, fmt.Sprint(len(tasks)+1)), Agent: t.Agent, Prompt: t.Prompt, Model: t.Model, Files: t.Files, Settings: settingsOf(t, line)})
		return true
	})
	if err != nil {
		return false, err
	}
	opts := claudeforce.RunOptions{
		Budget: spending, Batch: f.batch, Model: f.modelName(), Runner: f.runner, Policy: f.policy(), Settings: f.runSettings(), Drain: a.stopping,
		OnStart: func(context.Context, string) { started = true },
	}
	if len(given) > 0 {
		opts.Attached = attach.Text(given)
	}
	name := "execute"
	if list.given == nil {
		name += " " + filepath.Base(list.name)
	}
	err = a.showTasks(ctx, orch, f.json, len(tasks), func(ctx context.Context, onTask func(context.Context, int, *claudeforce.Result)) (*engine.Result, error) {
		opts.OnTask = onTask
		return orch.RunTasks(ctx, name, tasks, opts)
	})
	return started, err
}

// showTasks drives a run of tasks and prints what comes of them: as JSON as they
// end, as text in their order.
func (a *app) showTasks(ctx context.Context, orch *claudeforce.Orchestrator, asJSON bool, count int,
	drive func(ctx context.Context, onTask func(context.Context, int, *claudeforce.Result)) (*engine.Result, error),
) error {
	start := time.Now()
	defer a.waitFor(func() string { return "the tasks that were sent" })()
	done, end := a.counter(count, orch.Totals)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := taskPrinter{a: a, w: a.stdout, json: asJSON}
	early, next := map[int]*claudeforce.Result{}, 0 // results that wait for those before them
	res, err := drive(ctx, func(_ context.Context, number int, r *claudeforce.Result) {
		done()
		if asJSON {
			results.print(r)
		} else {
			early[number] = r
			for ; early[next] != nil; next++ {
				results.print(early[next])
				delete(early, next)
			}
		}
		if results.err != nil {
			cancel()
		}
	})
	for ; len(early) > 0; next++ { // something before them did not end
		if r := early[next]; r != nil {
			results.print(r)
			delete(early, next)
		}
	}
	end()
	if results.err != nil {
		return results.err
	}
	if res == nil {
		return err
	}
	a.say("%s", describeTotals(orch.Totals(), results.failed, time.Since(start)))
	switch _, failed := errors.AsType[*claudeforce.RunError](err); {
	case err != nil && !failed:
		return fmt.Errorf("the run was stopped: %w", err)
	case res.Status == engine.StatusCancelled:
		a.say("cancelled")
		return errReported
	}
	if res.Status != engine.StatusCompleted {
		a.say("%s", tasksAdvice(res))
	}
	if res.Status == engine.StatusInterrupted {
		return errInterrupted
	}
	return results.outcome(nil)
}

// taskPrinter prints the results of tasks and counts how they ended.
type taskPrinter struct {
	a                     *app
	w                     io.Writer
	json                  bool
	failed, input, broken int   // broken by a budget
	err                   error // of writing
}

func (p *taskPrinter) print(res *claudeforce.Result) {
	if p.err != nil {
		return
	}
	if res.Err != nil && res.Status != claudeforce.StatusInterrupted || res.Status == claudeforce.StatusFailed {
		p.failed++
		if _, bad := errors.AsType[*claudeforce.InputError](res.Err); bad {
			p.input++
		}
		if claudeforce.IsOverBudget(res.Err) {
			p.broken++
		}
		why := cmp.Or(res.Err, errors.New("it failed before"))
		p.a.say("task %s (%s) failed: %s", res.ID, res.Agent, withHint(why))
	}
	var err error
	if p.json {
		err = json.NewEncoder(p.w).Encode(res)
	} else if res.Output != "" {
		_, err = fmt.Fprintf(p.w, "--- %s · %s\n%s\n\n", res.ID, res.Agent, strings.TrimRight(res.Output, "\n"))
	}
	if err != nil {
		p.err = fmt.Errorf("writing results: %w", err)
	}
}

// outcome returns the error of the command. listErr is why the list ended early.
func (p *taskPrinter) outcome(listErr error) error {
	switch {
	case p.a.interrupted():
		return errInterrupted
	case listErr != nil:
		return listErr
	case p.input > 0 && p.input == p.failed:
		return inputError{errReported}
	case p.broken > 0 && p.broken == p.failed:
		p.a.say("the budget had no room for %s", plural(p.broken, "task"))
		return errOverBudget
	case p.failed > 0:
		return errReported
	}
	return nil
}
