package admission

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"
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
	lock  *flock.Flock
	state *state
	known []byte // what the file held when state was last the same as it
}

const (
	fileHeader = "claude-force limits 1 %08x %d\n" // checksum and length of what follows
	maxFile    = 1 << 20
	// maxTries is how often a lock is tried, a few microseconds each.
	maxTries = 4000
)

// openFile prepares the file of a credential; it touches no disk.
func openFile(dir, namespace string) *file {
	f := &file{state: newState()}
	if dir == "" {
		return f
	}
	// Names of files are often seen by others; the namespace need not be.
	sum := sha256.Sum256([]byte("limits\x00" + namespace))
	f.path = filepath.Join(dir, "limits-"+hex.EncodeToString(sum[:8]))
	f.lock = flock.New(f.path+".lock", flock.SetPermissions(0o600))
	return f
}

// update changes the state.
func (f *file) update(change func(*state)) {
	if f.path == "" || !f.acquire() {
		change(f.state)
		return
	}
	defer func() { _ = f.lock.Unlock() }() // closing the file unlocks it all the same
	f.load()
	change(f.state)
	f.save()
}

// acquire gets the lock. It does not sleep: a lock is held for less than a
// sleep takes.
func (f *file) acquire() bool {
	for i := range maxTries {
		ok, err := f.lock.TryLock()
		if ok {
			return true
		}
		if err != nil {
			if i > 0 || os.MkdirAll(filepath.Dir(f.path), 0o700) != nil {
				f.path = ""
				return false
			}
		}
		runtime.Gosched()
	}
	return false
}

// load reads what other processes wrote. What cannot be read is replaced by
// what this process knows.
func (f *file) load() {
	data, err := os.ReadFile(f.path)
	if err != nil || len(data) > maxFile || bytes.Equal(data, f.known) {
		return
	}
	body, ok := unseal(data)
	if !ok {
		return
	}
	s := &state{}
	if json.Unmarshal(body, s) == nil && s.valid() {
		f.state, f.known = s, data
	}
}

func (f *file) save() {
	body, err := json.Marshal(f.state)
	if err != nil {
		f.state = newState() // not a number, which the file cannot hold
		return
	}
	data := append(fmt.Appendf(nil, fileHeader, crc32.ChecksumIEEE(body), len(body)), body...)
	// It is written in place, so that a file which others have open is the
	// same; the header tells if only a part was.
	out, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		f.path = ""
		return
	}
	defer out.Close()
	if _, err := out.Write(data); err != nil {
		return
	}
	if len(f.known) > len(data) && out.Truncate(int64(len(data))) != nil {
		return
	}
	f.known = data
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
