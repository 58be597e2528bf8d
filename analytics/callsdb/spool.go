package callsdb

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/claude-force/claude-force/internal/openfile"
)

// The spool file holds calls that wait to be added, so that a process that makes
// few need not open the store. It is
//
//	id, calls...
//
// where the id is random, and new each time the file is started. Each call is
// written with its length and a checksum, by which a reader finds the next after
// one that is broken. Who adds calls notes in the same transaction from which
// file they came and how far it was read, so each is added once, whatever
// crashes and whenever. The file is emptied afterwards, unless it has grown
// meanwhile. A lock on a file beside it, held for one read or write, keeps its
// beginning, its growth and its end apart.

const (
	spoolID  = 16
	mark     = 0xCF // what each call begins with
	maxFrame = 64 << 10
)

func spoolPath(path string) string { return path + "-calls" }

func spoolSize(path string) int64 {
	info, err := os.Stat(spoolPath(path))
	if err != nil {
		return 0
	}
	return info.Size()
}

// locked runs do with the spool file to itself.
func locked(path string, flag int, do func(f *os.File) error) error {
	if err := openfile.CheckRegular(path + "-calls-lock"); err != nil {
		return err
	}
	lock := flock.New(path+"-calls-lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // nothing is left to be done about it
	f, err := openfile.Write(spoolPath(path), flag)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}

// appendSpool writes what is recorded to the spool file, and gives its size.
func appendSpool(path string, list []entry) (size int64, err error) {
	var buf []byte
	for i := range list {
		buf = appendFrame(buf, &list[i])
	}
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = locked(path, os.O_CREATE|os.O_RDWR, func(f *os.File) error {
			size, err = f.Seek(0, io.SeekEnd)
			if err != nil {
				return err
			}
			was := size
			if size < spoolID { // new, or torn while it was started
				id := make([]byte, spoolID, spoolID+len(buf))
				_, _ = rand.Read(id) // never fails
				was, size, buf = 0, 0, append(id, buf...)
			}
			if _, err := f.WriteAt(buf, size); err != nil {
				return errors.Join(err, f.Truncate(was)) // all or nothing
			}
			size += int64(len(buf))
			return nil
		})
	}
	if err != nil {
		return 0, fmt.Errorf("writing calls to %s: %w", spoolPath(path), explain(path, err))
	}
	return size, nil
}

// spooled is a spool file as far as it was read.
type spooled struct {
	id   []byte
	size int64
}

// take adds what the spool file holds and was not added yet. The transaction
// keeps other readers away.
func (b *batch) take() (*spooled, error) {
	var data []byte
	err := locked(b.path, os.O_RDONLY, func(f *os.File) (err error) {
		data, err = io.ReadAll(f)
		return err
	})
	if err != nil || len(data) < spoolID {
		return nil, err
	}
	sp := &spooled{id: data[:spoolID], size: int64(len(data))}
	from := int64(spoolID)
	err = b.write.Query(`SELECT taken FROM call_state WHERE spool = ?`, func(row *stmt) error {
		from = row.ColumnInt64(0)
		return nil
	}, sp.id)
	if err != nil {
		return nil, err
	}
	for rest := data[min(from, sp.size):]; len(rest) > 0; {
		e, n := readFrame(rest)
		if n == 0 {
			rest = rest[1:]
			continue
		}
		if err := b.insertEntry(&e); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return sp, b.write.Run(`UPDATE call_state SET spool = ?, taken = ?`, sp.id, sp.size)
}

// truncateSpool empties the spool file if it is as it was when it was taken.
func truncateSpool(path string, sp *spooled) error {
	err := locked(path, os.O_RDWR, func(f *os.File) error {
		id := make([]byte, spoolID)
		if _, err := f.ReadAt(id, 0); err != nil {
			return nil //nolint:nilerr // another process emptied it
		}
		info, err := f.Stat()
		if err != nil || info.Size() != sp.size || string(id) != string(sp.id) {
			return err
		}
		return f.Truncate(0)
	})
	if err != nil {
		return fmt.Errorf("emptying %s: %w", spoolPath(path), explain(path, err))
	}
	return nil
}

// appendFrame appends what is recorded with its length and checksum.
func appendFrame(b []byte, e *entry) []byte {
	payload := appendEntry(make([]byte, 0, 256), e)
	b = append(b, mark)
	b = binary.AppendUvarint(b, uint64(len(payload)))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(payload))
}

// readFrame reads what b begins with, and gives its length; 0 if it begins with
// nothing that was recorded.
func readFrame(b []byte) (e entry, n int) {
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
