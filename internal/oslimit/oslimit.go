// Package oslimit explains errors that come from a limit of the system: a full disk,
// a file that may not grow, and too many open files.
package oslimit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	units "github.com/docker/go-units"
)

// IsFull reports whether err says that a disk, or the user's share of it, is full.
func IsFull(err error) bool { return isAny(err, full) }

// IsTooManyFiles reports whether err says that this process, or the system, may open no
// more files.
func IsTooManyFiles(err error) bool { return isAny(err, openFiles) }

func isAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// Full returns a text that says how much is free on the file system of path, which
// need not exist.
func Full(path string) string {
	free, err := Free(path)
	if err != nil {
		return "the disk is full"
	}
	return fmt.Sprintf("the disk is full: %s free on the file system of %s", units.BytesSize(float64(free)), path)
}

// fewFiles is the limit on open files below which they are few: some stores and locks stay
// open, and calls of a model need the others.
const fewFiles = 256

const (
	tooManyFiles = "too many files are open: raise the limit (ulimit -n), or make fewer calls at once (setting jobs)"
	fileTooLarge = "the file may not grow any more: raise the limit (ulimit -f)"
)

// Free returns the bytes that this user can still write to the file system of path,
// or of the nearest folder above it that exists.
func Free(path string) (uint64, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	for {
		if _, err := os.Stat(path); err == nil {
			return free(path)
		} else if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return 0, err
		}
		path = filepath.Dir(path)
	}
}

// Explain returns what to do about err, or an empty string if it comes from no limit
// of the system.
func Explain(err error) string {
	switch {
	case IsTooManyFiles(err):
		return tooManyFiles
	case isAny(err, fileSize):
		return fileTooLarge
	case !IsFull(err):
		return ""
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return Full(filepath.Dir(e.Path)) + "; free some space and try again"
	}
	return "the disk is full; free some space and try again"
}
