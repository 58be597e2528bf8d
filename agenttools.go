package claudeforce

import (
	"context"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/toolset"
)

// OpenTools returns what agents of an orchestrator with these options act with, so
// that it can be shown and tried without one. The options' Toolset must be set.
func OpenTools(opts Options) (*toolset.Project, error) {
	cfg := opts.Config
	if cfg == nil {
		var err error
		if cfg, err = LoadConfig(opts.Dir); err != nil {
			return nil, invalid(err)
		}
	}
	return openTools(opts, cfg, nil)
}

// openTools does what OpenTools does, for the orchestrator o, which may be nil.
func openTools(opts Options, cfg *config.Config, o *Orchestrator) (*toolset.Project, error) {
	options := toolset.Options{OnlyOwn: true}
	if opts.Toolset != nil {
		options = *opts.Toolset
		options.Contributors = append(contributors(o), options.Contributors...)
	}
	options.Dir, options.Tools = opts.Dir, opts.Tools
	options.Policy.Protected = slices.Concat(options.Policy.Protected, protected(cfg))
	if o != nil {
		options.OnNotice = o.notice
	} else if options.OnNotice == nil && opts.OnNotice != nil {
		options.OnNotice = func(ctx context.Context, text string) { opts.OnNotice(ctx, text) }
	}
	return toolset.Open(options)
}

// contributors returns what adds to the tools of agents. The orchestrator is nil if
// tools are only shown or called by hand.
func contributors(*Orchestrator) []toolset.Contributor {
	return nil
}

// protected returns the files of this program that no tool may use.
func protected(cfg *config.Config) []string {
	paths := []string{cfg.DataDir}
	if path, ok := strings.CutPrefix(cfg.Cache.EncryptionKey, "file:"); ok {
		paths = append(paths, path)
	}
	return paths
}
