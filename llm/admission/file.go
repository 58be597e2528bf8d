package admission

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/claude-force/claude-force/internal/filelock"
	"github.com/claude-force/claude-force/internal/openfile"
)

// file is where the state is kept, so that all processes of the machine that
// use a credential see the same. Nothing that goes wrong with it is an error:
// a file that cannot be used leaves the process with a state of its own.
//
// It is locked while it is read, changed and written, which takes tens of
// microseconds. The system frees the lock of a process that dies. A process
// that was stopped while it held the lock is not waited for.
type file struct {
	path  string // empty if the state is this process's own
	lock  *filelock.Lock
	state *state
	known []byte // what the file held when state was last the same as it
	spare []byte // memory to read into, and to write from

	// open is the file at path, from when it was first used: calls would open and close it
	// several times each. It may not be the one at path any more; see current.
	open   *os.File
	opened os.FileInfo // of open
}

const (
	fileHeader = "claude-force limits 1 %08x %d\n" // checksum and length of what follows
	maxFile    = 1 << 20
	padded     = 256 // the file's length is a multiple of it
	// maxWait is how long the lock is waited for. It is held for microseconds, but
	// hundreds may wait for it, and not for a process that was stopped.
	maxWait = time.Second
)

var padding = bytes.Repeat([]byte{' '}, padded)

// openFile prepares the file of a credential; it touches no disk.
func openFile(dir, namespace string) *file {
	f := &file{state: newState()}
	if dir == "" {
		return f
	}
	// Names of files are often seen by others; the namespace need not be.
	sum := sha256.Sum256([]byte("limits\x00" + namespace))
	f.path = filepath.Join(dir, "limits-"+hex.EncodeToString(sum[:8]))
	f.lock = filelock.New(f.path + ".lock")
	return f
}

// update changes the state.
func (f *file) update(change func(*state)) {
	release := f.acquire()
	if release == nil {
		change(f.state)
		return
	}
	defer release()
	f.load()
	change(f.state)
	f.save()
}

// acquire returns what releases the lock, or nil if there is no lock to be had.
func (f *file) acquire() (release func()) {
	if f.path == "" {
		return nil
	}
	release, err := f.lock.Acquire(maxWait)
	if errors.Is(err, filelock.ErrBusy) {
		return nil
	}
	if err != nil && os.MkdirAll(filepath.Dir(f.path), 0o700) == nil {
		release, err = f.lock.Acquire(maxWait)
	}
	if err != nil {
		f.path = ""
		return nil
	}
	return release
}

// current returns the file at path and its size. It opens the file, which it makes, if
// that is not open, or if another one is at path now. The caller holds the lock.
func (f *file) current() (*os.File, int64, error) {
	info, err := os.Stat(f.path)
	if f.open != nil && err == nil && os.SameFile(info, f.opened) {
		return f.open, info.Size(), nil
	}
	if f.open != nil {
		_ = f.open.Close() // it was removed or replaced
		f.open, f.known = nil, nil
	}
	out, err := openfile.Write(f.path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, 0, err
	}
	if f.opened, err = out.Stat(); err != nil {
		return nil, 0, errors.Join(err, out.Close())
	}
	f.open = out
	return out, f.opened.Size(), nil
}

// load reads what other processes wrote. What cannot be read is replaced by
// what this process knows.
func (f *file) load() {
	in, size, err := f.current()
	if err != nil || size > maxFile {
		return
	}
	f.spare = slices.Grow(f.spare[:0], int(size))
	data := f.spare[:size]
	if _, err := in.ReadAt(data, 0); err != nil || bytes.Equal(data, f.known) {
		return
	}
	body, ok := unseal(data)
	if !ok {
		return
	}
	s := &state{}
	if json.Unmarshal(body, s) == nil && s.valid() {
		f.state, f.known, f.spare = s, data, f.known
	}
}

// save writes the state. [file.load] has just opened the file.
func (f *file) save() {
	body, err := json.Marshal(f.state)
	if err != nil {
		f.state = newState() // not a number, which the file cannot hold
		return
	}
	if f.open == nil {
		f.path = "" // it cannot be opened
		return
	}
	data := append(fmt.Appendf(f.spare[:0], fileHeader, crc32.ChecksumIEEE(body), len(body)), body...)
	f.spare = data
	// Its length seldom changes, so that the file has seldom to be cut.
	data = append(data, padding[:padded-len(data)%padded]...)
	// It is written in place, so that a file which others have open is the
	// same; the header tells if only a part was.
	if _, err := f.open.WriteAt(data, 0); err != nil {
		return
	}
	if len(f.known) > len(data) && f.open.Truncate(int64(len(data))) != nil {
		return
	}
	f.known, f.spare = data, f.known
}

// unseal returns the part of a file's data after its header, if they agree.
func unseal(data []byte) ([]byte, bool) {
	head, body, _ := bytes.Cut(data, []byte("\n"))
	var sum uint32
	var size int
	if _, err := fmt.Sscanf(string(head)+"\n", fileHeader, &sum, &size); err != nil || size < 0 || size > len(body) {
		return nil, false
	}
	body = body[:size]
	return body, crc32.ChecksumIEEE(body) == sum
}
