// Package hook finds the hooks that settings of Claude Code configure: commands that
// it runs before and after tools and at other events. They are shown to the user and
// not run.
package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/claude-force/claude-force/internal/claudedir"
	"github.com/claude-force/claude-force/internal/jsontext"
)

const maxFile = 4 << 20

// Hook is one command of one event.
type Hook struct {
	File    string `json:"file"` // relative to the project's folder, or ~/…, or plugin NAME
	Event   string `json:"event"`
	Matcher string `json:"matcher,omitempty"`
	Command string `json:"command,omitempty"` // or another way to run it
}

// settings is the part of a file that configures hooks.
type settings struct {
	Hooks map[string][]struct {
		Matcher string `json:"matcher"`
		Hooks   []struct {
			Type    string `json:"type"`
			Command string `json:"command"`
		} `json:"hooks"`
	} `json:"hooks"`
}

// Find returns the hooks in the settings of a project's folder, of those above it up
// to the repository's, and of the user. Problems are files that cannot be read.
func Find(dir, home string) (hooks []Hook, problems []string, err error) {
	project, err := claudedir.Open(dir, home)
	if err != nil {
		return nil, nil, fmt.Errorf("looking for hooks: %w", err)
	}
	defer func() { err = errors.Join(err, project.Close()) }()
	read := func(tree *claudedir.Tree, name, shown string) {
		data, err := tree.Read(name, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		var found []Hook
		if err == nil {
			found, err = Parse(shown, data)
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", shown, err))
		}
		hooks = append(hooks, found...)
	}
	if project.Home != nil {
		for _, name := range []string{".claude/settings.json", ".claude/settings.local.json"} {
			read(project.Home, name, "~/"+name)
		}
	}
	for _, folder := range project.Folders {
		for _, name := range []string{".claude/settings.json", ".claude/settings.local.json"} {
			name = path.Join(folder, name)
			read(project.Tree, name, project.Shown(name))
		}
	}
	return hooks, problems, nil
}

// Parse returns the hooks in a file of settings, or in the hooks.json of a plugin.
func Parse(file string, data []byte) ([]Hook, error) {
	var s settings
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("its hooks cannot be read: %w", jsontext.ExplainLine(data, err))
	}
	var hooks []Hook
	for _, event := range slices.Sorted(maps.Keys(s.Hooks)) {
		for _, group := range s.Hooks[event] {
			for _, h := range group.Hooks {
				command := h.Command
				if command == "" {
					command = h.Type
				}
				hooks = append(hooks, Hook{file, event, group.Matcher, command})
			}
		}
	}
	return hooks, nil
}
