package skill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/toolset"
)

// ContributorOptions are what a caller decides about [Contributor].
type ContributorOptions struct {
	// Home is the user's home folder. Empty for none.
	Home string
	// Plugins returns the verified plugins of a project's folder. May be nil.
	Plugins func(dir string) ([]Source, error)
}

// Contributor returns what adds skills to tasks of agents with tools: the tool that
// loads them and the list of them, and those that the agent's file names.
func Contributor(options ContributorOptions) toolset.Contributor {
	var noticed sync.Map
	return func(ctx context.Context, s *toolset.Session) (toolset.Contribution, error) {
		set, err := discover(s, options)
		if err != nil {
			return toolset.Contribution{}, err
		}
		problems := set.Problems
		var c toolset.Contribution
		c.Sources = map[string]string{}
		for _, name := range agent.List(s.Agent.Extra["skills"]) {
			k, err := set.Lookup(name)
			if err != nil {
				problems = append(problems, fmt.Sprintf("agent %s: %v", s.Agent.Name, err))
				continue
			}
			// What a body would run or read is for calls, which have permissions.
			x, err := k.Expand(ctx, "", Host{})
			if err != nil {
				return toolset.Contribution{}, err
			}
			text := k.Instructions(x)
			c.Context = append(c.Context, text)
			c.Sources["skill "+k.Name] = digest(text)
		}
		listing := set.Listing()
		if listing != "" || names(s, ToolName) {
			c.Tools = append(c.Tools, NewTool(set, s))
		}
		if listing != "" && s.Offers(ToolName) {
			text := "<system-reminder>\nSkills that the tool " + ToolName + " loads:\n\n" + listing + "\n</system-reminder>"
			c.Context = append(c.Context, text)
			c.Sources["the list of skills"] = digest(text)
		}
		for _, problem := range problems {
			if _, again := noticed.LoadOrStore(problem, true); !again {
				s.Notice(ctx, problem)
			}
		}
		return c, nil
	}
}

// discover returns the skills of a session's folder.
func discover(s *toolset.Session, options ContributorOptions) (*Set, error) {
	o := Options{Dir: s.Dir, Home: options.Home, Denied: func(path string) bool { return s.Policy().DeniedFile(false, path) }}
	if options.Plugins != nil {
		var err error
		if o.Plugins, err = options.Plugins(s.Project().Dir()); err != nil {
			return nil, err
		}
	}
	return Discover(o)
}

// names reports whether the agent's file names a tool.
func names(s *toolset.Session, name string) bool {
	for _, entry := range s.Agent.Tools {
		if entry, _, _ = strings.Cut(entry, "("); strings.TrimSpace(entry) == name {
			return true
		}
	}
	return false
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
