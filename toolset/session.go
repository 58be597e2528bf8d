package toolset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/tool/bash"
	"github.com/claude-force/claude-force/tool/permission"
)

// Session is one task of one agent. Contributors may keep it: their tools work with
// it when they are called.
type Session struct {
	Agent *agent.Agent
	Task  task.Task // its Model is the id of the model
	Dir   string    // the folder that the tools work in, absolute
	Depth int       // 0, or by how many sub-agents the agent was started

	project *Project
	policy  atomic.Pointer[permission.Policy]
	shell   *bash.Shell
	context []string
	sources map[string]string

	mu      sync.Mutex // guards the fields below
	closers []func() error
	noters  []Noter
	readers []func(path string) (text string, files []string)
	facts   []func(fact string)
	starter Starter
	stops   []func(id string) (text string, ok bool)

	unasked bool // see [WithoutAsking]
}

// Noter returns what goes into the next user turn, as the Notes of [task.Tools] does.
type Noter func(ctx context.Context, wait bool) ([]task.Note, error)

// Starter starts an agent of a type for a call of a tool and returns its report.
type Starter func(ctx context.Context, env *tool.Env, which, prompt string) (tool.Result, error)

type (
	sessionKey struct{}
	unaskedKey struct{}
)

// WithoutAsking returns a context for tasks in which no one is asked about calls: what
// no rule allows is refused, for sub-agents of theirs too.
func WithoutAsking(ctx context.Context) context.Context {
	return context.WithValue(ctx, unaskedKey{}, true)
}

// asker returns what asks about calls; nil if no one is asked.
func (s *Session) asker() permission.Asker {
	if s.unasked {
		return nil
	}
	return s.project.options.Asker
}

// WithSession returns a context for tasks of sub-agents of a session: they get no
// more permission than it has, and the same folder.
func WithSession(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

func sessionOf(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// Project returns the project of the session.
func (s *Session) Project() *Project { return s.project }

// Policy returns what the session may do now. It must not be changed.
func (s *Session) Policy() *permission.Policy { return s.policy.Load() }

// Allow lets the session do what rules say, from the next call on. It is for what
// the user has granted in another way, such as by allowing a skill.
func (s *Session) Allow(rules ...permission.Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	policy := *s.Policy()
	policy.Allow = slices.Concat(policy.Allow, rules)
	s.policy.Store(&policy)
}

// OnClose has a function called when the task has ended, the last one first.
func (s *Session) OnClose(closing func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, closing)
}

// OnNotes adds a source of notes.
func (s *Session) OnNotes(n Noter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noters = append(s.noters, n)
}

// OnRead has a function called when the agent has read a file, with its absolute
// path. The text that it returns, if any, the model reads after the file; files are the
// paths of those that the text is from.
func (s *Session) OnRead(note func(path string) (text string, files []string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers = append(s.readers, note)
}

// OnFact has a function called with each fact that another process remembered, or
// that was in a note; see [tool.Env.Remember].
func (s *Session) OnFact(restored func(fact string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts = append(s.facts, restored)
}

// OnStop has a function called with the id of what the agent wants to end in the
// background. It reports whether the id is of something that it knows.
func (s *Session) OnStop(stop func(id string) (text string, ok bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stops = append(s.stops, stop)
}

// stop ends what a contributor runs in the background.
func (s *Session) stop(id string) (string, bool) {
	s.mu.Lock()
	stops := slices.Clone(s.stops)
	s.mu.Unlock()
	for _, stop := range stops {
		if text, ok := stop(id); ok {
			return text, true
		}
	}
	return "", false
}

// SetStarter sets what starts agents for other tools than Agent.
func (s *Session) SetStarter(start Starter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starter = start
}

// Start starts an agent of a type for a call of a tool and returns its report. It
// reports false if no agent may be started.
func (s *Session) Start(ctx context.Context, env *tool.Env, which, prompt string) (result tool.Result, ok bool, err error) {
	s.mu.Lock()
	start := s.starter
	s.mu.Unlock()
	if start == nil {
		return tool.Result{}, false, nil
	}
	result, err = start(ctx, env, which, prompt)
	return result, true, err
}

// beside returns what the model should know beside a file that it read.
func (s *Session) beside(path string) (texts, files []string) {
	s.mu.Lock()
	readers := slices.Clone(s.readers)
	s.mu.Unlock()
	for _, r := range readers {
		if text, from := r(path); text != "" {
			texts, files = append(texts, text), append(files, from...)
		}
	}
	return texts, files
}

// restored lets the session do again what facts of another process say.
func (s *Session) restored(facts []string) {
	s.mu.Lock()
	others := slices.Clone(s.facts)
	s.mu.Unlock()
	for _, fact := range facts {
		for _, f := range others {
			f(fact)
		}
		if text, ok := strings.CutPrefix(fact, AllowFact); ok {
			text, skill, conditional := strings.Cut(text, AllowedBySkill)
			if conditional && !s.Policy().Names("Skill", skill) {
				continue // the user has taken it back
			}
			if rule, err := permission.ParseRule(text); err == nil {
				s.Allow(rule)
			}
		}
	}
}

// AllowFact starts the facts (see [tool.Env.Remember]) that hold a permission rule:
// what [Session.Allow] granted, for a task that goes on in another process.
const AllowFact = "allow "

// AllowedBySkill comes in such a fact between the rule and the name of the skill that
// asks for it, if the user's rules allowed the skill: the rule holds in another process
// only if they still do.
const AllowedBySkill = "\tby skill "

// Ask asks about a call that no rule decides. Without anyone to ask, the answer is no.
func (s *Session) Ask(ctx context.Context, name string, input json.RawMessage, reason string) (bool, error) {
	ask := s.asker()
	if ask == nil {
		return false, nil
	}
	return ask(ctx, permission.Question{Tool: name, Input: input, Cwd: s.Dir, Reason: reason})
}

// Call runs a tool for files or commands under the permissions of the session, for
// what an agent loads: the agent need not be offered the tool, but it must not be
// denied it.
func (s *Session) Call(ctx context.Context, env *tool.Env, name string, input json.RawMessage) tool.Result {
	if s.Removed(name) {
		return tool.Failed(name + " is denied to this agent.")
	}
	set, err := tool.Collect(slices.Concat(tool.Files(), s.shell.Tools())...)
	if err != nil {
		return tool.Failed(err.Error())
	}
	return set.Call(ctx, env, llm.Block{Type: llm.BlockToolUse, Name: name, Input: input})
}

// Notice passes a text to the user.
func (s *Session) Notice(ctx context.Context, text string) { s.project.notice(ctx, text) }

// Offers reports whether the agent gets a tool of this name, if there is one: its
// file names it or may use all, and neither the file nor a rule takes it away.
func (s *Session) Offers(name string) bool {
	return (s.Agent.AllTools || slices.ContainsFunc(s.Agent.Tools, func(rule string) bool { return names(rule, name) })) && !s.Removed(name)
}

// Removed reports whether the agent's file or a rule takes a tool away.
func (s *Session) Removed(name string) bool {
	return s.Policy().Removed(name) || slices.ContainsFunc(s.Agent.DisallowedTools, func(rule string) bool { return names(rule, name) })
}

// build puts the tools together. It returns nil if there are none.
func (s *Session) build(ctx context.Context) (*tool.Set, error) {
	var beyond []tool.Tool
	all := slices.Clone(s.project.options.Tools)
	if !s.project.options.OnlyOwn {
		all = slices.Concat(without(slices.Concat(tool.Files(), s.shell.Tools()), all), all)
		for _, contribute := range s.project.options.Contributors {
			c, err := contribute(ctx, s)
			if err != nil {
				return nil, err
			}
			all = append(all, without(c.Tools, all)...)
			beyond = append(beyond, c.Beyond...)
			s.addContext(c)
		}
	}
	s.noteUnknown(ctx, slices.Concat(all, beyond))
	chosen := s.choose(all)
	for _, t := range beyond {
		if name := t.Definition().Name; !s.Removed(name) && !has(chosen, name) {
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 {
		return nil, nil
	}
	set, err := tool.Collect(chosen...)
	if err != nil {
		return nil, fmt.Errorf("the tools of agent %s: %w", s.Agent.Name, err)
	}
	return set, nil
}

// dropped are tools of Claude Code that make no sense without a person at the
// keyboard, or that it drops too: nothing is said of them.
var dropped = []string{"AskUserQuestion", "ExitPlanMode", "EnterPlanMode", "ToolSearch", "exit_plan_mode"}

// noteUnknown tells the user which tools the agent's file names that do not exist.
func (s *Session) noteUnknown(ctx context.Context, all []tool.Tool) {
	if s.project.options.OnlyOwn {
		return
	}
	var unknown []string
	for _, entry := range s.Agent.Tools {
		name, _, _ := strings.Cut(entry, "(")
		if !slices.Contains(dropped, name) && !slices.ContainsFunc(all, func(t tool.Tool) bool { return names(entry, t.Definition().Name) }) && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		s.Notice(ctx, fmt.Sprintf("the agent %s names tools that there are not: %s", s.Agent.Name, strings.Join(unknown, ", ")))
	}
}

// addContext adds the texts of a contribution.
func (s *Session) addContext(c Contribution) {
	s.context = append(s.context, c.Context...)
	if len(c.Sources) == 0 && len(c.Context) > 0 {
		c.Sources = map[string]string{"tools' context": task.Digest([]byte(s.sources["tools' context"] + strings.Join(c.Context, "\x00")))}
	}
	if s.sources == nil {
		s.sources = map[string]string{}
	}
	maps.Copy(s.sources, c.Sources)
}

// choose returns those of the tools that the agent gets: in the order of its file,
// or all.
func (s *Session) choose(all []tool.Tool) []tool.Tool {
	if s.Agent.AllTools {
		return slices.DeleteFunc(slices.Clone(all), func(t tool.Tool) bool { return s.Removed(t.Definition().Name) })
	}
	var chosen []tool.Tool
	for _, rule := range s.Agent.Tools {
		for _, t := range all {
			if name := t.Definition().Name; names(rule, name) && !s.Removed(name) && !has(chosen, name) {
				chosen = append(chosen, t)
			}
		}
	}
	return chosen
}

// without returns tools without those that have the name of one of others.
func without(tools, others []tool.Tool) []tool.Tool {
	return slices.DeleteFunc(slices.Clone(tools), func(t tool.Tool) bool { return has(others, t.Definition().Name) })
}

func has(tools []tool.Tool, name string) bool {
	return slices.ContainsFunc(tools, func(t tool.Tool) bool { return t.Definition().Name == name })
}

// aliases are names of tools of earlier versions of Claude Code, and the tools that
// do the same now.
var aliases = map[string][]string{
	"Task": {"Agent"}, "KillShell": {"TaskStop"}, "KillBash": {"TaskStop"}, "MultiEdit": {"Edit"},
	"LS": {"Glob"}, "NotebookRead": {"Read"}, "BashOutput": {"Read"}, "TodoRead": {"TodoWrite"},
	// What Bash leaves in the background must be possible to end.
	"Bash": {"Bash", "TaskStop"},
}

// names reports whether an entry of an agent's list of tools is about a tool. A rule
// such as Bash(git:*) is about Bash, and mcp__server about all tools of the server.
func names(entry, name string) bool {
	entry, _, _ = strings.Cut(entry, "(")
	entry = strings.TrimSpace(entry)
	if list := aliases[entry]; list != nil {
		return slices.Contains(list, name)
	}
	if entry == name {
		return true
	}
	server := strings.TrimSuffix(entry, "__*")
	return strings.HasPrefix(server, "mcp__") && len(server) > len("mcp__") && strings.HasPrefix(name, server+"__")
}

// open opens the environment. What commands depend on is looked at only for a step that
// a later run may reuse.
func (s *Session) open() (*tool.Env, error) {
	env, err := s.openFor(s.asker())
	reusable := s.Task.Turns != nil && !s.Task.NoRetry && s.Depth == 0 && s.Dir == s.project.Dir()
	if err == nil && !reusable {
		env.SkipTrees()
	}
	return env, err
}

// look opens an environment that asks for no permission: what it would ask is denied.
func (s *Session) look() (*tool.Env, error) { return s.openFor(nil) }

// grants returns a digest of what the session may do.
func (s *Session) grants() string {
	o := &s.project.options
	return task.Digest(fmt.Appendf(nil, "%+v %q %v", *s.Policy(), s.Dir, o.SandboxOff))
}

func (s *Session) openFor(asker permission.Asker) (*tool.Env, error) {
	options := s.project.envOptions(s.Task.Model)
	options.Beside, options.Reads = s.beside, s.Task.Reads
	options.Restored = s.restored
	guarded := s.Policy().Guard(options, asker)
	guarded.Gate = func(ctx context.Context, env *tool.Env, name string, input json.RawMessage) error {
		return s.Policy().Guard(options, asker).Gate(ctx, env, name, input)
	}
	env, err := tool.NewEnv(s.Dir, guarded)
	if err != nil {
		return nil, err
	}
	if err := s.Policy().GrantTo(env); err != nil {
		return nil, errors.Join(err, env.Close())
	}
	if len(env.Granted())+len(env.GrantedToRead()) > 1 {
		env.SkipTrees()
	}
	return env, nil
}

// close releases what the session holds.
func (s *Session) close() error {
	s.mu.Lock()
	closers := s.closers
	s.closers = nil
	s.mu.Unlock()
	var errs []error
	for _, closing := range slices.Backward(closers) {
		errs = append(errs, closing())
	}
	return errors.Join(append(errs, s.shell.Close())...)
}

// notes returns what the model should know besides results.
func (s *Session) notes(ctx context.Context, wait bool) ([]task.Note, error) {
	s.mu.Lock()
	noters := append(slices.Clip(s.noters), s.ended)
	s.mu.Unlock()
	var notes []task.Note
	for _, n := range noters {
		more, err := n(ctx, wait && len(notes) == 0)
		if err != nil {
			return nil, err
		}
		if more != nil && notes == nil {
			notes = []task.Note{} // also if it is empty
		}
		notes = append(notes, more...)
	}
	return notes, nil
}

// ended returns a note for each command in the background that has ended.
func (s *Session) ended(ctx context.Context, wait bool) ([]task.Note, error) {
	if wait {
		if err := s.waitForShell(ctx); err != nil {
			return nil, err
		}
	}
	var notes []task.Note
	for _, n := range s.shell.Finished() {
		text := fmt.Sprintf("<task-notification>\n<task-id>%s</task-id>\n<output-file>%s</output-file>\n<status>%s</status>\n"+
			"<summary>The command in the background (%s) has ended, exit code %d.</summary>\n</task-notification>",
			n.ID, n.File, n.Status, task.Brief(commandInput(n.Command)), n.ExitCode)
		notes = append(notes, task.Note{Blocks: []llm.Block{llm.TextBlock(text)}})
	}
	return notes, nil
}

// Bounded returns a context for waiting for what is in the background once the agent
// is done. It ends after half of the time that is left: an agent may have started a
// server, and its answer must not be lost to that.
func Bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithTimeout(ctx, time.Until(deadline)/2)
	}
	return context.WithCancel(ctx)
}

// waitForShell waits until a command in the background has ended, as long as it may.
// What still runs ends with the task.
func (s *Session) waitForShell(ctx context.Context) error {
	bounded, cancel := Bounded(ctx)
	defer cancel()
	if _, err := s.shell.Wait(bounded); err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.Notice(ctx, fmt.Sprintf("a command that %s left in the background did not end, and was ended with the task", s.Agent.Name))
	return nil
}

func commandInput(command string) json.RawMessage {
	// A string is always encoded.
	data, _ := json.Marshal(map[string]string{"command": command})
	return data
}
