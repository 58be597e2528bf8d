package tool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
)

// Write returns the tool that creates a file or replaces its content.
func Write() Tool { return writeTool{} }

type writeTool struct{}

func (writeTool) Definition() llm.Tool {
	return llm.Tool{Name: "Write", Description: `Creates a file, or replaces all of its content. Folders that are missing are created.

- file_path is absolute, or relative to the current folder.
- To change a part of a file, use Edit: it sends only the change.
- A file that has changed since it was read is not replaced: read it again first.`, InputSchema: schema(`{
	"type": "object", "additionalProperties": false, "required": ["file_path", "content"],
	"properties": {
		"file_path": {"type": "string", "description": "the file"},
		"content": {"type": "string", "description": "the whole new content"}
	}}`)}
}

func (writeTool) Concurrent(json.RawMessage) bool { return false }

// Sight says that each call notes what it saw.
func (writeTool) Sight(json.RawMessage) Sight { return SightNoted }

func (writeTool) Call(_ context.Context, env *Env, input json.RawMessage) (Result, error) {
	in, err := parse[struct {
		FilePath string `json:"file_path"`
		Content  string `json:"content"`
	}](input)
	if err != nil {
		return Result{}, err
	}
	path := env.Abs(in.FilePath)
	exists, err := env.replaceable(path)
	if err != nil {
		return Result{}, err
	}
	if err := env.write(path, []byte(in.Content)); err != nil {
		return Result{}, env.writeError(path, err)
	}
	if p, err := env.locate(path, true); err == nil {
		env.noteWritten(path, p.path, []byte(in.Content))
	}
	if exists {
		return Text(fmt.Sprintf("Replaced the content of %s.", in.FilePath)), nil
	}
	return Text(fmt.Sprintf("Created %s.", in.FilePath)), nil
}

// replaceable returns an error if the content of a file may not be replaced, and
// whether the file exists.
func (e *Env) replaceable(path string) (exists bool, err error) {
	info, link, err := e.lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, e.writeError(path, err)
	case link != "":
		return false, fmt.Errorf("%s is a link. Write to the file that it leads to: %s. Or remove the link first", path, link)
	case info.IsDir():
		return false, e.writeError(path, &fs.PathError{Op: "write", Path: path, Err: syscall.EISDIR})
	}
	if err := e.seen(path); err != nil {
		return false, err
	}
	f, err := e.read(path, maxFile)
	if _, tooLarge := errors.AsType[*openfile.TooLargeError](err); tooLarge {
		return true, nil
	}
	if errors.Is(err, ErrDenied) {
		return true, nil // it may be replaced and not read
	}
	if err != nil {
		return false, e.writeError(path, err)
	}
	if before, ok := e.known(f.path); ok && before.digest != sha256.Sum256(f.data) {
		return false, fmt.Errorf("%s has changed since it was read. Read it again before you write it", path)
	}
	return true, nil
}

// seen returns an error if the agent must read a file before it changes it, and has
// not.
func (e *Env) seen(path string) error {
	if !e.options.RequireRead {
		return nil
	}
	p, err := e.locate(path, true)
	if err != nil {
		return e.writeError(path, err)
	}
	if _, ok := e.known(p.path); !ok {
		return fmt.Errorf("%s has not been read yet. Read it before you change it", path)
	}
	return nil
}

// writeError returns the error of a file that could not be written, for the model.
func (e *Env) writeError(path string, err error) error {
	switch {
	case errors.Is(err, ErrOutside):
		return fmt.Errorf("%s is outside the folders that were granted. The current folder is %s", path, e.Cwd())
	case errors.Is(err, ErrDenied):
		return fmt.Errorf("%s may not be written: a permission rule denies it", path)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%s is a folder (EISDIR: illegal operation on a directory, open)", path)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("cannot create %s: %s is not a folder", path, filepath.Dir(path))
	}
	return fmt.Errorf("cannot write %s: %w", path, cause(err))
}

// Holds reports whether a file that can be read has exactly the content.
func (e *Env) Holds(path string, data []byte) bool {
	f, err := e.read(e.Abs(path), int64(len(data)))
	return err == nil && bytes.Equal(f.data, data)
}

// Replace creates a file or replaces its content, for one who is no model and has
// permission: what was read before does not matter.
func (e *Env) Replace(path string, data []byte) error {
	path = e.Abs(path)
	_, link, err := e.lstat(path)
	switch {
	case link != "":
		return fmt.Errorf("%s is a link. Write to the file that it leads to: %s. Or remove the link first", path, link)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return e.writeError(path, err)
	}
	if err := e.write(path, data); err != nil {
		return e.writeError(path, err)
	}
	return nil
}
