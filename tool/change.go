package tool

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
)

// Change is what calls changed in an [Env] and later calls depend on. The journal
// keeps it with the result of each call, so that a task which goes on in another
// process has the environment that it had.
type Change struct {
	Cwd      string        `json:"cwd,omitempty"`      // the current folder; empty if it is the one before
	Files    []FileState   `json:"files,omitempty"`    // that were read or written
	Observed []Observation `json:"observed,omitempty"` // what was seen
	Todos    []Todo        `json:"todos,omitzero"`     // the list; nil if it is the one before
	Facts    []string      `json:"facts,omitempty"`    // that tools remembered
	Readable []string      `json:"readable,omitempty"` // folders that may be read since
}

// FileState is what is known of a file since a tool read or wrote it.
type FileState struct {
	Path   string `json:"path"`            // absolute, without links
	Digest string `json:"digest"`          // SHA-256 of its content, in hex
	Whole  bool   `json:"whole,omitempty"` // all of it was shown
}

// Empty reports whether nothing changed.
func (c Change) Empty() bool {
	return c.Cwd == "" && len(c.Files) == 0 && len(c.Observed) == 0 && c.Todos == nil && len(c.Facts) == 0 && len(c.Readable) == 0
}

// changed is what was changed since TakeChange was last called.
type changed struct {
	cwd, todos bool
	files      map[string]fileState // by path
	observed   []Observation
	facts      []string
	readable   []string
}

// TakeChange returns what was changed by way of e since it was last called. What calls
// changed that have an environment of their own, of ForCall, is not in it.
func (e *Env) TakeChange() Change {
	e.mu.Lock()
	defer e.mu.Unlock()
	var c Change
	if e.changed.cwd {
		c.Cwd = e.cwd
	}
	for _, path := range slices.Sorted(maps.Keys(e.changed.files)) {
		state := e.changed.files[path]
		c.Files = append(c.Files, FileState{path, hex.EncodeToString(state.digest[:]), state.whole})
	}
	if e.changed.todos {
		c.Todos = append([]Todo{}, e.todos...)
	}
	c.Observed, c.Facts, c.Readable = e.changed.observed, e.changed.facts, e.changed.readable
	e.changed = changed{}
	return c
}

// Restore makes a change that another environment of the same folders had. A
// current folder outside of them is ignored; so is a digest that is none.
func (e *Env) Restore(c Change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, _, ok := find(e.roots, c.Cwd); ok && c.Cwd != "" {
		e.cwd = c.Cwd // it need not exist any more: a later call may have removed it
	}
	for _, f := range c.Files {
		if digest, err := hex.DecodeString(f.Digest); err == nil && len(digest) == sha256.Size {
			e.learn(f.Path, fileState{[sha256.Size]byte(digest), f.Whole})
		}
	}
	e.observed = append(e.observed, c.Observed...)
	if c.Todos != nil {
		e.todos = slices.Clone(c.Todos)
	}
	for _, dir := range c.Readable {
		if _, _, ok := find(e.roots, dir); !ok {
			e.grantRead(dir)
		}
	}
	for _, fact := range c.Facts {
		if !slices.Contains(e.facts, fact) {
			e.facts = append(e.facts, fact)
		}
	}
	if len(c.Facts) > 0 && e.options.Restored != nil {
		e.options.Restored(c.Facts)
	}
}

// learn adds to what is known of a file, and returns that: of a file that has not
// changed, what was shown earlier stays shown.
func (e *Env) learn(path string, state fileState) fileState {
	before := e.reads[path]
	state.whole = state.whole || before.whole && before.digest == state.digest
	e.reads[path] = state
	return state
}

// changedFile notes that a call has read or written a file.
func (e *Env) changedFile(path string, state fileState) {
	if e.changed.files == nil {
		e.changed.files = map[string]fileState{}
	}
	e.changed.files[path] = e.learn(path, state)
}

// saw notes what a call has seen.
func (e *Env) saw(seen ...Observation) {
	e.observed = append(e.observed, seen...)
	e.changed.observed = append(e.changed.observed, seen...)
}
