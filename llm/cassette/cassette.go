// Package cassette records calls into a folder of readable files and replays
// them: without a network, without a credential, and with the same bytes every
// time.
//
//	recorder, err := cassette.Create(dir, cassette.Meta{Program: "my program"}, cassette.Options{})
//	…
//	model := recorder.Layer(pipeline) // outermost, so that free answers are recorded too
//	…
//	err = recorder.Close()
//
//	player, err := cassette.Open(dir)
//	model := player.Model() // in place of the whole pipeline
//
// The folder:
//
//	cassette.json                    the manifest: program, time, metadata
//	calls/0001-AGENT-1a2b3c4d.json   one call: request, answer or failure, timing
//	tools/0001-Read-1a2b3c4d.json    one call of a tool: its input and its result
//	…                                other files of the recording, see [Recorder.WriteFile]
//
// The player finds a call by an [llm.Key] of its redacted request, without
// provider and namespace, so that a recording made with one account replays
// with any or none. Everything written to the folder is redacted: it contains
// no credential from requests or answers.
//
// The same call can be made several times and get different answers (with
// [llm.PolicyOff], or without a cache). A call's file therefore holds the
// number of the first repetition that got its answer. The player answers the
// n-th caller as the n-th was answered during the recording, and all later
// callers with the last answer. Callers are numbered in the order in which they
// start.
//
// A failed call is recorded as its failure, unless a later identical call
// succeeded. A call that its caller canceled is not recorded.
//
// The tools that an agent was offered are recorded, and what their calls gave. A
// replay runs none: it takes the results from the cassette. A call of a tool is
// found by the key of the request whose answer made it, and its id.
//
// Invariant: every file appears complete or not at all, so an interrupted
// recording can be opened.
package cassette

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/internal/openfile"
)

// ErrExists is the error of [Create] for a folder that holds a cassette, unless
// [Options.Replace] is set.
var ErrExists = errors.New("a cassette already exists")

// Meta describes a recording.
type Meta struct {
	// Program is the recording program: name and version.
	Program string
	// Created is the time of the recording. The zero value means now.
	Created time.Time
	// Recorded holds metadata for the replay: the workflow's file, its params,
	// the run's id. Its values must be encodable as JSON; credentials in them
	// are redacted.
	Recorded map[string]any
}

const (
	formatVersion = 2
	plainVersion  = 1 // of a cassette without tools, which older programs can replay

	manifestName = "cassette.json"
	callsDir     = "calls"
	toolsDir     = "tools"

	maxFile = 256 << 20 // bytes of one file
)

// manifest is the content of cassette.json.
type manifest struct {
	Format   int            `json:"format"`
	Program  string         `json:"program,omitempty"`
	Created  time.Time      `json:"created"`
	Recorded map[string]any `json:"recorded,omitempty"`
	Files    []string       `json:"files,omitempty"` // written by WriteFile

	// Complete is true once the recording was closed; Calls and Tools then list
	// their files.
	Complete bool     `json:"complete"`
	Calls    []string `json:"calls,omitempty"`
	Tools    []string `json:"tools,omitempty"`
}

func readManifest(root *os.Root) (*manifest, error) {
	file := filepath.Join(root.Name(), manifestName)
	data, err := openfile.ReadIn(root, manifestName, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a cassette: it has no %s: %w", root.Name(), manifestName, fs.ErrNotExist)
	} else if err != nil {
		return nil, fmt.Errorf("reading a cassette: %w", err)
	}
	var version struct{ Format int }
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, damaged(file, data, err)
	}
	switch {
	case version.Format > formatVersion:
		return nil, fmt.Errorf("%s has format %d, but this program supports formats up to %d: update the program, or record again", file, version.Format, formatVersion)
	case version.Format < 1:
		return nil, fmt.Errorf("%s has no format: it is not a cassette's, or it is damaged", file)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, damaged(file, data, err)
	}
	return &m, nil
}

// damaged returns the error for a file that cannot be parsed, with its line if
// that is known.
func damaged(file string, data []byte, err error) error {
	line, err := jsontext.Explain(data, err)
	if line > 0 {
		file = fmt.Sprintf("%s:%d", file, line)
	}
	return fmt.Errorf("%s is damaged: %w; restore it, or record again", file, err)
}

// checkName returns an error if the caller may not create a file of that name
// in the folder.
func checkName(name string) error {
	first, _, _ := strings.Cut(name, "/")
	switch {
	case !fs.ValidPath(name) || name == "." || !filepath.IsLocal(filepath.FromSlash(name)) || strings.Contains(name, `\`):
		return fmt.Errorf("%q is not a valid name for a file in a cassette: give a path within its folder, with slashes", name)
	case strings.EqualFold(first, manifestName), strings.EqualFold(first, callsDir), strings.EqualFold(first, toolsDir):
		return fmt.Errorf("%q is not a valid name for a file in a cassette: %s, %s and %s are reserved", name, manifestName, callsDir, toolsDir)
	case strings.HasPrefix(path.Base(name), "."):
		return fmt.Errorf("%q is not a valid name for a file in a cassette: it starts with a dot", name)
	}
	return nil
}
