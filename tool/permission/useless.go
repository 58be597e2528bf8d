package permission

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-force/claude-force/internal/gitignore"
)

// Useless returns why a rule can match no call of its tool, and what may be meant
// instead; empty texts if it can. The policy says where paths begin.
func (p *Policy) Useless(r Rule) (why, hint string) {
	if r.All {
		return "", ""
	}
	switch r.Tool {
	case "Bash", "Skill", "Agent":
		return "", ""
	case "Read", "Edit", "Glob", "Grep":
		return p.uselessPath(r)
	case "Write", "NotebookEdit":
		return "rules for the files that a call may change are those of Edit, whatever the tool", fmt.Sprintf("write %s, Edit(%s)", r.Tool, r.Spec)
	case "WebFetch":
		return uselessHost(r.Spec)
	}
	return fmt.Sprintf("calls of %s have nothing that parentheses could match", r.Tool), "write " + r.Tool
}

// uselessPath does what Useless does for rules with patterns of paths.
func (p *Policy) uselessPath(r Rule) (why, hint string) {
	dir, pattern := p.base(r.Spec)
	if _, ok := gitignore.Parse(pattern); !ok {
		return fmt.Sprintf("%q is no pattern of files", r.Spec), ""
	}
	for part := range strings.SplitSeq(pattern, "/") {
		if part == ".." {
			return "patterns have no ..", "a file outside the project is //PATH from the root, or ~/PATH from the home folder"
		}
	}
	fixed := fixedPart(pattern)
	switch {
	case strings.HasPrefix(r.Spec, "//"), strings.HasPrefix(r.Spec, "~/"):
		// A pattern that begins above the project can be of files in it.
		start := filepath.Join(dir, filepath.FromSlash(fixed))
		for _, folder := range append([]string{p.Dir}, p.Extra...) {
			if within(folder, start) || within(start, folder) || within(resolve(folder), start) {
				return "", ""
			}
		}
		if p.allowsPath(p.place(dir, filepath.Join(start, "x")), r.Tool, "Read") && r.Tool != "Edit" || p.allowsPath(p.place(dir, filepath.Join(start, "x")), "Edit") {
			return "", ""
		}
		return "it is outside the project, and you allow nothing there", "allow the folder, or give a rule of your own for it"
	case strings.HasPrefix(pattern, "/") && fixed != "":
		first, _, _ := strings.Cut(fixed, "/")
		if exists(filepath.Join(p.Dir, first)) || !exists(string(filepath.Separator)+first) {
			return "", ""
		}
		if rel, err := filepath.Rel(p.Dir, string(filepath.Separator)+filepath.FromSlash(fixed)); err == nil && filepath.IsLocal(rel) {
			return "a path that begins with / is one from the project's folder", fmt.Sprintf("write %s(/%s)", r.Tool, strings.TrimPrefix(strings.TrimPrefix(r.Spec, filepath.ToSlash(p.Dir)), "/"))
		}
		return fmt.Sprintf("a path that begins with / is one from the project's folder, which has no %s", first), "one from the root of the file system begins with //, and needs that you allow its folder"
	}
	return "", ""
}

// fixedPart returns the folders and names that a pattern begins with, before the first
// wildcard, without slashes around them.
func fixedPart(pattern string) string {
	var parts []string
	for part := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
		if strings.ContainsAny(part, `*?[\`) {
			break
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "/")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// uselessHost does what Useless does for rules of WebFetch.
func uselessHost(spec string) (why, hint string) {
	host, ok := strings.CutPrefix(spec, "domain:")
	if !ok {
		host = spec
	}
	if u, err := url.Parse(host); err == nil && u.Host != "" {
		host = u.Hostname()
	}
	host, _, _ = strings.Cut(host, "/")
	if name, port, found := strings.Cut(host, ":"); found && !strings.Contains(port, ":") {
		host = name
	}
	hint = fmt.Sprintf("write WebFetch(domain:%s)", host)
	if !ok {
		return "rules of WebFetch name a domain", hint
	}
	if "domain:"+host != spec || host == "" {
		return "a domain is the name of a host, without scheme, port and path", hint
	}
	if rest := strings.TrimPrefix(host, "*."); strings.ContainsAny(rest, "*?") {
		return "a domain has no wildcard but *. at its start", ""
	}
	return "", ""
}

// Covers reports whether a rule that denies leaves nothing of another: that it matches
// every call of its tool that the other does. It may miss some that do.
func (p *Policy) Covers(denies, r Rule) bool {
	if !denies.named(r.Tool, true) {
		return false
	}
	if denies.All || denies.Spec == r.Spec {
		return true
	}
	if r.All {
		return false
	}
	switch r.Tool {
	case "Bash":
		prefix, star := strings.CutSuffix(denies.Spec, ":*")
		if !star || strings.ContainsAny(prefix, "*") {
			return false
		}
		command := strings.TrimSuffix(r.Spec, ":*")
		return !strings.Contains(command, "*") && (command == prefix || strings.HasPrefix(command, prefix+" "))
	case "Read", "Edit", "Write", "NotebookEdit", "Glob", "Grep":
		dir, pattern := p.base(r.Spec)
		if !strings.Contains(strings.Trim(pattern, "/"), "/") && !strings.HasPrefix(pattern, "/") {
			return false // a name at any depth
		}
		fixed := fixedPart(pattern)
		return fixed != "" && strings.HasSuffix(denies.Spec, "/**") && p.matchesPath(denies.Spec, filepath.Join(dir, filepath.FromSlash(fixed), "x"))
	}
	return false
}
