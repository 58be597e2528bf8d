package spool_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/spool"
	"github.com/claude-force/claude-force/llm"
)

// TestParts reads a file in parts of any size: each entry is in one of them, also behind
// what is broken.
func TestParts(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(4, 4))
	f := spool.NewFile(filepath.Join(t.TempDir(), "sub", "calls"), spool.FileOptions{})
	const count = 400
	for i := range count {
		c := analytics.Call{Time: time.Unix(int64(i), 0), Source: llm.SourceLive, Step: strings.Repeat("x\xCF", rng.IntN(2000)), Item: strings.Repeat("\xCF", rng.IntN(4000)), Run: strings.Repeat("r", rng.IntN(4000))}
		if _, err := f.Append(spool.Entry{Call: c}); err != nil {
			t.Fatal(err)
		}
	}
	for _, most := range []int64{1, 300_000, 1_000_000, 1 << 40} {
		next, parts, at := 0, 0, int64(spool.Start)
		for at < f.Size() {
			held, err := f.Read(func([]byte) (int64, error) { return at, nil }, most)
			if err != nil || held == nil || held.Size <= at {
				t.Fatalf("the part from %d on: %+v, %v", at, held, err)
			}
			for e := range held.Entries() {
				if int(e.Call.Time.Unix()) != next {
					t.Fatalf("entry %d in the place of %d", e.Call.Time.Unix(), next)
				}
				next++
			}
			at = held.Size
			parts++
		}
		if next != count || parts > 1 == (most > f.Size()) {
			t.Errorf("%d entries in %d parts of %d", next, parts, most)
		}
	}
}

// TestFull: a file that has reached its bound takes nothing more, and keeps what it has.
func TestFull(t *testing.T) {
	t.Parallel()
	const most = 10_000
	f := spool.NewFile(filepath.Join(t.TempDir(), "calls"), spool.FileOptions{Max: most})
	n := 0
	for ; ; n++ {
		if _, err := f.Append(spool.Entry{Call: analytics.Call{Time: time.Unix(1, 0)}}); errors.Is(err, spool.ErrFull) {
			break
		} else if err != nil || n > 10_000 {
			t.Fatal(n, err)
		}
	}
	held, err := f.Read(func([]byte) (int64, error) { return spool.Start, nil }, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for range held.Entries() {
		got++
	}
	if got != n || n < 50 || f.Size() > most {
		t.Errorf("%d of %d entries in %d bytes", got, n, f.Size())
	}
	if err := f.Empty(held); err != nil || f.Size() != 0 {
		t.Errorf("after it was emptied: %d bytes, %v", f.Size(), err)
	}
	if _, err := f.Append(spool.Entry{Call: analytics.Call{Time: time.Unix(1, 0)}}); err != nil {
		t.Errorf("after it was emptied: %v", err)
	}
}

// TestAnotherFileInItsPlace appends to a file that is removed, replaced or in a folder that
// is removed: what comes later is in the one that is there.
func TestAnotherFileInItsPlace(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sub")
	path := filepath.Join(dir, "calls")
	one, other := spool.NewFile(path, spool.FileOptions{}), spool.NewFile(path, spool.FileOptions{})
	at := int64(0)
	add := func(f *spool.File) {
		t.Helper()
		at++
		if _, err := f.Append(spool.Entry{Call: analytics.Call{Time: time.Unix(at, 0)}}); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(want ...int64) {
		t.Helper()
		for _, f := range []*spool.File{one, other, spool.NewFile(path, spool.FileOptions{})} {
			held, err := f.Read(func([]byte) (int64, error) { return spool.Start, nil }, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for e := range held.Entries() {
				got = append(got, e.Call.Time.Unix())
			}
			if !slices.Equal(got, want) {
				t.Errorf("the file holds %v, want %v", got, want)
			}
		}
	}
	add(one)
	add(other)
	holds(1, 2)
	if err := os.Remove(path + "-calls"); err != nil {
		t.Fatal(err)
	}
	add(one)
	add(other)
	holds(3, 4)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	add(other)
	add(one)
	holds(5, 6)
	if err := errors.Join(one.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
	add(one)
	holds(5, 6, 7)
}
