package claudeforce

import (
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/memory"
	"github.com/claude-force/claude-force/skill"
	"github.com/claude-force/claude-force/toolset"
)

// instructions returns what adds the instructions in files to tasks of agents with
// tools.
func instructions(opts Options, cfg *config.Config) []toolset.Contributor {
	var list []toolset.Contributor
	if cfg.Memory {
		list = append(list, memory.Contributor(opts.Toolset.Policy.Home))
	}
	return append(list, skill.Contributor(skill.ContributorOptions{
		Home:    opts.Toolset.Policy.Home,
		Plugins: func(dir string) ([]skill.Source, error) { return PluginSkills(cfg, dir) },
	}))
}
