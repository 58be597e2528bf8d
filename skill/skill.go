// Package skill finds skills and commands: instructions that an agent loads when a
// task needs them (.claude/skills/NAME/SKILL.md), and that a user starts a task with
// (.claude/commands/NAME.md). Both are Markdown with YAML frontmatter, in the format
// of Claude Code.
//
// [Discover] finds them, [Set.Listing] tells an agent briefly which there are,
// [Skill.Expand] fills in arguments and [NewTool] returns the tool that loads one.
// Nothing of a skill is run when it is found or listed.
package skill

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/internal/nearest"
)

// Origin is who a skill is from, which decides what it may be allowed.
type Origin string

// Origins.
const (
	User    Origin = "user"
	Project Origin = "project"
	Plugin  Origin = "plugin"
)

// Skill is one skill or command.
type Skill struct {
	Name         string   `json:"name"`                    // of its folder or file; with a namespace, sub:name
	Title        string   `json:"title,omitempty"`         // the name in the frontmatter, if it is another
	Description  string   `json:"description,omitempty"`   // or the first line of the body
	WhenToUse    string   `json:"when_to_use,omitempty"`   // more of the description
	ArgumentHint string   `json:"argument_hint,omitempty"` // for people
	Model        string   `json:"model,omitempty"`         // for a task that starts with the command
	AllowedTools []string `json:"allowed_tools,omitempty"` // permission rules that it asks for
	Agent        string   `json:"agent,omitempty"`         // that a fork is run by

	Command   bool `json:"command,omitempty"`    // it is a command: a file alone
	UserOnly  bool `json:"user_only,omitempty"`  // the model may not load it
	ModelOnly bool `json:"model_only,omitempty"` // a user may not start a task with it
	Fork      bool `json:"fork,omitempty"`       // it wants an agent of its own

	Origin Origin `json:"origin"`
	File   string `json:"file"` // absolute
	Dir    string `json:"dir"`  // the folder with the files of a skill, absolute
	Root   string `json:"-"`    // the folder of the plugin, absolute; empty for others
	Body   string `json:"-"`
}

// Set is the skills and commands of a project and its user, sorted by name. The zero
// value and nil are empty sets.
type Set struct {
	skills []*Skill
	// Problems say, for the user, what was left out and why.
	Problems []string
}

// All returns the skills and commands. They are shared.
func (s *Set) All() []*Skill {
	if s == nil {
		return nil
	}
	return slices.Clone(s.skills)
}

// UnknownError says that there is no skill with a name.
type UnknownError struct {
	Name  string
	Near  string   // the most similar name; empty if none is similar
	Known []string // all names
}

func (e *UnknownError) Error() string {
	switch {
	case e.Near != "":
		return fmt.Sprintf("there is no skill or command %q; did you mean %q?", e.Name, e.Near)
	case len(e.Known) == 0:
		return fmt.Sprintf("there is no skill or command %q, nor any other", e.Name)
	}
	return fmt.Sprintf("there is no skill or command %q; known are %s", e.Name, strings.Join(e.Known, ", "))
}

// Lookup returns the skill with a name, which may start with a slash, or the title in
// its frontmatter; or an [*UnknownError].
func (s *Set) Lookup(name string) (*Skill, error) {
	name = strings.TrimPrefix(name, "/")
	if s == nil {
		s = &Set{}
	}
	for _, k := range s.skills {
		if k.Name == name {
			return k, nil
		}
	}
	for _, k := range s.skills {
		if k.Title == name && name != "" {
			return k, nil
		}
	}
	known := make([]string, len(s.skills))
	for i, k := range s.skills {
		known[i] = k.Name
	}
	return nil, &UnknownError{Name: name, Near: nearest.Name(name, known), Known: known}
}

// Bounds of the listing.
const (
	maxDescription = 1536     // characters of one description
	maxListing     = 32 << 10 // bytes of all
)

// Listing returns the skills that a model may load, one a line; empty if there are
// none. If descriptions take too much, the longest are left out.
func (s *Set) Listing() string {
	var lines, names []string
	total := 0
	for _, k := range s.All() {
		if k.UserOnly {
			continue
		}
		name := "- " + k.Name
		if k.Title != "" && k.Title != k.Name && !k.Command {
			name += " (" + k.Title + ")"
		}
		text := k.Description
		if k.WhenToUse != "" {
			text += " - " + k.WhenToUse
		}
		line := name + ": " + firstRunes(strings.Join(strings.Fields(text), " "), maxDescription)
		names, lines = append(names, name), append(lines, line)
		total += len(line) + 1
	}
	for total > maxListing {
		longest := 0
		for i := range lines {
			if len(lines[i])-len(names[i]) > len(lines[longest])-len(names[longest]) {
				longest = i
			}
		}
		if len(lines[longest]) == len(names[longest]) {
			break // names alone are too many, and each may be called
		}
		total -= len(lines[longest]) - len(names[longest])
		lines[longest] = names[longest]
	}
	return strings.Join(lines, "\n")
}

func firstRunes(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
