package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/internal/claudedir"
	"github.com/claude-force/claude-force/internal/nearest"
)

// DiscoverOptions says where to look for agents.
type DiscoverOptions struct {
	// Agents are agents that are defined in code. They come before all that are
	// found in files.
	Agents []*Agent
	// Dir is where to start; empty for the working directory. Every directory
	// from here up to the root of the repository (the nearest one with a .git)
	// may have a .claude/agents. Outside a repository, the directories up to
	// Home count; outside both, only Dir itself, so that another user's
	// /tmp/.claude has no effect.
	Dir string
	// Home is the user's home directory. Agents in its .claude/agents come after
	// the project's. Empty for none.
	Home string
	// Builtin holds the agents that come with the program, one file per agent,
	// each named after its agent. Nil for none.
	Builtin fs.FS
	// NoBuiltin ignores Builtin.
	NoBuiltin bool
}

// Set holds all agents that apply in one directory. The zero value and nil are empty
// sets. A Set is safe for concurrent use.
type Set struct {
	agents []*Agent // sorted by name
}

// Discover returns the agents that apply in opts.Dir. Of several with the same
// name the first counts, in this order: the project's .claude/agents (all
// *.md files below it), nearest directory first; the user's; the files listed
// under "agents" in a .claude/claude.json, again the project's first; the
// built-in ones. If two agents in the same .claude/agents have the same name, the
// last by path counts, as in Claude Code, and the other causes a warning.
//
// Files that are not agents or cannot be read are skipped with a warning. No link
// in a project leads out of its repository; the user's own links in Home are
// followed. Discover returns an error only if it cannot use Dir.
func Discover(opts DiscoverOptions) (*Set, []Warning, error) {
	places, err := opts.places()
	if err != nil {
		return nil, nil, err
	}
	var warnings []Warning
	found := make(map[string]*Agent)
	addNew(found, opts.Agents)
	for _, p := range places {
		agents, w := p.agents()
		warnings = append(warnings, w...)
		addNew(found, agents)
	}
	for _, p := range places {
		list, w := p.list()
		warnings = append(warnings, w...)
		for _, e := range list {
			if found[e.name] != nil {
				continue
			}
			a, w := p.listed(e)
			warnings = append(warnings, w...)
			if a != nil {
				found[a.Name] = a
			}
		}
	}
	agents, w := opts.builtins()
	warnings = append(warnings, w...)
	addNew(found, agents)

	s := &Set{}
	for _, a := range found {
		s.agents = append(s.agents, a)
	}
	slices.SortFunc(s.agents, func(a, b *Agent) int { return strings.Compare(a.Name, b.Name) })
	return s, warnings, nil
}

func addNew(found map[string]*Agent, agents []*Agent) {
	for _, a := range agents {
		if found[a.Name] == nil {
			found[a.Name] = a
		}
	}
}

// All returns the agents, sorted by name. The caller owns the slice; the agents
// are shared.
func (s *Set) All() []*Agent {
	if s == nil {
		return nil
	}
	return slices.Clone(s.agents)
}

// Lookup returns the agent with a name, or an [*UnknownError].
func (s *Set) Lookup(name string) (*Agent, error) {
	if s == nil {
		s = &Set{}
	}
	i, ok := slices.BinarySearchFunc(s.agents, name, func(a *Agent, name string) int { return strings.Compare(a.Name, name) })
	if ok {
		return s.agents[i], nil
	}
	known := make([]string, len(s.agents))
	for i, a := range s.agents {
		known[i] = a.Name
	}
	return nil, &UnknownError{Name: name, Suggestion: nearest.Name(name, known), Known: known}
}

// Find returns the same agent as [Discover] and [Set.Lookup], with the warnings of
// its own file, but reads less. It stops at the first directory that has the agent,
// skips files that clearly have another name, and reads only one built-in agent. If
// there is no such agent, the error is an [*UnknownError], and the warnings are
// those of Discover, which may contain the cause.
func Find(opts DiscoverOptions, name string) (*Agent, []Warning, error) {
	for _, a := range opts.Agents {
		if a.Name == name {
			return a, nil, nil
		}
	}
	places, err := opts.places()
	if err != nil {
		return nil, nil, err
	}
	for _, p := range places {
		if a, w := p.find(name); a != nil {
			return a, w, nil
		}
	}
	for _, p := range places {
		list, _ := p.list()
		for _, e := range list {
			if e.name != name {
				continue
			}
			if a, w := p.listed(e); a != nil {
				return a, w, nil
			}
		}
	}
	if a, w := opts.builtin(name); a != nil {
		return a, w, nil
	}
	set, warnings, err := Discover(opts)
	if err != nil {
		return nil, nil, err
	}
	a, err := set.Lookup(name)
	return a, warnings, err
}

// places returns the directories that may have a .claude, in order.
func (o DiscoverOptions) places() ([]place, error) {
	start, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding agents: %w", err)
	}
	if info, err := os.Stat(start); err != nil {
		return nil, fmt.Errorf("finding agents: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("finding agents: %s is not a directory", start)
	}
	home := ""
	if o.Home != "" {
		if home, err = filepath.Abs(o.Home); err != nil {
			return nil, fmt.Errorf("finding the user's agents: %w", err)
		}
	}
	var places []place
	if !claudedir.Same(start, home) {
		top := claudedir.Top(start, home)
		for dir := start; ; dir = filepath.Dir(dir) {
			places = append(places, place{dir: dir, top: top})
			if dir == top {
				break
			}
		}
	}
	if home != "" {
		places = append(places, place{dir: home, top: home, own: true})
	}
	return places, nil
}

// builtins returns all agents in o.Builtin.
func (o DiscoverOptions) builtins() ([]*Agent, []Warning) {
	if o.Builtin == nil || o.NoBuiltin {
		return nil, nil
	}
	files, err := fs.Glob(o.Builtin, "*.md")
	if err != nil {
		return nil, nil // only a bad pattern is an error
	}
	var agents []*Agent
	var warnings []Warning
	for _, file := range files {
		a, w := o.readBuiltin(file)
		warnings = append(warnings, w...)
		if a != nil {
			agents = append(agents, a)
		}
	}
	return agents, warnings
}

// builtin returns the built-in agent with a name, if its file has the same name.
func (o DiscoverOptions) builtin(name string) (*Agent, []Warning) {
	file := name + ".md"
	if o.Builtin == nil || o.NoBuiltin || strings.Contains(name, "/") || !fs.ValidPath(file) {
		return nil, nil
	}
	a, w := o.readBuiltin(file)
	if a == nil || a.Name != name {
		return nil, nil
	}
	return a, w
}

func (o DiscoverOptions) readBuiltin(file string) (*Agent, []Warning) {
	shown := BuiltinSource + "/" + file
	data, err := fs.ReadFile(o.Builtin, file)
	if err != nil {
		return nil, []Warning{{File: shown, Message: "cannot be read: " + err.Error()}}
	}
	a, warnings, err := Parse(shown, data)
	if err != nil {
		return nil, append(warnings, asWarning(shown, err))
	}
	a.Source = BuiltinSource
	return a, warnings
}

func asWarning(file string, err error) Warning {
	if e, ok := errors.AsType[*NotAgentError](err); ok {
		return e.Warning()
	}
	return Warning{File: file, Message: err.Error()}
}
