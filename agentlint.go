package claudeforce

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/claude-force/claude-force/agent/lint"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/mcpclient"
)

// LintOptions returns what agent files of the project in a folder are checked against:
// its folder, what the user's settings deny, and the MCP servers that are configured.
func LintOptions(dir string, cfg *config.Config) (opts lint.Options, err error) {
	if opts.Policy.Dir, err = filepath.Abs(dir); err != nil {
		return opts, fmt.Errorf("finding the project: %w", err)
	}
	opts.Policy.Home, _ = os.UserHomeDir() // without one, ~ stands for nothing
	if _, err := grant(&opts.Policy, cfg, opts.Policy.Dir); err != nil {
		return opts, invalid(err)
	}
	sources, err := MCPSources(Options{Dir: dir}, cfg)
	if err != nil {
		return opts, invalid(err)
	}
	servers, _, err := mcpclient.Load(sources)
	if err != nil {
		return opts, invalid(err)
	}
	opts.Servers = []string{}
	for i := range servers {
		opts.Servers = append(opts.Servers, servers[i].Name)
	}
	return opts, nil
}
