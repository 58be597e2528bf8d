package permission

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-force/claude-force/internal/gitignore"
)

// place is a path as it was given and without links. Both are absolute and clean.
type place struct{ given, real string }

// paths returns the two, once if they are the same.
func (p place) paths() []string {
	if p.given == p.real {
		return []string{p.given}
	}
	return []string{p.given, p.real}
}

// place returns what a path stands for, from the folder cwd.
func (p *Policy) place(cwd, path string) place {
	switch {
	case path == "~":
		path = p.Home
	case strings.HasPrefix(path, "~/") && p.Home != "":
		path = filepath.Join(p.Home, path[2:])
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(cwd, path)
	}
	path = filepath.Clean(path)
	return place{path, resolve(path)}
}

// resolve returns a path without links. What does not exist stays as it is named.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path
	}
	// A link that leads nowhere yet still leads somewhere.
	if target, err := os.Readlink(path); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(resolve(dir), target)
		}
		if target != path {
			return filepath.Clean(target)
		}
	}
	return filepath.Join(resolve(dir), filepath.Base(path))
}

// inside reports whether a place is in the project or in a folder that was granted,
// as it is given and without links.
func (p *Policy) inside(at place) bool {
	for _, path := range at.paths() {
		found := false
		for _, dir := range append([]string{p.Dir}, p.Extra...) {
			if within(dir, path) || within(resolve(dir), path) {
				found = true
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// within reports whether path is dir or below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// matchesPath reports whether the pattern of a rule matches a path. Patterns are
// those of .gitignore: from the project's folder, from the home folder with ~/, from
// the root of the file system with //.
func (p *Policy) matchesPath(spec, path string) bool {
	base, pattern := p.base(spec)
	parsed, ok := gitignore.Parse(pattern)
	if !ok {
		return false
	}
	for _, dir := range []string{base, resolve(base)} {
		rel, err := filepath.Rel(dir, path)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		if rel == "." {
			return pattern == "**" || pattern == "*"
		}
		if parsed.MatchBelow(filepath.ToSlash(rel), false) {
			return true
		}
	}
	return false
}

// base returns the folder that the pattern of a rule starts from, and the pattern.
func (p *Policy) base(spec string) (dir, pattern string) {
	// Only an anchored folder is taken with what is in it: d/** means d at any depth.
	trimmed := strings.TrimSuffix(spec, "/**")
	if trimmed == "" {
		trimmed = "**"
	}
	switch {
	case strings.HasPrefix(spec, "//"):
		if rest := strings.TrimPrefix(trimmed, "/"); rest != "/" && rest != "" {
			return string(filepath.Separator), rest
		}
		return string(filepath.Separator), "**"
	case strings.HasPrefix(spec, "~/") && p.Home != "":
		if rest := strings.TrimPrefix(trimmed, "~"); rest != "" && rest != "/" {
			return p.Home, rest
		}
		return p.Home, "**"
	}
	return p.Dir, strings.TrimPrefix(trimmed, "./")
}

// sensitive reports whether changing a file could make other programs run what the
// agent wrote, or widen what it may do.
func sensitive(at place, dir string) bool {
	for _, path := range at.paths() {
		rel := path
		if r, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(r) {
			rel = r
		} else if r, err := filepath.Rel(resolve(dir), path); err == nil && filepath.IsLocal(r) {
			rel = r
		}
		for part := range strings.SplitSeq(filepath.ToSlash(rel), "/") {
			part = strings.ToLower(part)
			if sensitiveNames[part] || strings.HasPrefix(part, ".claude.") {
				return true
			}
		}
	}
	return false
}

var sensitiveNames = map[string]bool{
	".git": true, ".claude": true, ".claude-force": true, ".vscode": true, ".idea": true, ".husky": true, ".ssh": true, ".gnupg": true,
	".bashrc": true, ".bash_profile": true, ".bash_login": true, ".bash_logout": true, ".profile": true, ".zshrc": true, ".zshenv": true,
	".zprofile": true, ".zlogin": true, ".kshrc": true, ".gitconfig": true, ".gitmodules": true, ".mcp.json": true, ".ripgreprc": true, ".envrc": true,
	"claude-force.lock": true,
}
