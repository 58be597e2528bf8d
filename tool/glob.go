package tool

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/claude-force/claude-force/llm"
)

// maxGlob is how many files Glob lists.
const maxGlob = 100

// Glob returns the tool that lists files by a pattern.
func Glob() Tool { return globTool{} }

type globTool struct{}

func (globTool) Definition() llm.Tool {
	return llm.Tool{Name: "Glob", Description: `Lists the files whose paths match a pattern, the least recently changed first, at most 100.

- A pattern without a slash, such as *.go, matches names at any depth; with one, such as src/**/*.ts, it matches from the folder that is searched. {a,b} matches either.
- Hidden and ignored files are listed too, folders are not.
- path is the folder that is searched; without it, the current one.`, InputSchema: schema(`{
	"type": "object", "additionalProperties": false, "required": ["pattern"],
	"properties": {
		"pattern": {"type": "string", "description": "the pattern"},
		"path": {"type": "string", "description": "the folder to search"}
	}}`)}
}

func (globTool) Concurrent(json.RawMessage) bool { return true }

// Sight says that each call notes what it saw.
func (globTool) Sight(json.RawMessage) Sight { return SightNoted }

func (t globTool) Call(ctx context.Context, env *Env, input json.RawMessage) (Result, error) {
	result, err := t.list(ctx, env, input)
	if err != nil || result.IsError {
		env.noteFailed("Glob", input, result, err)
	}
	return result, err
}

// list lists the files, and notes that if it can.
func (globTool) list(ctx context.Context, env *Env, input json.RawMessage) (Result, error) {
	in, err := parse[struct {
		Pattern string `json:"pattern"`
		Path    string `json:"path"`
	}](input)
	if err != nil {
		return Result{}, err
	}
	dir, pattern := env.Abs(in.Path), in.Pattern
	if filepath.IsAbs(pattern) {
		base, rest := doublestar.SplitPattern(filepath.ToSlash(pattern))
		dir, pattern = filepath.FromSlash(base), "/"+rest
	}
	info, err := env.stat(dir)
	if err != nil {
		return Result{}, env.folderError(dir, err)
	}
	if !info.IsDir() {
		return Failed("path is not a folder: " + dir), nil
	}
	match, err := newGlobs(pattern)
	if err != nil {
		return Result{}, err
	}
	var files []found
	err = env.walk(ctx, dir, walkOptions{}, func(f found) error {
		if match.match(f.rel) {
			files = append(files, f)
		}
		return nil
	})
	if err != nil {
		return Result{}, env.folderError(dir, err)
	}
	slices.SortStableFunc(files, func(a, b found) int { return a.changed.Compare(b.changed) })
	lines := make([]string, 0, min(len(files), maxGlob+1))
	for _, f := range files[:min(len(files), maxGlob)] {
		lines = append(lines, env.shown(f.path))
	}
	seen := slices.Clone(lines)
	switch {
	case len(files) == 0:
		env.noteCall(SawGlob, string(input), "", "Glob", input)
		return Text("No files found"), nil
	case len(files) > maxGlob: // then the order decides what is listed
		lines = append(lines, fmt.Sprintf("(The list was cut at %d of %d files. Use a narrower pattern or a path.)", maxGlob, len(files)))
		seen = lines
	default: // the order follows from times, which an edit of any of the files changes
		slices.Sort(seen)
	}
	env.noteCall(SawGlob, string(input), strings.Join(seen, "\n"), "Glob", input)
	return Text(strings.Join(lines, "\n")), nil
}
