package claudeforce

import (
	"cmp"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/plugin"
	"github.com/claude-force/claude-force/skill"
	"github.com/claude-force/claude-force/workflow"
	"github.com/claude-force/claude-force/workflow/workflowdir"
)

// OpenPlugins returns the plugins of a project's folder. Their content is beside the
// store, in a folder that agents may read.
func OpenPlugins(cfg *config.Config, dir string) (*plugin.Store, error) {
	return plugin.Open(dir, filepath.Clean(cfg.DataDir)+"-plugins")
}

// PluginSkills returns where the plugins of a project have skills and commands. The
// error is for a plugin whose content changed since it was installed.
func PluginSkills(cfg *config.Config, dir string) ([]skill.Source, error) {
	plugins, err := loadPlugins(cfg, dir)
	var sources []skill.Source
	for _, p := range plugins {
		sources = append(sources, skill.Source{Name: p.Name, Dir: p.Dir, Skills: p.Skills, Commands: p.Commands})
	}
	return sources, err
}

// Workflows returns the workflows that have names in a folder: those in .claude/workflows
// of the project and of the user, and those of plugins. Empty means the working directory.
func Workflows(dir string) (*workflowdir.Set, error) {
	cfg, err := LoadConfig(dir)
	if err != nil {
		return nil, invalid(err)
	}
	dir = cmp.Or(dir, ".")
	plugins, err := loadPlugins(cfg, dir)
	if err != nil {
		return nil, invalid(err)
	}
	home, _ := os.UserHomeDir() // empty without one, which Discover takes as none
	options := workflowdir.Options{Dir: dir, Home: home}
	for _, p := range plugins {
		options.Plugins = append(options.Plugins, workflowdir.Source{Name: p.Name, Dir: p.Dir, Paths: p.Workflows})
	}
	return workflowdir.Discover(options)
}

// findWorkflow returns the path of the workflow with a name.
func findWorkflow(dir, name string) (string, error) {
	set, err := Workflows(dir)
	if err != nil {
		return "", err
	}
	f, err := set.Lookup(name)
	if err != nil {
		return "", err
	}
	return f.Path, nil
}

// findCommand returns the command with a name, or that of a file if the name is a path
// that ends in .md.
func findCommand(dir, name string) (_ *workflow.SlashCommand, err error) {
	dir = cmp.Or(dir, ".")
	k, err := lookUpCommand(dir, name)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return k.StepCommand(func(path string) bool {
		info, err := root.Stat(filepath.FromSlash(path))
		return err == nil && info.Mode().IsRegular()
	})
}

// lookUpCommand returns the file of a command.
func lookUpCommand(dir, name string) (*skill.Skill, error) {
	if strings.HasSuffix(name, ".md") {
		return skill.ReadCommand(dir, name)
	}
	cfg, err := LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	plugins, err := PluginSkills(cfg, dir)
	if err != nil {
		return nil, err
	}
	home, _ := os.UserHomeDir() // empty without one, which Discover takes as none
	set, err := skill.Discover(skill.Options{Dir: dir, Home: home, Plugins: plugins})
	if err != nil {
		return nil, err
	}
	return set.Lookup(name)
}

// PluginAgents returns the agents of the plugins of a project, each under the name of
// its plugin, a colon and its own.
func PluginAgents(cfg *config.Config, dir string) ([]*agent.Agent, []agent.Warning, error) {
	plugins, err := loadPlugins(cfg, dir)
	var agents []*agent.Agent
	var warnings []agent.Warning
	for _, p := range plugins {
		files, err := p.Files(p.Agents, ".md")
		if err != nil {
			return nil, warnings, err
		}
		for _, f := range files {
			name := filepath.Join(p.Dir, filepath.FromSlash(f.Name))
			a, w, err := agent.Parse(name, f.Data)
			warnings = append(warnings, w...)
			if err != nil {
				warnings = append(warnings, agent.Warning{File: name, Message: err.Error(), Hint: "it is left out"})
				continue
			}
			a.Name = p.Name + ":" + strings.TrimSuffix(path.Base(a.Name), ".md")
			agents = append(agents, a)
		}
	}
	return agents, warnings, err
}

func loadPlugins(cfg *config.Config, dir string) ([]*plugin.Plugin, error) {
	store, err := OpenPlugins(cfg, dir)
	if err != nil {
		return nil, err
	}
	plugins, _, err := store.Load()
	return plugins, err
}

// installedAgents returns the agents of the plugins of a folder, for looking at them:
// without those of plugins that are refused when they are used.
func installedAgents(dir string) []*agent.Agent {
	cfg, err := LoadConfig(dir)
	if err != nil {
		return nil
	}
	// Who uses them reads the error.
	agents, _, _ := PluginAgents(cfg, cmp.Or(dir, "."))
	return agents
}
