package tool

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// Observation is something a tool saw in the file system. A step whose
// observations are all unchanged would see the same again.
type Observation struct {
	Kind   string `json:"kind"`   // "file", "glob" or "grep"
	Name   string `json:"name"`   // path, or the call's input
	Digest string `json:"digest"` // SHA-256 of what was seen, in hex
}

// fileState is what is known of a file since a tool read or wrote it.
type fileState struct {
	digest [sha256.Size]byte
	whole  bool // all of it was shown
}

// Observed returns what the tools saw, in order.
func (e *Env) Observed() []Observation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.observed)
}

// NoteSeen records what an agent saw that works for this one.
func (e *Env) NoteSeen(seen ...Observation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.saw(seen...)
}

// NoteRead records that the agent has seen a file by other means than Read, such
// as a command that printed it. A file that cannot be read is left out.
func (e *Env) NoteRead(path string) {
	f, err := e.read(e.Abs(path), maxNoted)
	if err == nil {
		e.noteRead(f.path, f.data, true)
	}
}

// maxNoted is the size up to which NoteRead reads a file.
const maxNoted = 8 << 20

// noteRead records the content of a file that the agent has seen.
func (e *Env) noteRead(path string, data []byte, whole bool) {
	digest := sha256.Sum256(data)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changedFile(path, fileState{digest: digest, whole: whole})
	e.saw(Observation{Kind: "file", Name: path, Digest: hex.EncodeToString(digest[:])})
}

// noteWritten records the content that a tool gave a file.
func (e *Env) noteWritten(path string, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changedFile(path, fileState{digest: sha256.Sum256(data), whole: true})
}

// noteSeen records what a search gave.
func (e *Env) noteSeen(kind, name, seen string) {
	digest := sha256.Sum256([]byte(seen))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.saw(Observation{Kind: kind, Name: name, Digest: hex.EncodeToString(digest[:])})
}

// known returns what is known of a file.
func (e *Env) known(path string) (fileState, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	state, ok := e.reads[path]
	return state, ok
}
