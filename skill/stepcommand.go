package skill

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/claude-force/claude-force/internal/claudedir"
	"github.com/claude-force/claude-force/internal/mdscan"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/workflow"
)

// StepCommand returns a command as the task of a workflow's step. exists reports whether
// a path is that of a file that the step may be given. The error says what the command
// has that a step does not do; no command of the body is ever run.
func (s *Skill) StepCommand(exists func(path string) bool) (*workflow.SlashCommand, error) {
	rules, bad := s.Rules()
	fenced := mdscan.Fenced(s.Body)
	shell, _, _ := nextCommand(s.Body, 0, &fenced)
	switch {
	case !s.Command:
		return nil, fmt.Errorf("%s is a skill and no command; agents with the tool Skill load it", s.Name)
	case s.ModelOnly:
		return nil, fmt.Errorf("the command %s is for agents alone (user-invocable: false)", s.Name)
	case bad != "":
		return nil, errors.New(bad)
	case shell != "":
		return nil, fmt.Errorf("the command %s runs a command of a shell, !`%s`, and a step does not; run it in a step with run, and give its output in arguments", s.Name, shell)
	}
	c := &workflow.SlashCommand{Name: s.Name, Model: s.Model}
	var err error
	if c.Body, err = s.parts(s.Body); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, path := range mdscan.References(s.Body) {
		if trimmed := strings.TrimRight(path, ".,;:!?)\"'"); !exists(path) && trimmed != "" {
			path = trimmed // it ends a sentence
		}
		if seen[path] {
			continue
		}
		seen[path] = true
		parts, err := s.parts(path)
		switch {
		case err != nil:
			return nil, err
		case len(c.Files) == maxFiles:
			return nil, fmt.Errorf("the command %s refers to more than %d files", s.Name, maxFiles)
		case len(parts) == 1 && !parts[0].All && parts[0].Position == 0 && !exists(parts[0].Text):
			c.Notes = append(c.Notes, fmt.Sprintf("the command %s has @%s, and there is no such file in the project; it is given as text", s.Name, path))
		default:
			c.Files = append(c.Files, parts)
		}
	}
	for _, r := range rules {
		c.Notes = append(c.Notes, fmt.Sprintf("the command %s asks for %s, which a workflow cannot grant; allow it when you run the workflow, or in your settings", s.Name, r))
	}
	return c, nil
}

// parts returns the parts of a text in which arguments replace placeholders.
func (s *Skill) parts(text string) ([]workflow.SlashCommandPart, error) {
	var parts []workflow.SlashCommandPart
	for _, p := range pieces(text) {
		switch value := s.variable(p.variable); {
		case p.variable == sessionVariable:
			return nil, fmt.Errorf("the command %s has %s, and a step has no session", s.Name, p.variable)
		case value != "":
			parts = append(parts, workflow.SlashCommandPart{Text: value})
		default:
			parts = append(parts, workflow.SlashCommandPart{Text: p.text, All: p.all, Position: p.position})
		}
	}
	return parts, nil
}

// ReadCommand returns the command that a file holds, which need not be in a folder of
// commands. A path that is relative is one in dir, and no link in it leads out.
func ReadCommand(dir, file string) (_ *Skill, err error) {
	if !filepath.IsLocal(file) {
		dir, file = filepath.Split(file)
	}
	tree, err := claudedir.OpenTree(dir)
	if err != nil {
		return nil, fmt.Errorf("there is no command %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	data, err := tree.Read(filepath.ToSlash(filepath.Clean(file)), maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no command %s", file)
	case err != nil:
		return nil, fmt.Errorf("reading the command %s: %v", file, openfile.Reason(err))
	}
	shown := tree.Path(filepath.Clean(file))
	k, _ := parse(shown, data)
	k.Name, k.Command, k.Origin = strings.TrimSuffix(filepath.Base(file), ".md"), true, Project
	k.File, k.Dir = shown, filepath.Dir(shown)
	return k, nil
}
