// Package spool holds what is recorded of calls until a store has added it, in a file, so
// that it stays if the process is killed, if the store cannot be reached, and so that a
// process that makes few calls need not open a store.
//
// The file is
//
//	id, calls...
//
// where the id is random, and new each time the file is started. Each call is
// written with its length and a checksum, by which a reader finds the next after
// one that is broken. A store that adds calls notes in the same transaction from which
// file they came and how far it was read, so each is added once, whatever
// crashes and whenever. The file is emptied afterwards, unless it has grown
// meanwhile. Entries that a newer program has written, in a form that this one does not
// know, stay, with all behind them, until a program that knows it takes them. A lock on a file beside it, held for one read or write, keeps its
// beginning, its growth and its end apart.
package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/filelock"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/internal/oslimit"
	"github.com/claude-force/claude-force/internal/process"
)

const (
	spoolID  = 16
	mark     = 0xCF // what each call begins with
	maxFrame = 64 << 10
)

// Entry is what is recorded: one of a call, a call of a tool, a task of an agent
// with tools and an attempt that is being sent.
type Entry struct {
	Call analytics.Call
	Tool *analytics.ToolCall // instead of Call
	Task *analytics.ToolTask // instead of Call
	Sent *Sent               // instead of Call
}

// Sent is an attempt that a process is sending: the call to record if the process is
// killed before it records what came of it.
type Sent struct {
	By   process.ID
	Call analytics.Call
}

// Calls returns calls as what is recorded.
func Calls(calls []analytics.Call) []Entry {
	list := make([]Entry, len(calls))
	for i := range calls {
		list[i].Call = calls[i]
	}
	return list
}

// Tools returns calls of tools as what is recorded.
func Tools(calls []analytics.ToolCall) []Entry {
	list := make([]Entry, len(calls))
	for i := range calls {
		list[i].Tool = &calls[i]
	}
	return list
}

// Tasks returns tasks as what is recorded.
func Tasks(tasks []analytics.ToolTask) []Entry {
	list := make([]Entry, len(tasks))
	for i := range tasks {
		list[i].Task = &tasks[i]
	}
	return list
}

// File is the spool of a store. Make one with [NewFile]. It is safe for concurrent use.
type File struct {
	path string
	opts FileOptions
	lock *filelock.Lock

	// Mu guards the fields below, and is held with the lock.
	mu sync.Mutex
	// open is the file, from when this process first wrote to it: to open and close it
	// costs more than to write. It may not be the one at its path any more; see current.
	open   *os.File
	opened fs.FileInfo // of open
}

// FileOptions are the settings of [NewFile]. The zero value is ready.
type FileOptions struct {
	// Max is the size at which nothing more is written; 0 for no bound.
	Max int64
	// Explain adds what to do to an error; nil adds nothing.
	Explain func(path string, err error) error
}

// NewFile returns the spool of the store at path, or of what that path stands for; the
// spool is beside it. It touches no disk.
func NewFile(path string, opts FileOptions) *File {
	f := &File{path: path, opts: opts}
	f.lock = filelock.New(f.Name() + "-lock")
	return f
}

// lockWait is how long the lock is waited for. It is held for microseconds, but hundreds
// may wait for it.
const lockWait = time.Minute

// Name returns the path of the spool.
func (f *File) Name() string { return f.path + "-calls" }

func (f *File) explain(err error) error {
	if f.opts.Explain == nil {
		return err
	}
	return f.opts.Explain(f.path, err)
}

// Size returns the size of the file; 0 if there is none.
func (f *File) Size() int64 {
	info, err := os.Stat(f.Name())
	if err != nil {
		return 0
	}
	return info.Size()
}

// locked runs do with the spool file and its size, while no other process uses it. Without
// a file it runs nothing, unless flag says that it is made.
func (f *File) locked(flag int, do func(f *os.File, size int64) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	release, err := f.lock.Acquire(lockWait)
	if err != nil {
		return err
	}
	defer release()
	file, size, err := f.current(flag)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = do(file, size)
	if file != f.open {
		err = errors.Join(err, file.Close())
	}
	return err
}

// current returns the file and its size. It opens the file if that is not open, or if
// another one is at its path now, and leaves it open if it is opened for writing. The
// caller holds mu and the lock.
func (f *File) current(flag int) (*os.File, int64, error) {
	if f.open != nil {
		info, err := os.Stat(f.Name())
		if err == nil && os.SameFile(info, f.opened) {
			return f.open, info.Size(), nil
		}
		_ = f.open.Close() // it was removed or replaced
		f.open = nil
	}
	file, err := openfile.Write(f.Name(), flag)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	if flag&os.O_RDWR != 0 && !oslimit.FewFiles() {
		f.open, f.opened = file, info
	}
	return file, info.Size(), nil
}

// Close closes the file. It may be used again, which opens it.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.lock.Close()
	if f.open != nil {
		err = errors.Join(err, f.open.Close())
		f.open = nil
	}
	return err
}

// ErrFull is the error of a spool that has reached its bound.
var ErrFull = errors.New("it has reached its bound")

// Append writes what is recorded to the file, and returns its size.
func (f *File) Append(list ...Entry) (size int64, err error) {
	var buf []byte
	for i := range list {
		buf = appendFrame(buf, &list[i])
	}
	write := func() error {
		return f.locked(os.O_CREATE|os.O_RDWR, func(file *os.File, was int64) error {
			size = was
			if f.opts.Max > 0 && size+int64(len(buf)) > f.opts.Max {
				return fmt.Errorf("%w of %d MB", ErrFull, f.opts.Max>>20)
			}
			data := buf
			if size < spoolID { // new, or torn while it was started
				id := make([]byte, spoolID, spoolID+len(buf))
				_, _ = rand.Read(id) // never fails
				was, size, data = 0, 0, append(id, buf...)
			}
			if _, err := file.WriteAt(data, size); err != nil {
				return errors.Join(err, file.Truncate(was)) // all or nothing
			}
			size += int64(len(data))
			return nil
		})
	}
	err = write()
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(filepath.Dir(f.path), 0o700) == nil {
		err = write() // the folder was missing
	}
	if err != nil {
		return 0, fmt.Errorf("writing calls to %s: %w", f.Name(), f.explain(err))
	}
	return size, nil
}

// Contents is a part of a spool file.
type Contents struct {
	ID   []byte // of the file
	Size int64  // of the file, as far as it was read
	data []byte
	from int64 // where data begins
}

// Start is where the first entry of a file is.
const Start = spoolID

// ID returns the id of the file; nil if it holds nothing.
func (f *File) ID() (id []byte, err error) {
	err = f.locked(os.O_RDONLY, func(file *os.File, _ int64) error {
		id = make([]byte, spoolID)
		if n, err := file.ReadAt(id, 0); n < spoolID {
			id = nil
			if !errors.Is(err, io.EOF) {
				return err
			}
		}
		return nil
	})
	return id, err
}

// Read returns at most so many bytes of the file from an offset on that an earlier one
// ended at, or [Start]; nil if it holds nothing. Who adds what it holds keeps other readers
// away until then.
func (f *File) Read(from func(id []byte) (int64, error), most int64) (c *Contents, err error) {
	most = max(most, 4*maxFrame) // so that any part holds whole entries
	var id []byte
	var start int64
	err = f.locked(os.O_RDONLY, func(file *os.File, size int64) error {
		if size < spoolID {
			return nil
		}
		id = make([]byte, spoolID)
		if _, err := file.ReadAt(id, 0); err != nil {
			return err
		}
		if start, err = from(id); err != nil {
			return err
		}
		start = min(start, size)
		data, err := io.ReadAll(io.NewSectionReader(file, start, min(size-start, most)))
		if err != nil {
			return err
		}
		c = &Contents{ID: id, Size: start + int64(len(data)), data: data, from: start}
		if end := unknown(data); end >= 0 {
			// What follows is for a newer program, as its order and its id are.
			c.Size, c.data = start+int64(end), data[:end]
			return nil
		}
		if c.Size < size { // not the last part: an entry that is cut off is in the next
			c.Size, c.data = c.whole()
		}
		return nil
	})
	return c, err
}

// unknown returns where the first entry is that is intact and of a form that this program
// does not know, since a newer one has written it; -1 if there is none.
func unknown(data []byte) int {
	for at := 0; at < len(data); {
		payload, n := frame(data[at:])
		if n == 0 {
			at++
			continue
		}
		if newer(payload) {
			return at
		}
		at += n
	}
	return -1
}

// whole returns where the last whole entry ends, and the data up to there. A part without
// any is taken as it is.
func (c *Contents) whole() (int64, []byte) {
	end := len(c.data)
	if last := max(len(c.data)-maxFrame-64, 0); last > 0 {
		end = last
		for rest := c.data[last:]; len(rest) > 0; {
			_, n := readFrame(rest)
			rest = rest[max(n, 1):]
			if n > 0 {
				end = len(c.data) - len(rest)
			}
		}
	}
	return c.from + int64(end), c.data[:end]
}

// Entries yields what the contents hold.
func (c *Contents) Entries() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for rest := c.data; len(rest) > 0; {
			e, n := readFrame(rest)
			if n == 0 {
				rest = rest[1:]
				continue
			}
			if !yield(&e) {
				return
			}
			rest = rest[n:]
		}
	}
}

// Empty empties the file if it is as it was when its contents were read.
func (f *File) Empty(c *Contents) error {
	err := f.locked(os.O_RDWR, func(file *os.File, size int64) error {
		id := make([]byte, spoolID)
		if _, err := file.ReadAt(id, 0); err != nil {
			return nil //nolint:nilerr // another process emptied it
		}
		if size != c.Size || string(id) != string(c.ID) {
			return nil
		}
		return file.Truncate(0)
	})
	if err != nil {
		return fmt.Errorf("emptying %s: %w", f.Name(), f.explain(err))
	}
	return nil
}

// appendFrame appends what is recorded with its length and checksum.
func appendFrame(b []byte, e *Entry) []byte {
	payload := appendEntry(make([]byte, 0, 256), e)
	b = append(b, mark)
	b = binary.AppendUvarint(b, uint64(len(payload)))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(payload))
}

// readFrame reads what b begins with, and gives its length; 0 if it begins with
// nothing that was recorded.
func readFrame(b []byte) (e Entry, n int) {
	payload, n := frame(b)
	if n == 0 {
		return e, 0
	}
	e, ok := readEntry(payload)
	if !ok {
		return e, 0
	}
	return e, n
}

// frame returns what an intact entry at the beginning of b holds, and its length with
// what is around it; 0 if there is none.
func frame(b []byte) (payload []byte, n int) {
	if b[0] != mark {
		return nil, 0
	}
	size, k := binary.Uvarint(b[1:])
	if k <= 0 || size > maxFrame || len(b) < 1+k+int(size)+4 {
		return nil, 0
	}
	payload = b[1+k:][:size]
	n = 1 + k + int(size) + 4
	if crc32.ChecksumIEEE(payload) != binary.LittleEndian.Uint32(b[n-4:]) {
		return nil, 0
	}
	return payload, n
}
