package mcpclient

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Limits of names. The API takes 64 characters.
const (
	maxToolName   = 64
	maxServerName = 40
)

var notInNames = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^a-zA-Z0-9_-]`) })

// normalize returns a name with every character that the API does not take replaced
// by an underscore.
func normalize(name string) string { return notInNames().ReplaceAllString(name, "_") }

// serverNameProblem returns why a server cannot have a name. A rule mcp__a stands
// for all tools of the server a, so no other server's tools may start like them.
func serverNameProblem(name string) string {
	switch {
	case name == "":
		return "it has no name"
	case len(name) > maxServerName:
		return fmt.Sprintf("its name has more than %d characters", maxServerName)
	case strings.Contains(name, "__"), strings.HasPrefix(name, "_"), strings.HasSuffix(name, "_"):
		return fmt.Sprintf("its name %s has an underscore at an end, or two in a row, so that permission rules could take it for another server", name)
	}
	return ""
}

// toolName returns the name by which the model calls a tool of a server. A name that
// is too long ends in a digest of it.
func toolName(server, tool string) string {
	name := "mcp__" + server + "__" + normalize(tool)
	if len(name) <= maxToolName {
		return name
	}
	sum := sha256.Sum256([]byte(tool))
	return name[:maxToolName-9] + "_" + hex.EncodeToString(sum[:4])
}

// matches reports whether a name in an agent's list of tools stands for a tool.
func matches(pattern, tool string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(pattern, "mcp__") && strings.HasPrefix(tool, prefix)
	}
	if pattern == tool {
		return true
	}
	server, ok := strings.CutPrefix(pattern, "mcp__")
	return ok && server != "" && !strings.Contains(server, "__") && strings.HasPrefix(tool, pattern+"__")
}
