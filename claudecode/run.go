package claudecode

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/tailtext"
	"github.com/claude-force/claude-force/internal/tempfolder"
	"github.com/claude-force/claude-force/internal/terminal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/server/proxy"
	"github.com/claude-force/claude-force/task"
)

// tools are those of its own that the program may offer. Skills and agents are left out:
// their files may start programs that no permission is asked for.
var tools = []string{"Read", "Write", "Edit", "NotebookEdit", "Glob", "Grep", "Bash", "TaskStop", "TodoWrite", "WebFetch", "WebSearch"}

// structuredTool is the tool by which the program takes structured output.
const structuredTool = "StructuredOutput"

// passed are the variables that the program gets beside those of every command.
var passed = []string{"CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR", "NODE_EXTRA_CA_CERTS", "IS_SANDBOX"}

// maxArgument is the longest argument that a program is given; Linux takes 128 KiB.
const maxArgument = 100 << 10

// continued is the prompt of a session that resumes where it was cut off.
const continued = "The program was stopped before the answer was complete. Go on where you were: look at what was done before you repeat it, then give the whole final answer."

// Run answers a task. It is a [task.External].
func (r *Runner) Run(ctx context.Context, c task.Conversation) (outcome llm.Outcome, err error) {
	outcome = llm.Outcome{Model: c.Request.Model, CostUSD: new(0.0)}
	path, err := r.find()
	if err != nil {
		return outcome, err
	}
	if err := r.options.Upstream.CheckForward(); err != nil {
		return outcome, fault.Input(fmt.Errorf("the runner %s sends its calls on to the service: %w", Name, err))
	}
	if c.Task.Batch {
		return outcome, fault.Input(fmt.Errorf("the runner %s makes no calls in message batches; remove latency: batch, or choose the runner builtin", Name))
	}
	ctx, bill := llm.WithNextBill(ctx)
	var mu sync.Mutex
	service, err := serve(ctx, r.options.Upstream, c.Request.Agent, cacheMode(c.Request.Policy), func(ctx context.Context, use toolUse) error {
		mu.Lock()
		defer mu.Unlock()
		return permit(ctx, &c, use)
	})
	if err != nil {
		return outcome, err
	}
	defer func() {
		err = errors.Join(err, service.close())
		calls, usage, cost, known := bill.Total()
		outcome.Calls, outcome.Usage, outcome.Timing = calls, usage, bill.Timing()
		if outcome.CostUSD = nil; known {
			outcome.CostUSD = new(cost.USD())
		}
		if err == nil {
			if outcome.Source = llm.SourceLive; usage == (llm.Usage{}) {
				outcome.Source = llm.SourceCache
			}
		}
	}()
	p := &process{runner: r, path: path, service: service, conversation: c}
	err = p.run(ctx)
	if c.Resume && p.unknown {
		// It was stopped before the session was kept.
		c.Resume = false
		p = &process{runner: r, path: path, service: service, conversation: c}
		err = p.run(ctx)
	}
	outcome.Session = &llm.Session{Program: Name, ID: cmp.Or(p.session, c.Session), Version: p.version, Turns: p.result.Turns, CostUSD: p.result.CostUSD}
	outcome.Turns, outcome.ToolCalls, outcome.StopReason = p.result.Turns, p.toolCalls, p.result.StopReason
	outcome.Output = p.result.Result
	if len(p.result.Structured) > 0 && string(p.result.Structured) != "null" {
		outcome.Output = string(p.result.Structured)
	}
	if p.result.IsError || err != nil {
		outcome.Output = p.text.String()
	}
	return outcome, err
}

// cacheMode returns the mode of the proxy for calls with a policy.
func cacheMode(p llm.Policy) proxy.Mode {
	switch p {
	case llm.PolicyDefault:
		return proxy.ModeAlways
	case llm.PolicyRefresh:
		return proxy.ModeRefresh
	}
	return proxy.ModeOff
}

// permit returns why a tool may not be used; nil if it may.
func permit(ctx context.Context, c *task.Conversation, use toolUse) error {
	switch {
	case use.Tool == structuredTool && c.Task.Schema != nil:
		return nil
	case c.Env == nil || !slices.Contains(c.Tools, use.Tool):
		return fmt.Errorf("the agent has no tool %s", use.Tool)
	}
	if use.Cwd != "" && use.Cwd != c.Env.Cwd() {
		if err := c.Env.Chdir(use.Cwd); err != nil {
			return err
		}
	}
	return c.Env.Permit(ctx, use.Tool, use.Input)
}

// process is a start of the program for a task.
type process struct {
	runner       *Runner
	path         string
	service      *service
	conversation task.Conversation

	session   string
	version   string
	unknown   bool // there is no session to resume
	ended     bool // the result came
	result    message
	text      strings.Builder
	turn      int
	toolCalls int
	open      map[string]task.ToolEvent // calls of tools in progress
}

// run starts the program and reads what it prints. Once the result is there, its end is
// not waited for longer than the grace.
func (p *process) run(ctx context.Context) (err error) {
	folder, err := tempfolder.New("session")
	if err != nil {
		return fmt.Errorf("making a folder for the settings of Claude Code: %w", err)
	}
	defer func() { err = errors.Join(err, folder.Remove()) }()
	args, err := p.arguments(folder.Path())
	if err != nil {
		return err
	}
	input, err := p.input()
	if err != nil {
		return err
	}
	dir := cmp.Or(p.conversation.Task.Dir, p.runner.options.Dir)
	stderr := &tailtext.Buffer{}
	cmd := &exec.Cmd{Path: p.path, Args: append([]string{command}, args...), Dir: dir, Env: p.environ(dir), Stdin: strings.NewReader(input), Stderr: stderr, WaitDelay: time.Second}
	out, childOut, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout = childOut
	end, err := sandbox.Supervise(cmd)
	if err == nil {
		if err = cmd.Start(); err != nil {
			end()
		}
	}
	_ = childOut.Close() // the program has its own
	if err != nil {
		return &MissingError{p.path, err}
	}
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		end()
		// A process that left the group may hold the pipe for ever.
		_ = out.SetReadDeadline(time.Now().Add(time.Second))
		done <- err
	}()
	stop := context.AfterFunc(ctx, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = out.SetReadDeadline(time.Now().Add(p.runner.options.Grace))
	})
	defer stop()
	other, failed := readMessages(out, p.take)
	var status error
	if p.ended {
		select {
		case status = <-done:
		case <-time.After(p.runner.options.Grace):
		}
	}
	end()
	if !p.ended {
		status = <-done
	}
	p.close()
	if ctx.Err() != nil {
		return llm.ContextError(ctx)
	}
	return p.problem(failed, status, cmp.Or(stderr.String(), other))
}

// arguments returns the arguments of the program. What others must not see, or what is
// long, is in files of a folder.
func (p *process) arguments(folder string) ([]string, error) {
	c := &p.conversation
	settings, err := json.Marshal(map[string]any{
		// These win over those of the user's settings.
		"env": p.variables(),
		"hooks": map[string]any{"PreToolUse": []any{map[string]any{"hooks": []any{map[string]any{
			"type": "http", "url": p.service.url + permissionPath, "timeout": 24 * 3600,
			"headers": map[string]string{"Authorization": "Bearer " + p.service.token},
		}}}}},
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "settings.json")
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		return nil, fmt.Errorf("writing the settings of Claude Code: %w", err)
	}
	args := []string{
		"--print", "--verbose", "--output-format", "stream-json", "--input-format", "stream-json",
		"--settings", file, "--setting-sources", "user", "--strict-mcp-config", "--disable-slash-commands",
		"--permission-mode", "default", "--model", c.Request.Model, "--tools", strings.Join(offered(c.Tools), ","),
	}
	if c.Resume {
		args = append(args, "--resume", c.Session)
	} else {
		args = append(args, "--session-id", c.Session)
	}
	if c.MaxTurns > 0 {
		args = append(args, "--max-turns", strconv.Itoa(c.MaxTurns))
	}
	if effort := cmp.Or(c.Task.Effort, c.Agent.Effort); effort != "" {
		args = append(args, "--effort", effort)
	}
	if schema := string(c.Task.Schema); schema != "" && len(schema) <= maxArgument {
		args = append(args, "--json-schema", schema)
	}
	if c.Agent.Prompt != "" {
		name := filepath.Join(folder, "system.md")
		if err := os.WriteFile(name, []byte(c.Agent.Prompt), 0o600); err != nil {
			return nil, fmt.Errorf("writing the prompt of Claude Code: %w", err)
		}
		flag := "--system-prompt-file"
		if c.Agent.AppendPrompt {
			flag = "--append-system-prompt-file"
		}
		args = append(args, flag, name)
	}
	return args, nil
}

// offered returns those of the tools that the program has.
func offered(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(tools, name) })
}

// variables returns the variables by which the program finds the service of its task.
func (p *process) variables() map[string]string {
	set := map[string]string{
		"ANTHROPIC_BASE_URL": p.service.url, "ANTHROPIC_AUTH_TOKEN": p.service.token, "ANTHROPIC_API_KEY": "",
		"ANTHROPIC_CUSTOM_HEADERS": "", "CLAUDE_CODE_USE_BEDROCK": "", "CLAUDE_CODE_USE_VERTEX": "", "CLAUDE_CODE_USE_FOUNDRY": "",
		"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "HTTP_PROXY": "", "HTTPS_PROXY": "", "http_proxy": "", "https_proxy": "",
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_MAX_RETRIES": "2",
		"CLAUDE_BASH_MAINTAIN_PROJECT_WORKING_DIR": "1", "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
	}
	if n := cmp.Or(p.conversation.Task.MaxTokens, p.conversation.Agent.MaxTokens); n > 0 {
		set["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = strconv.Itoa(n)
	}
	return set
}

// environ returns the environment of the program.
func (p *process) environ(dir string) []string {
	set := []string{"PWD=" + dir}
	for name, value := range p.variables() {
		set = append(set, name+"="+value)
	}
	slices.Sort(set)
	return sandbox.Environ(passed, set...)
}

// input returns what the program reads: the task, as one message.
func (p *process) input() (string, error) {
	var content []llm.Block
	if p.conversation.Resume {
		content = []llm.Block{llm.TextBlock(continued)}
	} else {
		for _, m := range p.conversation.Request.Messages {
			for _, b := range m.Content {
				b.CacheControl = nil // the program sets its own
				content = append(content, b)
			}
		}
	}
	line, err := json.Marshal(map[string]any{"type": "user", "message": map[string]any{"role": "user", "content": content}})
	if err != nil {
		return "", llm.NewError(llm.CodeInvalid, "the task cannot be encoded", err)
	}
	return string(line) + "\n", nil
}

// take takes in a message. It reports whether more are wanted.
func (p *process) take(m *message) bool {
	p.session, p.version = cmp.Or(m.Session, p.session), cmp.Or(m.Version, p.version)
	switch m.Type {
	case "assistant":
		for _, b := range m.blocks() {
			p.answered(m, b)
		}
	case "user":
		for _, b := range m.blocks() {
			if b.Type == "tool_result" {
				p.used(b)
			}
		}
	case "result":
		p.ended, p.result = true, *m
		return false
	}
	return true
}

// answered takes in a block of an answer of the model.
func (p *process) answered(m *message, b block) {
	switch {
	case b.Type == "text" && m.Within == "" && b.Text != "":
		if p.text.Len() > 0 {
			b.Text = "\n\n" + b.Text
		}
		p.text.WriteString(b.Text)
		if p.conversation.OnText != nil {
			p.conversation.OnText(b.Text)
		}
	case b.Type == "tool_use" && b.Name != structuredTool:
		p.toolCalls++
		ev := task.ToolEvent{Agent: p.conversation.Request.Agent, Turn: max(p.turn, 1), ID: b.ID, Tool: b.Name, Argument: task.Brief(b.Input), Start: time.Now()}
		if p.open == nil {
			p.open = map[string]task.ToolEvent{}
		}
		p.open[b.ID] = ev
		if p.conversation.OnTool != nil {
			p.conversation.OnTool(ev)
		}
	}
}

// used takes in the result of a tool.
func (p *process) used(b block) {
	ev, ok := p.open[b.Use]
	if !ok {
		return
	}
	delete(p.open, b.Use)
	ev.Done, ev.IsError, ev.Duration = true, b.IsError, time.Since(ev.Start)
	if p.conversation.OnTool != nil {
		p.conversation.OnTool(ev)
	}
}

// close ends the calls of tools whose end was not seen.
func (p *process) close() {
	for _, id := range slices.Sorted(maps.Keys(p.open)) {
		ev := p.open[id]
		ev.Done, ev.IsError, ev.Stopped, ev.Duration = true, true, true, time.Since(ev.Start)
		if p.conversation.OnTool != nil {
			p.conversation.OnTool(ev)
		}
	}
}

// problem returns why there is no answer; nil if there is one. failed is the error of
// reading, status how the program ended, and said what it printed beside messages.
func (p *process) problem(failed, status error, said string) error {
	said = terminal.Line(said)
	calls, refused := p.service.asked()
	switch {
	case p.ended && !p.result.IsError && p.result.Subtype == "success":
		if calls == 0 {
			return llm.NewError(llm.CodeInternal, "Claude Code answered and made no call through this program; look for apiKeyHelper, env or a managed setting that names another service", nil)
		}
		return nil
	case p.ended && p.result.Subtype == "error_max_turns":
		return &task.TurnsError{Turns: p.result.Turns}
	case p.ended && refused != nil:
		return refused // a budget, a limit or the service
	case p.ended:
		text := terminal.Line(cmp.Or(strings.Join(p.result.Errors, "; "), p.result.Result, p.result.Subtype))
		if p.unknown = strings.Contains(text, "No conversation found"); p.unknown {
			return llm.NewError(llm.CodeInternal, "Claude Code does not know the session "+p.conversation.Session, nil)
		}
		code := llm.CodeServer
		if p.result.Subtype == "error_max_structured_output_retries" {
			code = llm.CodeOutput
		}
		return llm.NewError(code, "Claude Code failed: "+text, nil)
	}
	p.unknown = strings.Contains(said, "No conversation found")
	how := "ended without a result"
	if status != nil {
		how += " (" + status.Error() + ")"
	}
	if said != "" {
		how += "; it said: " + said
	}
	if failed != nil && !errors.Is(failed, os.ErrDeadlineExceeded) {
		how = "cannot be understood: " + failed.Error()
	}
	return llm.NewError(llm.CodeIncomplete, "Claude Code "+how, failed)
}
