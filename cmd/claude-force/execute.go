package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/lint"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
)

type executeFlags struct {
	callFlags
	tasks  []string
	file   string
	attach []string
}

func (a *app) execute() *cobra.Command {
	var f executeFlags
	cmd := &cobra.Command{
		Use:   "execute AGENT TASK",
		Short: "Give tasks to agents",
		Long: `Give one agent a task and print its answer; or several tasks at once, with
--task or --file, and print the answers in the order of the tasks.

On a terminal an answer is printed as it comes, and not retried once it has
started. Into a pipe or a file it is written when it is whole, so that an answer
that breaks off is retried.

AGENT is a name (see "claude-force agents list") or the path of an agent file,
which contains a slash or ends in .md.

A TASK of /NAME and arguments starts with the command or skill of that name (see
"claude-force skills list"). A path such as /etc/hosts is no command.

A task file has one JSON object per line, with the fields agent and task, and
optionally id, model, files (a list of patterns), and what a step of a workflow
takes: schema, max_tokens, max_turns, timeout, effort, thinking, temperature,
latency, effects, isolation, allow, reads, and in a run retries and budget (of
the task). Several tasks are a run: what has finished is kept, also with --no-cache, and "claude-force runs resume" runs
what is left. - reads tasks from the standard input, with TASK as - the task's
text. Tasks from there, from a pipe or from a file of more than 20,000 are read
when they are needed, any number of them, and are no run.

Exit codes: 0 done, 1 a task failed, 2 bad input or configuration, 3 a budget
left no room for a task, 130 interrupted.`,
		Example: `  claude-force execute python-expert "Explain decorators"
  claude-force execute ./my-agent.md "Explain decorators"
  git diff | claude-force execute code-reviewer "Review this change" --attach -
  claude-force execute security-specialist "Audit" --attach 'src/**/*.go'
  claude-force execute --task python-expert="Explain lists" --task linter="Check: x=1"
  claude-force execute --file tasks.jsonl --jobs 20 --json
  claude-force execute python-expert "Explain decorators" --simulate`,
		Args: cobra.MaximumNArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			if isAgentFile(to) {
				return []string{"md"}, cobra.ShellCompDirectiveFilterFileExt
			}
			return completeAgents(cmd, args, to)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.runExecute(cmd.Context(), &f, args) },
	}
	f.register(cmd)
	f.tools.register(cmd)
	cmd.Flags().StringArrayVar(&f.tasks, "task", nil, "a task as AGENT=TEXT; may be repeated")
	cmd.Flags().StringVar(&f.file, "file", "", "file of tasks, one JSON object per line; - for the standard input")
	cmd.Flags().StringArrayVar(&f.attach, "attach", nil, "files to give to the agent, as a path or glob; - for the standard input; may be repeated")
	return cmd
}

func (a *app) runExecute(ctx context.Context, f *executeFlags, args []string) error {
	source, single, err := a.taskSource(f, args)
	if err != nil {
		return err
	}
	spending, err := f.spending()
	if err != nil {
		return err
	}
	given, err := a.readAttachments(ctx, f.attach, single != nil || !source.keeps())
	if err != nil {
		return err
	}
	if single != nil && args[1] != "-" {
		if err := a.startCommand(ctx, &f.callFlags, single); err != nil {
			return err
		}
	}
	var opts claudeforce.Options
	if single != nil && isAgentFile(single.Agent) {
		ag, err := a.readAgentFile(single.Agent)
		if err != nil {
			return err
		}
		single.Agent, opts.Agents = ag.Name, []*agent.Agent{ag}
	}
	orch, err := a.openIn(ctx, &f.callFlags, opts)
	if err != nil {
		return err
	}
	complete := func(t claudeforce.Task) claudeforce.Task {
		t.Attachments, t.Policy, t.Batch = given, cmp.Or(t.Policy, f.policy()), t.Batch || f.batch
		if f.runner != "" {
			t.Runner = f.runner
		}
		if model := f.modelName(); model != "" {
			if model == modelselect.Auto && t.Model != modelselect.Auto {
				t.Ceiling = t.Model
			}
			t.Model = model
		}
		return t
	}
	if single == nil && source.keeps() {
		started, err := a.executeRun(ctx, orch, source, given, spending, f)
		if started || err == nil || isInput(err) || a.interrupted() {
			return closing(err, orch)
		}
		a.say("note: the tasks cannot be resumed, since they cannot be kept: %v", err)
	}
	ctx = claudeforce.WithBudget(ctx, "execute "+rand.Text()[:12], spending)
	if single != nil {
		err = a.executeOne(ctx, orch, complete(*single), f.json)
	} else {
		err = a.executeMany(ctx, orch, source, complete, f)
	}
	return closing(err, orch)
}

// isAgentFile reports whether an agent is named by the path of its file.
func isAgentFile(name string) bool {
	return strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".md")
}

// readAgentFile reads an agent from a file and shows the file's warnings.
func (a *app) readAgentFile(path string) (*agent.Agent, error) {
	data, err := openfile.ReadTyped(path, lint.MaxFile)
	if err != nil {
		return nil, inputError{fmt.Errorf("reading the agent file: %w", err)}
	}
	ag, warnings, err := agent.Parse(path, data)
	for _, w := range warnings {
		a.say("warning: %s", w)
	}
	if err != nil {
		return nil, inputError{err}
	}
	return ag, nil
}

// closing closes c and keeps the first error.
func closing(err error, c io.Closer) error {
	if cerr := c.Close(); err == nil {
		return cerr
	}
	return err
}

// taskSource returns the tasks: either one from the arguments, or a list.
func (a *app) taskSource(f *executeFlags, args []string) (*taskList, *claudeforce.Task, error) {
	fromStdin := f.file == "-" || len(args) == 1 && args[0] == "-"
	if fromStdin && slices.Contains(f.attach, "-") {
		return nil, nil, badInput("the standard input cannot be both tasks and attachment")
	}
	switch {
	case len(args) == 2 && len(f.tasks) == 0 && f.file == "":
		text := args[1]
		if text == "-" {
			if slices.Contains(f.attach, "-") {
				return nil, nil, badInput("the standard input cannot be both task and attachment")
			}
			file, err := attach.ReadAll(a.stdin, "the task", attach.Limits{OnNote: a.note})
			if err != nil {
				return nil, nil, inputError{err}
			}
			text = file.Content
		}
		return nil, &claudeforce.Task{ID: "1", Agent: args[0], Prompt: text}, nil
	case fromStdin && len(f.tasks) == 0:
		return &taskList{name: "stdin", reader: a.stdin}, nil, nil
	case len(args) > 0:
		return nil, nil, badInput("give AGENT and TASK, or --task, or --file; see claude-force execute --help")
	case f.file != "" && len(f.tasks) > 0:
		return nil, nil, badInput("give --task or --file, not both")
	case f.file != "":
		list, err := openTasks(f.file)
		if err != nil {
			return nil, nil, err
		}
		return list, nil, list.check()
	case len(f.tasks) > 0:
		list := &taskList{name: "--task"}
		for _, text := range f.tasks {
			agent, task, ok := strings.Cut(text, "=")
			if !ok || agent == "" || task == "" {
				return nil, nil, badInput("--task %q is not AGENT=TEXT", text)
			}
			list.given = append(list.given, claudeforce.Task{Agent: agent, Prompt: task})
		}
		return list, nil, list.check()
	}
	return nil, nil, badInput("no task: give AGENT and TASK, or --task, or --file; see claude-force execute --help")
}

// readAttachments reads the files of --attach; with media also images and PDF files.
func (a *app) readAttachments(ctx context.Context, patterns []string, media bool) ([]attach.File, error) {
	var files []attach.File
	for _, pattern := range patterns {
		if pattern == "-" {
			file, err := attach.ReadAll(a.stdin, "stdin", attach.Limits{OnNote: a.note})
			if err != nil {
				return nil, inputError{err}
			}
			files = append(files, file)
			continue
		}
		found, err := attach.Glob(ctx, pattern, attach.Limits{OnNote: a.note, Media: media})
		if err != nil {
			return nil, inputError{fmt.Errorf("--attach %s: %w", pattern, err)}
		}
		files = append(files, found...)
	}
	return files, nil
}

func (a *app) executeOne(ctx context.Context, orch *claudeforce.Orchestrator, task claudeforce.Task, asJSON bool) error {
	ctx, cancel := a.soft(ctx)
	defer cancel()
	shown := lastByte{w: a.stdout, last: '\n'}
	// Only a person sees an answer before it is whole; one that is written into a
	// pipe or a file can still be retried after it broke off.
	var show func(piece string)
	if a.answersOnTerminal && !asJSON {
		show = func(piece string) { io.WriteString(&shown, piece) }
	}
	if a.terminal {
		// No text comes while tools run.
		a.tooling.to(func(_ llm.Tags, line string) {
			if show != nil && shown.last != '\n' {
				io.WriteString(&shown, "\n")
			}
			a.say("%s", line)
		})
	}
	res, err := orch.Execute(ctx, task, show)
	a.tooling.to(nil)
	if asJSON {
		return a.printJSONResult(res, err)
	}
	if show == nil {
		io.WriteString(&shown, res.Output)
	}
	if shown.last != '\n' {
		fmt.Fprintln(a.stdout)
	}
	if err != nil {
		if res.Output != "" {
			return fmt.Errorf("the answer above is not whole: %w", err)
		}
		return err
	}
	a.say("%s", describe(res))
	if res.ModelReason != "" {
		a.say("%s was chosen: %s", res.Model, res.ModelReason)
	}
	return nil
}

func (a *app) printJSONResult(res *claudeforce.Result, err error) error {
	if _, bad := errors.AsType[*claudeforce.InputError](err); bad {
		return err
	}
	if jerr := json.NewEncoder(a.stdout).Encode(res); jerr != nil {
		return fmt.Errorf("writing the result: %w", jerr)
	}
	switch {
	case res.Status == claudeforce.StatusInterrupted:
		return errInterrupted
	case err != nil:
		a.say("claude-force: %v", err)
		return errReported
	}
	return nil
}

// lastByte remembers how an output ended.
type lastByte struct {
	w    io.Writer
	last byte
}

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.last = p[len(p)-1]
	}
	return l.w.Write(p)
}

// describe returns one line on an answer: its model, source, tokens, cost and time.
func describe(res *claudeforce.Result) string {
	return fmt.Sprintf("%s · %s · %s · %s · %s · %s", res.Agent, res.Model, res.Source,
		plural(res.Usage.TotalTokens(), "token"), dollars(res.CostUSD), took(&res.Timing, res.DurationSeconds, false))
}

func describeTotals(t pipeline.Totals, failed int, took time.Duration) string {
	line := fmt.Sprintf("%d answered", t.Live+t.Cached+t.Coalesced)
	if failed > 0 {
		line += fmt.Sprintf(", %d failed", failed)
	}
	line += fmt.Sprintf(" · %d live, %d cache, %d coalesced", t.Live, t.Cached, t.Coalesced)
	cost := &t.CostUSD
	if t.Unpriced > 0 && t.CostUSD == 0 {
		cost = nil
	}
	line += fmt.Sprintf(" · %s · %s", plural(t.Usage.TotalTokens(), "token"), dollars(cost))
	if t.SavedUSD > 0 {
		line += fmt.Sprintf(" (%s saved)", dollars(&t.SavedUSD))
	}
	return line + " · " + amount.Seconds(took.Seconds())
}
