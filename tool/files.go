package tool

import (
	"regexp"
	"slices"
)

// Files returns the tools that work on files, and the list of what is to be done.
func Files() []Tool {
	return []Tool{Read(), Write(), Edit(), Glob(), Grep(), TodoWrite()}
}

// readFirst are the models whose agents must read a file before they change it.
var readFirst = []string{
	"claude-opus-4-5", "claude-opus-4-6", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-3-5-haiku",
}

var dated = regexp.MustCompile(`-20[0-9]{6}$`)

// RequiresRead reports whether agents of a model must read a file before they
// change it, see [Options]. The newer models do so without being made to.
func RequiresRead(model string) bool {
	return slices.Contains(readFirst, dated.ReplaceAllString(model, ""))
}
