package cachedb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
)

// maxPending bounds what a crash forgets: uses, never answers.
const maxPending = 1000

// use is one read: of an answer, or of one that was not there. Uses are kept in
// memory, and counted in the store with the next answer that this process stores. One
// that only reads appends them to a file beside the store, which costs much less than a
// transaction, and from which the next that stores an answer counts them.
type use struct {
	key    llm.Key // zero for a miss
	at     time.Time
	tokens int64
	usd    float64 // not a number if the price is unknown
}

// useSize is a use in the file: key, time in nanoseconds, tokens, dollars, and
// a CRC-32 of these, by which a reader finds the next use after one that a full
// disk has cut short.
const (
	useBody = len(llm.Key{}) + 3*8
	useSize = useBody + 4
)

func (u *use) append(b []byte) []byte {
	start := len(b)
	b = append(b, u.key[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(u.at.UnixNano()))
	b = binary.LittleEndian.AppendUint64(b, uint64(u.tokens))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(u.usd))
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// readUse reads the use that b begins with; ok is false if it begins with none.
func readUse(b []byte) (u use, ok bool) {
	if crc32.ChecksumIEEE(b[:useBody]) != binary.LittleEndian.Uint32(b[useBody:]) {
		return use{}, false
	}
	n := copy(u.key[:], b)
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[n+8*i:]) }
	u.at, u.tokens, u.usd = time.Unix(0, int64(word(0))), int64(word(1)), math.Float64frombits(word(2))
	return u, true
}

func hit(e *cache.Entry, tokens int64) use {
	u := use{key: e.Key, at: time.Now(), tokens: tokens, usd: math.NaN()}
	if e.CostUSD != nil {
		u.usd = *e.CostUSD
	}
	return u
}

// uses are those that are in no file yet.
type uses struct {
	mu      sync.Mutex // guards the fields below
	pending []byte
	counted []byte // taken from pending by a transaction that is not over
}

// count takes what is pending for a transaction, which ends with counted.
func (u *uses) count() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.counted, u.pending = u.pending, u.counted[:0]
	return u.counted
}

// end forgets the uses that a transaction has counted. If it has failed, they are pending
// again.
func (u *uses) end(failed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if failed {
		u.pending = append(u.pending, u.counted...)
	}
	u.counted = u.counted[:0]
}

// note remembers a use.
func (s *Store) note(u use) {
	s.uses.mu.Lock()
	s.uses.pending = u.append(s.uses.pending)
	many := len(s.uses.pending) >= maxPending*useSize
	s.uses.mu.Unlock()
	if many {
		// The answer is there; that its use could not be written is for the
		// next write to say.
		_ = s.spool()
	}
}

func (s *Store) usesPath() string { return s.path + "-uses" }

// spool appends what is pending to the file of uses, in one write, which other
// processes' writes do not mix with.
func (s *Store) spool() error {
	u := &s.uses
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.pending) == 0 {
		return nil
	}
	f, err := openfile.Write(s.usesPath(), os.O_APPEND|os.O_CREATE|os.O_WRONLY)
	if err != nil {
		return err
	}
	n, err := f.Write(u.pending)
	// What a full disk still took is not written twice.
	u.pending = append(u.pending[:0], u.pending[n-n%useSize:]...)
	return errors.Join(err, f.Close())
}

// maxUsesFile is the size at which the file of uses starts again, empty. A use that
// another process writes at that moment is not counted.
const maxUsesFile = 1 << 20

// folding runs a transaction that also counts the uses of all processes: each once, since
// the transaction also notes how far their file was read, and those of this process that
// are in no file yet are forgotten with its end. What do adds to the tally is counted too.
func (s *Store) folding(do func(*tally) error) error {
	err := s.conn.Write(func() error {
		t := tally{last: map[llm.Key]time.Time{}}
		if err := s.fold(&t, s.uses.count()); err != nil {
			return err
		}
		if err := do(&t); err != nil {
			return err
		}
		if t.entries == 0 && !t.used {
			return nil
		}
		bytes, err := s.count(&t)
		if err != nil || t.entries == 0 {
			return err
		}
		return s.evict(time.Now(), bytes)
	})
	s.uses.end(err != nil)
	return err
}

// fold adds uses of this process to a tally, and those in the file, within a transaction.
func (s *Store) fold(t *tally, own []byte) error {
	if _, err := os.Stat(s.usesPath()); !errors.Is(err, fs.ErrNotExist) {
		_, from, err := s.conn.Sum(`SELECT folded FROM totals`)
		if err != nil {
			return err
		}
		data, size, err := readFrom(s.usesPath(), from)
		if err != nil {
			return err
		}
		rest := t.add(data)
		if t.folded = size - int64(len(rest)); size > maxUsesFile {
			if err := os.Remove(s.usesPath()); err != nil {
				return err
			}
			t.folded, t.used = 0, true
		}
	}
	t.add(own)
	for key, at := range t.last {
		if err := s.conn.Run(`UPDATE answers SET used = max(used, ?) WHERE key = ?`, at.UnixNano(), key[:]); err != nil {
			return err
		}
	}
	return nil
}

// count adds a tally to the totals, and returns the bytes of all answers.
func (s *Store) count(t *tally) (bytes int64, err error) {
	_, bytes, err = s.conn.Sum(`UPDATE totals SET entries = entries + ?, bytes = bytes + ?, hits = hits + ?, misses = misses + ?,
		tokens = tokens + ?, usd = usd + ?, priced = priced + ?, folded = ? RETURNING bytes`,
		t.entries, t.bytes, t.hits, t.misses, t.tokens, t.usd, t.priced, t.folded)
	return bytes, err
}

// tally sums up what is to be added to the totals.
type tally struct {
	entries, bytes               int64 // of answers
	hits, misses, tokens, priced int64
	usd                          float64
	last                         map[llm.Key]time.Time // when each answer was last used
	folded                       int64                 // how far the file of uses was read
	used                         bool                  // there are uses to count, or folded is another
}

// add adds the uses in data, and returns what is left at its end.
func (t *tally) add(data []byte) (rest []byte) {
	for len(data) >= useSize {
		u, ok := readUse(data)
		if !ok {
			data = data[1:]
			continue
		}
		data, t.used = data[useSize:], true
		if u.key == (llm.Key{}) {
			t.misses++
			continue
		}
		t.hits++
		t.tokens += u.tokens
		if !math.IsNaN(u.usd) {
			t.priced++
			t.usd += u.usd
		}
		if u.at.After(t.last[u.key]) {
			t.last[u.key] = u.at
		}
	}
	return data
}

// readFrom reads a file from an offset on, and gives its size. A file that is
// missing is empty; one that is shorter than the offset started again.
func readFrom(path string, offset int64) (data []byte, size int64, err error) {
	if info, err := os.Stat(path); err == nil && info.Size() == offset {
		return nil, offset, nil
	}
	f, err := openfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if offset > info.Size() {
		offset = 0
	}
	data, err = io.ReadAll(io.NewSectionReader(f, offset, info.Size()-offset))
	return data, offset + int64(len(data)), err
}

// Stats sums up the store, uses by other processes included once they are
// written.
func (s *Store) Stats(ctx context.Context) (cache.Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return cache.Stats{}, err
	}
	if err := s.folding(func(*tally) error { return nil }); err != nil {
		return cache.Stats{}, fmt.Errorf("writing cache %s: %w", s.path, explain(s.path, err))
	}
	var st cache.Stats
	err := s.conn.Query(`SELECT entries, bytes, hits, misses, tokens, usd, priced FROM totals`, func(row *sqlite3.Stmt) error {
		st.Entries, st.Bytes = row.ColumnInt64(0), row.ColumnInt64(1)
		st.Used(row.ColumnInt64(2), row.ColumnInt64(3), row.ColumnInt64(4), row.ColumnInt64(6), row.ColumnFloat(5))
		return nil
	})
	if err != nil {
		return cache.Stats{}, fmt.Errorf("reading cache %s: %w", s.path, explain(s.path, err))
	}
	return st, nil
}
