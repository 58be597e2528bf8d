// Package cassette records calls into a folder that people can read, and
// answers from it again: without a network, without a credential, and with the
// same bytes every time.
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
//	cassette.json                    what it is, when and by what it was recorded
//	calls/0001-AGENT-1a2b3c4d.json   one call: request, answer or failure, timing
//	…                                what else belongs to the recording, see [Recorder.WriteFile]
//
// A call is found by an [llm.Key] of its request with every credential in it
// blotted out, without provider and namespace, so that a recording made with
// one account replays with any or none. The same is done to all that is
// written: no credential that [llm] requests or answers hold reaches the
// folder.
//
// The same call can be made several times and be answered differently (with
// [llm.PolicyOff], or without a cache). A call's file therefore says from which
// time on its answer was given; the player gives the n-th caller what the n-th
// caller got when it was recorded, and whoever asks more often the last
// answer. Callers count in the order in which they start.
//
// A call that failed is recorded as its failure, unless the same call was made
// again later and answered. One that its caller gave up is not recorded.
//
// The invariant: every file appears whole or not at all, so a recording that
// was interrupted can be opened.
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
)

// ErrExists is what [Create] returns for a folder that holds a cassette which
// it was not told to replace.
var ErrExists = errors.New("a cassette is there already")

// Meta says what was recorded.
type Meta struct {
	// Program is who recorded: name and version.
	Program string
	// Created is when. The zero time means now to [Create].
	Created time.Time
	// Recorded is whatever helps to replay it: the workflow's file, its
	// params, the run's id. The values must be such that JSON can hold them;
	// credentials in them are blotted out.
	Recorded map[string]any
}

const (
	formatVersion = 1

	manifestName = "cassette.json"
	callsDir     = "calls"
)

// manifest is cassette.json.
type manifest struct {
	Format   int            `json:"format"`
	Program  string         `json:"program,omitempty"`
	Created  time.Time      `json:"created"`
	Recorded map[string]any `json:"recorded,omitempty"`
	Files    []string       `json:"files,omitempty"` // written by WriteFile

	// Complete says that the recording was closed; Calls are its files then.
	Complete bool     `json:"complete"`
	Calls    []string `json:"calls,omitempty"`
}

func readManifest(root *os.Root) (*manifest, error) {
	file := filepath.Join(root.Name(), manifestName)
	data, err := root.ReadFile(manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no cassette: it has no %s: %w", root.Name(), manifestName, fs.ErrNotExist)
	} else if err != nil {
		return nil, fmt.Errorf("reading a cassette: %w", err)
	}
	var version struct{ Format int }
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, damaged(file, data, err)
	}
	switch {
	case version.Format > formatVersion:
		return nil, fmt.Errorf("%s is of format %d, and this program reads up to %d: update it, or record again", file, version.Format, formatVersion)
	case version.Format < 1:
		return nil, fmt.Errorf("%s has no format: it is not of a cassette, or damaged", file)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, damaged(file, data, err)
	}
	return &m, nil
}

// damaged is the error for a file that cannot be read, with its line if that
// is known.
func damaged(file string, data []byte, err error) error {
	offset := int64(-1)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
	} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = e.Offset
	}
	if offset >= 0 && offset <= int64(len(data)) {
		file = fmt.Sprintf("%s:%d", file, 1+strings.Count(string(data[:offset]), "\n"))
	}
	return fmt.Errorf("%s is damaged: %w; restore it, or record again", file, err)
}

// checkName reports what is wrong with the name of a file that the caller
// puts into the folder.
func checkName(name string) error {
	first, _, _ := strings.Cut(name, "/")
	switch {
	case !fs.ValidPath(name) || name == "." || !filepath.IsLocal(filepath.FromSlash(name)) || strings.Contains(name, `\`):
		return fmt.Errorf("%q is not a name for a file in a cassette: give a path within its folder, with slashes", name)
	case strings.EqualFold(first, manifestName), strings.EqualFold(first, callsDir):
		return fmt.Errorf("%q is not a name for a file in a cassette: %s and %s are its own", name, manifestName, callsDir)
	case strings.HasPrefix(path.Base(name), "."):
		return fmt.Errorf("%q is not a name for a file in a cassette: it begins with a dot", name)
	}
	return nil
}
