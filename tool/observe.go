package tool

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// Kinds of observations.
const (
	SawFile     = "file"    // the content of a file
	SawGlob     = "glob"    // what Glob listed
	SawGrep     = "grep"    // what Grep found
	SawFailure  = "failed"  // how a call of Read, Glob or Grep failed
	SawTree     = "tree"    // what a command can see of the working folder
	Wrote       = "written" // the content that a call gave a file
	SawAnything = "opaque"  // a call that may have seen, or done, anything
)

// Observation is something a tool saw in the file system, or did to it. A step whose
// observations are all unchanged would see the same again; see [Env.Verify].
type Observation struct {
	Kind   string `json:"kind"`             // see above
	Name   string `json:"name"`             // path without links; the input of a search; patterns of a tree; the name of a tool
	Digest string `json:"digest,omitempty"` // SHA-256 of what was seen, in hex; empty of a file that was not there
	Path   string `json:"path,omitempty"`   // of a file, as it was named, if that is not Name

	// The call, if it only read: what it saw can be looked at again.
	Tool  string `json:"tool,omitempty"`
	Input string `json:"input,omitempty"`
	Cwd   string `json:"cwd,omitempty"` // the current folder; empty if it is the working folder
}

// Noted is the version of what tools note. What an earlier version noted is not all
// that calls depended on.
const Noted = 1

// Sight says what the calls of a tool depend on.
type Sight int

// Sights. A tool that says nothing has the first.
const (
	SightAnything Sight = iota // anything there is, such as the web
	SightNoted                 // what the tool notes with the environment
	SightTree                  // what is in the working folder, as for a command
)

// Sighted is a tool that says what a call with an input depends on. A call of any
// other tool may depend on anything, so that a task which made one never counts as
// unchanged.
type Sighted interface {
	Tool
	Sight(input json.RawMessage) Sight
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

// NoteAnything records that a call of a tool may have seen anything.
func (e *Env) NoteAnything(tool string) { e.NoteSeen(Observation{Kind: SawAnything, Name: tool}) }

// NoteRead records that the agent has seen a file by other means than Read, such
// as a command that printed it. A file that cannot be read is left out.
func (e *Env) NoteRead(path string) {
	path = e.Abs(path)
	f, err := e.read(path, maxNoted)
	if err == nil {
		e.noteKnown(f, true)
		e.noteContent(path, f)
	}
}

// maxNoted is the size up to which NoteRead reads a file.
const maxNoted = 8 << 20

// noteKnown records that the agent knows the content of a file.
func (e *Env) noteKnown(f file, whole bool) {
	digest := sha256.Sum256(f.data)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changedFile(f.path, fileState{digest: digest, whole: whole})
}

// noteContent records that a result depends on the content of a file, which was named
// by a path.
func (e *Env) noteContent(path string, f file) {
	e.NoteSeen(Observation{Kind: SawFile, Name: f.path, Digest: digestOf(string(f.data)), Path: other(path, f.path)})
}

// other returns a path unless it is the one without links.
func other(path, real string) string {
	if path == real {
		return ""
	}
	return path
}

// noteWritten records the content that a tool gave a file, by the name that was
// used and the path without links.
func (e *Env) noteWritten(named, path string, data []byte) {
	digest := sha256.Sum256(data)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changedFile(path, fileState{digest: digest, whole: true})
	e.saw(Observation{Kind: Wrote, Name: path, Digest: hex.EncodeToString(digest[:]), Path: other(named, path)})
}

// noteCall records what a call that only reads saw.
func (e *Env) noteCall(kind, name, seen, tool string, input json.RawMessage) {
	o := Observation{Kind: kind, Name: name, Digest: digestOf(seen), Tool: tool, Input: string(input), Cwd: e.Cwd()}
	if o.Cwd == e.dir {
		o.Cwd = ""
	}
	if name == o.Input {
		o.Input = ""
	}
	e.NoteSeen(o)
}

// noteFailed records how a call that only reads failed.
func (e *Env) noteFailed(tool string, input json.RawMessage, result Result, err error) {
	text := result.Text
	if err != nil {
		text = err.Error()
	}
	e.noteCall(SawFailure, string(input), text, tool, input)
}

func digestOf(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

// known returns what is known of a file.
func (e *Env) known(path string) (fileState, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	state, ok := e.reads[path]
	return state, ok
}
