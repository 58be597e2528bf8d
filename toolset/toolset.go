// Package toolset puts together what an agent acts with in one task: the tools that
// its file names, the environment they share, and the permission they have.
//
// A [Project] is opened once for a folder. For each task it gives a [Session], to
// which contributors add: MCP servers, skills, memory, sub-agents.
//
//	project, err := toolset.Open(toolset.Options{Dir: dir})
//	runner := &task.Runner{Tools: project.For, …}
//
// Tools that only read in the project may be called without permission, and no
// others: [Options.Policy] says what else.
package toolset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/tool/bash"
	"github.com/claude-force/claude-force/tool/permission"
)

// Options are what a caller decides about a [Project].
type Options struct {
	// Dir is the project's folder. Empty means the working directory.
	Dir string

	// Policy is what the user granted. Its Dir is set to the folder of each task.
	Policy permission.Policy

	// Asker answers for calls that no rule decides. Nil answers no.
	Asker permission.Asker

	// SandboxOff runs commands without isolation.
	SandboxOff bool

	// MaxTurns is how many calls of the model a task may make, instead of what tasks
	// and agents say; 0 for that. Sub-agents have their own number.
	MaxTurns int

	// Tools are the caller's own. They need no permission, unless a rule denies them
	// or asks, and come instead of others of the same name.
	Tools []tool.Tool

	// OnlyOwn offers the caller's own tools alone: no files, no commands, nothing of
	// contributors.
	OnlyOwn bool

	// Contributors add to the sessions, in this order.
	Contributors []Contributor

	// CacheDir is the folder for results that are too long for the model, and for
	// what commands of later runs see again. Empty keeps neither.
	CacheDir string

	// OnNotice receives what the user should know. May be nil.
	OnNotice func(ctx context.Context, text string)
}

// Contributor adds tools and texts to a session, before the session's environment is
// open. What it starts, it starts when a tool of its is called, and releases in
// [Session.OnClose] or, if it serves many sessions, with the caller.
type Contributor func(ctx context.Context, s *Session) (Contribution, error)

// Contribution is what a [Contributor] adds.
type Contribution struct {
	// Tools are offered if the agent's file names them, or may use all tools.
	Tools []tool.Tool

	// Beyond are tools that are offered although the agent's file does not name them.
	// What the file or a rule takes away stays away.
	Beyond []tool.Tool

	// Context are texts that come before the task in the first user turn. Sources are
	// digests of what they are made of, by names that users know; a task is done again
	// when one changes. Without them, the texts count as one source.
	Context []string
	Sources map[string]string
}

// Project is what the agents of one folder act with. It is safe for concurrent use.
type Project struct {
	options Options
	ripgrep string
}

// Open returns the project of a folder. It holds nothing that must be closed.
func Open(options Options) (*Project, error) {
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the project: %w", err)
	}
	options.Dir = dir
	p := &Project{options: options}
	if path, err := exec.LookPath("rg"); err == nil {
		p.ripgrep = path
	}
	return p, nil
}

// Dir returns the project's folder, absolute.
func (p *Project) Dir() string { return p.options.Dir }

// For returns what an agent acts with in a task; nil if it has no tools. It is a
// [task.ToolsFunc]. Under a context of [WithSession] the agent is a sub-agent of that
// session and may do no more than it.
func (p *Project) For(ctx context.Context, a *agent.Agent, t task.Task) (*task.Tools, error) {
	if p.options.OnlyOwn && len(p.options.Tools) == 0 || actsNot(a) {
		return nil, nil
	}
	s, err := p.session(ctx, a, t)
	if err != nil {
		return nil, err
	}
	offered, err := s.build(ctx)
	if err != nil || offered == nil {
		return nil, err
	}
	tools := &task.Tools{Set: offered, Context: s.context, Sources: s.sources, Env: s.open, Notes: s.notes, Close: s.close}
	tools.Look, tools.Grants = s.look, s.grants()
	if s.Depth == 0 {
		tools.MaxTurns = p.options.MaxTurns
	}
	return tools, nil
}

// actsNot reports whether an agent has no tools whatever there is.
func actsNot(a *agent.Agent) bool { return !a.AllTools && len(a.Tools) == 0 }

// session returns the session of a task.
func (p *Project) session(ctx context.Context, a *agent.Agent, t task.Task) (*Session, error) {
	s := &Session{Agent: a, Task: t, Dir: p.options.Dir, project: p}
	policy := p.options.Policy
	s.unasked, _ = ctx.Value(unaskedKey{}).(bool)
	if parent := sessionOf(ctx); parent != nil {
		s.Depth, s.Dir = parent.Depth+1, parent.Dir
		s.unasked = s.unasked || parent.unasked
		policy = *parent.Policy()
	}
	if t.Dir != "" {
		policy.Deny = slices.Concat(policy.Deny, elsewhere(t.Dir, p.options.Dir), elsewhere(t.Dir, s.Dir))
		s.Dir = t.Dir
	}
	policy.Dir = s.Dir
	if policy.Mode == "" {
		policy.Mode = permission.ModeDefault
	}
	policy.Allow = slices.Clip(policy.Allow)
	for _, t := range p.options.Tools {
		policy.Allow = append(policy.Allow, permission.Rule{Tool: t.Definition().Name, All: true})
	}
	// Who starts a sub-agent writes its task, and may be an agent of the project's.
	own := s.Depth == 0 && p.usersOwn(a)
	if err := p.narrow(&policy, a, t, own); err != nil {
		return nil, err
	}
	if missing := notGranted(&policy, t.Allow); len(missing) > 0 {
		p.notice(ctx, fmt.Sprintf("the step %s allows %s, which you have not granted: such calls are asked about or refused", t.ID, strings.Join(missing, ", ")))
	}
	s.policy.Store(&policy)
	s.shell = bash.New(bash.Options{
		Policy: sandbox.Policy{Off: p.options.SandboxOff},
		Hidden: func(ctx context.Context) ([]string, error) { return s.Policy().Hidden(ctx) },
		Cache:  p.commandCache(),
		Narrow: s.Dir != p.options.Dir, // also for a sub-agent of one in a worktree
		Warn:   func(text string) { p.notice(context.WithoutCancel(ctx), text) },
		// A sub-agent starts each command where its caller expects it.
		ResetDir: s.Depth > 0,
		OnlyReads: func(command string) bool {
			return permission.OnlyReads(command, s.Dir, p.options.Policy.Home)
		},
		Stop: s.stop,
	})
	return s, nil
}

// elsewhere returns the rules of a task that works in dir instead of another folder:
// it does not change the other.
func elsewhere(dir, other string) []permission.Rule {
	if rel, err := filepath.Rel(other, dir); err != nil || filepath.IsLocal(rel) {
		return nil // the rule would be for dir too
	}
	return []permission.Rule{permission.FolderRule("Edit", other)}
}

// commandCache returns the folder that commands of the project share: of each project
// its own, so that commands of one cannot change what those of another use.
func (p *Project) commandCache() string {
	if p.options.CacheDir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(p.options.Dir))
	return filepath.Join(p.options.CacheDir, "commands", hex.EncodeToString(sum[:8]))
}

func (p *Project) notice(ctx context.Context, text string) {
	if p.options.OnNotice != nil {
		p.options.OnNotice(ctx, text)
	}
}

// envOptions returns the options of a session's environment, without its permission.
func (p *Project) envOptions(model string) tool.Options {
	options := tool.Options{Ripgrep: p.ripgrep, RequireRead: llm.Prices().ReadBeforeEdit(model)}
	if p.options.CacheDir != "" {
		options.ResultDir = filepath.Join(p.options.CacheDir, "results")
	}
	return options
}
