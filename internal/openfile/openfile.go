// Package openfile opens files for reading, carefully: a file that a project, a
// setting or a pattern names may be a pipe without a writer, a device without
// an end, or larger than the memory. The functions open regular files only, never
// wait in opening, and read no more than a limit.
//
// The rest of the program opens no file for reading by other means; the package's
// test looks for it.
package openfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrNotRegular is the error of a file that is a folder, a pipe, a socket or a
// device.
var ErrNotRegular = errors.New("it is not a regular file")

// TooLargeError is the error of a file that is larger than the limit.
type TooLargeError struct{ Limit int64 }

func (e *TooLargeError) Error() string {
	if e.Limit < 1<<20 {
		return fmt.Sprintf("it is larger than %d KiB", e.Limit>>10)
	}
	return fmt.Sprintf("it is larger than %d MiB", e.Limit>>20)
}

// Reason returns why a file could not be opened or read, without its path.
func Reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// Write opens a regular file of the program's own for writing, with flag as for
// [os.OpenFile]. A file that it makes is readable by this user only.
func Write(path string, flag int) (*os.File, error) {
	if err := CheckRegular(path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, flag, 0o600)
}

// Replace writes a file that a user named whole or not at all. A file that was there keeps
// its mode, and a link is followed.
func Replace(path string, data []byte) (err error) {
	mode := fs.FileMode(0o666) // of which the process's mask takes its part
	switch info, statErr := os.Stat(path); {
	case statErr == nil && !info.Mode().IsRegular():
		return &fs.PathError{Op: "write", Path: path, Err: ErrNotRegular}
	case statErr == nil:
		mode = info.Mode().Perm()
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
	}
	tmp := path + "." + strings.ToLower(rand.Text()) + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if mode != 0o666 {
		err = errors.Join(err, f.Chmod(mode))
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // the first error says more
	}
	return err
}

// ReplaceFolder makes a folder with files, by their path in it with slashes, or puts them
// in place of a folder that is there. The folder is there with all of them or as it was
// before: at most for the moment between two renames it is not there. A link is followed.
func ReplaceFolder(path string, files iter.Seq2[string, []byte]) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	suffix := "." + strings.ToLower(rand.Text())
	made, old := path+suffix+".tmp", path+suffix+".old"
	if err := os.Mkdir(made, 0o777); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(made) }() // nothing is there once it is renamed
	if err := fillFolder(made, files); err != nil {
		return err
	}
	switch err := os.Rename(path, old); {
	case errors.Is(err, fs.ErrNotExist):
		return os.Rename(made, path)
	case err != nil:
		return err
	}
	if err := os.Rename(made, path); err != nil {
		return errors.Join(err, os.Rename(old, path))
	}
	return os.RemoveAll(old)
}

func fillFolder(path string, files iter.Seq2[string, []byte]) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // it is only left
	for name, data := range files {
		name = filepath.FromSlash(name)
		if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		if err := root.WriteFile(name, data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// CheckRegular returns an error if there is something at path that is no regular file:
// to open a named pipe would wait for its other end.
func CheckRegular(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	return nil
}

// Open opens a regular file. The null device counts as an empty one.
func Open(path string) (*os.File, error) {
	return regular(path, os.Stat, os.OpenFile)
}

// In opens a regular file in root; name has forward slashes.
func In(root *os.Root, name string) (*os.File, error) {
	return regular(filepath.FromSlash(name), root.Stat, root.OpenFile)
}

// Typed opens a file that the user named on the command line. Besides regular files
// it may be a pipe, such as a shell's <(command): reading it waits for its writer.
func Typed(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && (info.Mode()&fs.ModeNamedPipe != 0 || standard(path)) {
		return os.Open(path)
	}
	return Open(path)
}

// standard reports whether a path names a stream that the process was started with.
func standard(path string) bool {
	path = filepath.Clean(path)
	return path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}

// Read reads a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return all(f, path, limit)
}

// ReadIn reads a regular file in root of at most limit bytes.
func ReadIn(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := In(root, name)
	if err != nil {
		return nil, err
	}
	return all(f, name, limit)
}

// ReadFS reads a regular file of a file system of at most limit bytes.
func ReadFS(fsys fs.FS, name string, limit int64) ([]byte, error) {
	// A file system has no way to open without waiting, so it is looked at before.
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	return all(f, name, limit)
}

// ReadTyped reads a file that the user named on the command line, see [Typed], of
// at most limit bytes.
func ReadTyped(path string, limit int64) ([]byte, error) {
	f, err := Typed(path)
	if err != nil {
		return nil, err
	}
	return all(f, path, limit)
}

// regular opens a file and makes sure of what it is.
func regular(path string, stat func(string) (fs.FileInfo, error), open func(string, int, fs.FileMode) (*os.File, error)) (*os.File, error) {
	// Opening a pipe in this way does not wait, opening a device may act on it.
	if path != os.DevNull {
		if info, err := stat(path); err == nil && info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) != 0 {
			return nil, &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
		}
	}
	f, err := open(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && path != os.DevNull {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
		if info.IsDir() {
			err = &fs.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
		}
	}
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, err
	}
	return f, nil
}

// all reads a file and closes it.
func all(f io.ReadCloser, path string, limit int64) ([]byte, error) {
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: &TooLargeError{limit}}
	}
	return data, nil
}
