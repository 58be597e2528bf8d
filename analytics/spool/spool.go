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
// meanwhile. A lock on a file beside it, held for one read or write, keeps its
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

	"github.com/gofrs/flock"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/openfile"
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

// File is the spool of a store. The zero Path is not valid.
type File struct {
	// Path is that of the store, or what stands for it; the spool is beside it.
	Path string
	// Max is the size at which nothing more is written; 0 for no bound.
	Max int64
	// Explain adds what to do to an error; nil adds nothing.
	Explain func(path string, err error) error
}

// Name returns the path of the spool.
func (f *File) Name() string { return f.Path + "-calls" }

func (f *File) explain(err error) error {
	if f.Explain == nil {
		return err
	}
	return f.Explain(f.Path, err)
}

// Size returns the size of the file; 0 if there is none.
func (f *File) Size() int64 {
	info, err := os.Stat(f.Name())
	if err != nil {
		return 0
	}
	return info.Size()
}

// locked runs do with the spool file to itself.
func (f *File) locked(flag int, do func(f *os.File) error) error {
	if err := openfile.CheckRegular(f.Name() + "-lock"); err != nil {
		return err
	}
	lock := flock.New(f.Name()+"-lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // nothing is left to be done about it
	file, err := openfile.Write(f.Name(), flag)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(do(file), file.Close())
}

// ErrFull is the error of a spool that has reached its bound.
var ErrFull = errors.New("it has reached its bound")

// Append writes what is recorded to the file, and returns its size.
func (f *File) Append(list ...Entry) (size int64, err error) {
	var buf []byte
	for i := range list {
		buf = appendFrame(buf, &list[i])
	}
	err = os.MkdirAll(filepath.Dir(f.Path), 0o700)
	if err == nil {
		err = f.locked(os.O_CREATE|os.O_RDWR, func(file *os.File) error {
			size, err = file.Seek(0, io.SeekEnd)
			if err != nil {
				return err
			}
			if f.Max > 0 && size+int64(len(buf)) > f.Max {
				return fmt.Errorf("%w of %d MB", ErrFull, f.Max>>20)
			}
			was := size
			if size < spoolID { // new, or torn while it was started
				id := make([]byte, spoolID, spoolID+len(buf))
				_, _ = rand.Read(id) // never fails
				was, size, buf = 0, 0, append(id, buf...)
			}
			if _, err := file.WriteAt(buf, size); err != nil {
				return errors.Join(err, file.Truncate(was)) // all or nothing
			}
			size += int64(len(buf))
			return nil
		})
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
	err = f.locked(os.O_RDONLY, func(file *os.File) error {
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
	err = f.locked(os.O_RDONLY, func(file *os.File) error {
		info, err := file.Stat()
		if err != nil || info.Size() < spoolID {
			return err
		}
		id = make([]byte, spoolID)
		if _, err := file.ReadAt(id, 0); err != nil {
			return err
		}
		if start, err = from(id); err != nil {
			return err
		}
		start = min(start, info.Size())
		data, err := io.ReadAll(io.NewSectionReader(file, start, min(info.Size()-start, most)))
		if err != nil {
			return err
		}
		c = &Contents{ID: id, Size: start + int64(len(data)), data: data, from: start}
		if c.Size < info.Size() { // not the last part: an entry that is cut off is in the next
			c.Size, c.data = c.whole()
		}
		return nil
	})
	return c, err
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
	err := f.locked(os.O_RDWR, func(file *os.File) error {
		id := make([]byte, spoolID)
		if _, err := file.ReadAt(id, 0); err != nil {
			return nil //nolint:nilerr // another process emptied it
		}
		info, err := file.Stat()
		if err != nil || info.Size() != c.Size || string(id) != string(c.ID) {
			return err
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
	if b[0] != mark {
		return e, 0
	}
	size, k := binary.Uvarint(b[1:])
	if k <= 0 || size > maxFrame || len(b) < 1+k+int(size)+4 {
		return e, 0
	}
	payload := b[1+k:][:size]
	n = 1 + k + int(size) + 4
	if crc32.ChecksumIEEE(payload) != binary.LittleEndian.Uint32(b[n-4:]) {
		return e, 0
	}
	e, ok := readEntry(payload)
	if !ok {
		return e, 0
	}
	return e, n
}
