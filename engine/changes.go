package engine

import (
	"errors"

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
