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

// pending is what changed since TakeChange was last called.
type pending struct {
	cwd, todos bool
	files      map[string]bool // by path
	observed   int             // how many of the observations were taken
	facts      []string
	readable   []string
}

// TakeChange returns what calls changed since it was last called. Of calls that run
// at once, one may get what another changed.
func (e *Env) TakeChange() Change {
	e.mu.Lock()
	defer e.mu.Unlock()
	var c Change
	if e.pending.cwd {
		c.Cwd = e.cwd
	}
	for _, path := range slices.Sorted(maps.Keys(e.pending.files)) {
		state := e.reads[path]
		c.Files = append(c.Files, FileState{path, hex.EncodeToString(state.digest[:]), state.whole})
	}
	c.Observed = slices.Clone(e.observed[e.pending.observed:])
	if e.pending.todos {
		c.Todos = append([]Todo{}, e.todos...)
	}
	c.Facts, c.Readable = e.pending.facts, e.pending.readable
	e.pending = pending{observed: len(e.observed)}
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
			e.reads[f.Path] = fileState{[sha256.Size]byte(digest), f.Whole}
		}
	}
	taken := e.pending.observed == len(e.observed)
	e.observed = append(e.observed, c.Observed...)
	if taken {
		e.pending.observed = len(e.observed)
	}
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

// changedFile notes that what is known of a file has changed.
func (e *Env) changedFile(path string, state fileState) {
	if e.pending.files == nil {
		e.pending.files = map[string]bool{}
	}
	e.reads[path], e.pending.files[path] = state, true
}
