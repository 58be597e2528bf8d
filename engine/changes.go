package engine

import (
	"errors"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/journal"
)

// changedFiles returns the files that have changed since a base. What is listed once is
// the same for all of the run, also when it is resumed.
func (r *run) changedFiles(base string, uncommitted bool) ([]string, error) {
	since := journal.ChangesSince{Base: base, Uncommitted: uncommitted}
	if files, ok := r.changes[since]; ok {
		return files, nil
	}
	if r.opts.ChangedFiles == nil {
		return nil, errors.New("which files have changed is not known here")
	}
	files, err := r.opts.ChangedFiles(r.attempts, base, uncommitted)
	if err != nil {
		return nil, err
	}
	r.changes[since] = files
	if r.opts.Log != nil {
		r.append(nil, journal.Event{Type: journal.ChangesListed, Detail: journal.Detail(journal.Changes{ChangesSince: since, Files: files})})
	}
	return files, nil
}

// isChangedFile reports whether a pattern that could match several files is the path of
// one that has changed. If that file is gone, the pattern must match no other.
func (r *run) isChangedFile(pattern string) bool {
	if !strings.ContainsAny(pattern, `*?[{\\`) {
		return false
	}
	for _, files := range r.changes {
		if slices.Contains(files, pattern) {
			return true
		}
	}
	return false
}
