package claudeforce

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/tool/bash"
	"github.com/claude-force/claude-force/tool/web"
	"github.com/claude-force/claude-force/toolset"
	"github.com/claude-force/claude-force/workflow"
)

// commands opens what commands of workflows run in, and what their requests are sent
// with, on first use.
type commands struct {
	mu     sync.Mutex
	open   *toolset.Commands
	sender *web.Sender
}

func (c *commands) get(ctx context.Context, project *toolset.Project) (*toolset.Commands, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		var err error
		if c.open, err = project.Commands(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
	}
	return c.open, nil
}

func (c *commands) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sender != nil {
		c.sender.Close()
	}
	if c.open == nil {
		return nil
	}
	return c.open.Close()
}

// ended is how a command of a step ended, as a recording keeps it.
type ended struct {
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr,omitempty"`
	ExitCode int    `json:"exit_code"`
	Cause    string `json:"cause,omitempty"`
}

// checkCommands returns the commands of a workflow that may not run, and the files that
// may not be written, as far as they are known before the run and no condition decides
// whether their steps run at all. Those that have finished in past do not run again; nil
// is that of a new run.
func (o *Orchestrator) checkCommands(ctx context.Context, wf *workflow.Workflow, env workflow.Env, opts *RunOptions, past *journal.State) error {
	if o.opts.Replay != nil || !opts.part().Whole() {
		return nil // some or all do not run
	}
	finished := map[string]bool{}
	if past != nil {
		for _, u := range past.Order {
			if u.Type == journal.StepFinished {
				finished[u.Plain()] = true
			}
		}
	}
	var errs []error
	var visit func(wf *workflow.Workflow, outer journal.Unit, env workflow.Env)
	visit = func(wf *workflow.Workflow, outer journal.Unit, env workflow.Env) {
		for _, s := range wf.Steps {
			unit := outer.Inner(s.ID)
			if s.When != nil || finished[unit.Step] {
				continue
			}
			if s.Save != nil {
				if err := o.checkSave(ctx, s.Save, env); err != nil {
					errs = append(errs, fmt.Errorf("step %s: %w", s.ID, err))
				}
			}
			if s.Body != nil {
				inner := env
				if s.Workflow != "" {
					inner.Params, inner.Vars = nil, nil
				}
				visit(s.Body, unit, inner)
				continue
			}
			check := o.checkOf(s)
			if check == nil {
				continue
			}
			if o.tools == nil || o.opts.Toolset == nil {
				errs = append(errs, noTools(s.ID, deed(s)))
			} else if err := check(ctx, s, env, opts.AskCalls || o.opts.Toolset.Asker != nil); err != nil {
				errs = append(errs, fmt.Errorf("step %s: %w", s.ID, err))
			}
		}
	}
	visit(wf, journal.Unit{}, env)
	if wf.Save != nil && (past == nil || past.Saved == nil) {
		if err := o.checkSave(ctx, wf.Save, env); err != nil {
			errs = append(errs, fmt.Errorf("save of the workflow: %w", err))
		}
	}
	return errors.Join(errs...)
}

// checkOf returns what reports, before the run, that what a step does may not be done;
// nil if it needs no permission.
func (o *Orchestrator) checkOf(s *workflow.Step) func(context.Context, *workflow.Step, workflow.Env, bool) error {
	switch {
	case s.Run != nil:
		return o.checkCommand
	case s.Write != nil:
		return o.checkWrite
	case s.HTTP != nil:
		return o.checkRequest
	}
	return nil
}

// checkCommand reports a command of a step that may not run. One that is not known yet
// may; with asks, a user can be asked about it.
func (o *Orchestrator) checkCommand(ctx context.Context, s *workflow.Step, env workflow.Env, asks bool) error {
	for root, name := range s.Run.Line() {
		if !env.Knows(root, name) {
			return nil
		}
	}
	c, err := s.Run.CommandLine(env)
	if err != nil {
		return nil // the step fails for it, if it runs
	}
	return o.tools.CheckCommand(ctx, s.Allow, bash.Command{Args: c.Args, Script: c.Script, Env: c.Env, Dir: c.Cwd}, asks)
}

// deed returns what a step without a model does, in words.
func deed(s *workflow.Step) string {
	switch {
	case s.Write != nil:
		return "writes a file"
	case s.HTTP != nil:
		return "sends a request"
	}
	return "runs a command"
}

func noTools(step, does string) error {
	return llm.NewError(llm.CodeInvalid, "step "+step+" "+does+", and this run has no tools: allow them, or set Options.Toolset in the library", nil)
}

// runCommand makes one attempt at a step that runs a command. A replay runs none: it
// takes the recorded result.
func (o *Orchestrator) runCommand(ctx context.Context, a engine.Attempt, c workflow.Command) (llm.Outcome, error) {
	var was ended
	source, err := o.recorded(a, "Bash", &was, func() (bool, error) {
		shell, err := o.acting(ctx, a)
		if err != nil {
			return false, err
		}
		done, err := shell.Run(journal.WithTurns(withAsk(ctx, a), a.Turns), a.Step.Allow, bash.Command{
			Args: c.Args, Script: c.Script, Stdin: c.Stdin, Env: c.Env, Dir: c.Cwd,
		})
		if errors.Is(err, context.DeadlineExceeded) && a.Step.Timeout > 0 {
			return false, llm.NewError(llm.CodeTimeout, fmt.Sprintf("the command did not end within %v and was stopped", a.Step.Timeout), err)
		}
		if err != nil {
			return false, err
		}
		was = ended{string(done.Stdout), string(done.Stderr), done.ExitCode, string(done.Cause)}
		return a.Step.Run.Succeeded(was.ExitCode), nil
	})
	out := llm.Outcome{Source: source, CostUSD: new(0.0)}
	if err == nil {
		out.Output, err = outputOf(a.Step.Run, was)
	}
	return out, err
}

// acting returns what acts for a step without a model.
func (o *Orchestrator) acting(ctx context.Context, a engine.Attempt) (*toolset.Commands, error) {
	if o.tools == nil || o.opts.Toolset == nil {
		return nil, noTools(a.Path, deed(a.Step))
	}
	return o.commands.get(ctx, o.tools)
}

// recorded does what a step without a model does, and records its result. A replay does
// nothing: it takes the recorded result. do sets result, and reports whether it is no
// failure; result is a pointer.
func (o *Orchestrator) recorded(a engine.Attempt, name string, result any, do func() (bool, error)) (llm.Source, error) {
	call := cassette.ToolCall{Request: sha256.Sum256([]byte(a.Task)), Use: llm.Block{Type: llm.BlockToolUse, ID: a.Path + " " + a.Item, Name: name, Input: json.RawMessage(a.Task)}}
	if o.opts.Replay != nil {
		was, err := o.opts.Replay.Tool(call)
		if err == nil && (len(was.Blocks) == 0 || json.Unmarshal([]byte(was.Blocks[0].Text), result) != nil) {
			err = llm.NewError(llm.CodeInvalid, "the recording has no result of step "+a.Path, nil)
		}
		return llm.SourceReplay, err
	}
	began := time.Now()
	end := func(cassette.ToolResult) {}
	if o.opts.Record != nil {
		end = o.opts.Record.StartTool(call)
	}
	good, err := do()
	if err != nil {
		return llm.SourceCommand, err
	}
	if data, err := json.Marshal(result); err == nil {
		end(cassette.ToolResult{Blocks: []llm.Block{llm.ToolResult(call.Use.ID, string(data), !good)}, Duration: time.Since(began)})
	}
	return llm.SourceCommand, nil
}

// outputOf returns the output of a step whose command has ended. That it failed, or
// did not write what the step promises, is an error of code [llm.CodeOutput], which
// retries and fallbacks apply to.
func outputOf(r *workflow.Run, e ended) (string, error) {
	text := strings.TrimRight(e.Stdout, "\r\n")
	failed := func(format string, args ...any) (string, error) {
		return text, llm.NewError(llm.CodeOutput, fmt.Sprintf(format, args...), nil)
	}
	switch {
	case !utf8.ValidString(e.Stdout):
		text = ""
		return failed("the command wrote something that is not UTF-8 text; write it to a file instead")
	case e.Cause != "":
		return failed("the command was ended: %s", e.Cause)
	case !r.Succeeded(e.ExitCode):
		why := lastLines(e.Stderr)
		if why == "" {
			why = lastLines(text)
		}
		if why == "" {
			return failed("the command ended with exit code %d and wrote nothing", e.ExitCode)
		}
		return failed("the command ended with exit code %d: %s", e.ExitCode, why)
	}
	if r.Output == workflow.OutputText {
		return text, nil
	}
	v, err := workflow.Decode(r.Output, text)
	if err != nil {
		return failed("the command did not write %s: %v", r.Output, err)
	}
	if r.Output == workflow.OutputJSON {
		return text, nil // as it was written
	}
	return workflow.Encode(v)
}

// lastLines returns the end of what a command wrote, for an error.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD")), "\n")
	text = strings.Join(lines[max(0, len(lines)-5):], "\n")
	if runes := []rune(text); len(runes) > 1000 {
		text = "…" + string(runes[len(runes)-1000:])
	}
	return text
}
