package claudeforce

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/tool/subagent"
	"github.com/claude-force/claude-force/tool/web"
	"github.com/claude-force/claude-force/toolset"
)

// OpenTools returns what agents of an orchestrator with these options act with, so
// that it can be shown and tried without one. The options' Toolset must be set.
func OpenTools(ctx context.Context, opts Options) (*toolset.Project, error) {
	cfg := opts.Config
	if cfg == nil {
		var err error
		if cfg, err = LoadConfig(opts.Dir); err != nil {
			return nil, invalid(err)
		}
	}
	return openTools(ctx, opts, cfg, nil)
}

// openTools does what OpenTools does, for the orchestrator o, which may be nil.
func openTools(ctx context.Context, opts Options, cfg *config.Config, o *Orchestrator) (*toolset.Project, error) {
	options := toolset.Options{OnlyOwn: true}
	if opts.Toolset != nil {
		mcp, err := newServers(opts, cfg, o)
		if err != nil {
			return nil, err
		}
		options = *opts.Toolset
		options.Contributors = slices.Concat(instructions(opts, cfg), contributors(o, mcp), options.Contributors)
	}
	options.Dir, options.Tools = opts.Dir, opts.Tools
	if options.Asker == nil {
		options.Asker = askCall
	} else {
		options.Asker = decidedFirst(options.Asker)
	}
	if o != nil {
		options.OnNotice = o.notice
	} else if options.OnNotice == nil && opts.OnNotice != nil {
		options.OnNotice = func(ctx context.Context, text string) { opts.OnNotice(ctx, text) }
	}
	options.Policy.Protected = slices.Concat(options.Policy.Protected, protected(cfg))
	if opts.Toolset != nil {
		notes, err := grant(&options.Policy, cfg, opts.Dir)
		if err != nil {
			return nil, invalid(err)
		}
		for _, note := range notes {
			if options.OnNotice != nil {
				options.OnNotice(ctx, note)
			}
		}
		options.SandboxOff = options.SandboxOff || cfg.SandboxOff
	}
	return toolset.Open(options)
}

// grant adds to a policy what the settings of the user and of the project say, ours
// and those of Claude Code. A mode that the policy has stays.
func grant(policy *permission.Policy, cfg *config.Config, dir string) (notes []string, err error) {
	given := policy.Mode
	for _, l := range []struct {
		setting string
		texts   []string
		to      *[]permission.Rule
	}{
		{"permissions.allow", cfg.Permissions.Allow, &policy.Allow},
		{"permissions.deny", slices.Concat(cfg.Permissions.Deny, cfg.Project.Deny), &policy.Deny},
		{"permissions.ask", slices.Concat(cfg.Permissions.Ask, cfg.Project.Ask), &policy.Ask},
	} {
		*l.to = slices.Clip(*l.to)
		for _, text := range l.texts {
			rules, err := permission.ParseRules(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", cfg.Origin(l.setting), l.setting, err)
			}
			*l.to = append(*l.to, rules...)
		}
	}
	policy.Extra = slices.Concat(policy.Extra, cfg.Permissions.AddDirs)
	mode := cmp.Or(cfg.Project.Mode, cfg.Permissions.Mode)
	if cfg.Permissions.Mode == string(permission.ModePlan) {
		mode = cfg.Permissions.Mode // the project's allows no less
	}
	if policy.Mode, err = permission.ParseMode(mode); err != nil {
		return nil, fmt.Errorf("%s: permissions.mode: %w", cfg.Origin("permissions.mode"), err)
	}
	notes, err = toolset.AddSettings(policy, dir)
	policy.Mode = cmp.Or(given, policy.Mode)
	return notes, err
}

// contributors returns what adds to the tools of agents. The orchestrator is nil if
// tools are only shown or called by hand.
func contributors(o *Orchestrator, mcp *servers) []toolset.Contributor {
	return []toolset.Contributor{subagent.Contribute(subAgents(o)), webTools(o), mcp.contribute}
}

// subAgents returns how agents are started by others.
func subAgents(o *Orchestrator) subagent.Options {
	options := subagent.Options{Agents: func(context.Context) ([]*agent.Agent, error) { return nil, nil }}
	if o != nil {
		options.Runner = func() *task.Runner { return o.tasks }
		options.Agents = func(context.Context) ([]*agent.Agent, error) { return o.allAgents() }
	}
	return options
}

// webTools returns the contributor of the tools that reach the web. Pages are read by
// a small model.
func webTools(o *Orchestrator) toolset.Contributor {
	shared := web.New(web.Options{})
	return func(_ context.Context, s *toolset.Session) (toolset.Contribution, error) {
		if !s.Offers("WebFetch") && !s.Offers("WebSearch") {
			return toolset.Contribution{}, nil
		}
		options := web.Options{Agent: s.Agent.Name, Policy: s.Task.Policy}
		if o != nil {
			options.Model = o.pipe.Model()
			options.ModelID, _ = o.pipe.Prices().Resolve("haiku")
		}
		return toolset.Contribution{Tools: shared.With(options).Tools()}, nil
	}
}

// protected returns the files of this program that no tool may use.
func protected(cfg *config.Config) []string {
	paths := []string{cfg.DataDir}
	if path, ok := strings.CutPrefix(cfg.Cache.EncryptionKey, "file:"); ok {
		paths = append(paths, path)
	}
	return paths
}
