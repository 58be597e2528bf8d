package tool

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// globs are patterns that choose files, as ripgrep's --glob does: without a slash
// in a name at any depth, otherwise from the folder of the search; with ! they
// leave files out; the last that matches counts.
type globs struct {
	patterns []globPattern
	chooses  bool // a pattern without !, so that a file must match one
}

type globPattern struct {
	glob     string
	excludes bool
}

// newGlobs reads patterns.
func newGlobs(patterns ...string) (globs, error) {
	var g globs
	for _, pattern := range patterns {
		text, excludes := strings.CutPrefix(pattern, "!")
		anchored := strings.Contains(strings.TrimSuffix(text, "/"), "/")
		folder := strings.HasSuffix(text, "/")
		text = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(text, "/"), "./"), "/")
		if !anchored {
			text = "**/" + text
		}
		if !doublestar.ValidatePattern(text) {
			return g, fmt.Errorf("glob %q is not valid: a bracket or brace is not closed", pattern)
		}
		if folder && !excludes {
			text += "/\x00" // folders are not listed, so it matches none
		}
		g.patterns = append(g.patterns, globPattern{text, excludes})
		g.chooses = g.chooses || !excludes
	}
	return g, nil
}

// match reports whether a file is chosen; name is relative to the folder of the
// search.
func (g globs) match(name string) bool {
	for _, p := range slices.Backward(g.patterns) {
		if ok, err := doublestar.Match(p.glob, name); ok && err == nil {
			return !p.excludes
		}
		if !p.excludes {
			continue
		}
		// What leaves out a folder leaves out what is below it.
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if ok, err := doublestar.Match(p.glob, dir); ok && err == nil {
				return false
			}
		}
	}
	return !g.chooses
}

// includes reports whether a pattern without ! names a path, so that it is searched
// although it is ignored.
func (g globs) includes(name string) bool {
	for _, p := range slices.Backward(g.patterns) {
		if ok, err := doublestar.Match(p.glob, name); ok && err == nil {
			return !p.excludes
		}
	}
	return false
}
