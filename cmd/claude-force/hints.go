package main

import (
	"errors"
	"fmt"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/journal"
)

// hint returns the command to type after an error. It returns an empty string
// for errors whose message says what to do. Libraries know no commands; this is
// the one place that adds them.
func hint(err error) string {
	if owned, ok := errors.AsType[*journal.OwnedError](err); ok {
		return fmt.Sprintf("follow it with `claude-force runs watch %s`, or stop it with `claude-force runs cancel %[1]s`", owned.Run)
	}
	if _, ok := errors.AsType[*journal.AmbiguousError](err); ok || errors.Is(err, journal.ErrNotFound) {
		return "`claude-force runs list` shows the runs"
	}
	if _, ok := errors.AsType[*claudeforce.ChangedError](err); ok {
		return "with --accept-changes it resumes: unchanged steps keep their results, the rest runs again"
	}
	if errors.Is(err, claudeforce.ErrRunCompleted) {
		return "see its results with `claude-force runs output`, or run the workflow again"
	}
	return ""
}
