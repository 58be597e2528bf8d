package cachedb_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/llm/cache/cachedb"
)

// change runs statements on a file behind the store's back.
func change(t *testing.T, path, sql string) {
	t.Helper()
	conn, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Exec(sql), conn.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestNobodyElseCanReadTheFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // exists, and others may enter it
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "cache.db"), cachedb.Options{})
	put(t, s, entry(1))
	has(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

func TestDatabasesOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{"without a version": `CREATE TABLE mine (x)`, "with our version": `CREATE TABLE mine (x); PRAGMA user_version = 1`} {
		path := filepath.Join(t.TempDir(), "other.db")
		change(t, path, sql)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cachedb.Open(path, cachedb.Options{}); err == nil || !strings.Contains(err.Error(), "another program") {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestATornUseCostsNoOther(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := open(t, path, cachedb.Options{})
	put(t, s, entry(1))
	f, err := os.OpenFile(path+"-uses", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(make([]byte, 10)) // an append that a full disk cut short
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		has(t, s, 1)
	}
	if st := stats(t, s); st.Hits != 3 || st.TokensSaved != 45 {
		t.Errorf("%+v; want 3 hits and 45 tokens", st)
	}
}

func TestDamagedColumnsAreNotBelieved(t *testing.T) {
	t.Parallel()
	sets := []string{
		"expires = 9000000000000000000", "expires = NULL", "usd = 1e6", "usd = NULL", "tokens = 1000000", "agent = 'other'", "model = 'other'", "truncated = 1",
		"created = created + 1", "sum = zeroblob(32)", "data = zeroblob(length(data))",
	}
	for _, set := range sets {
		for _, before := range []bool{false, true} {
			path := file(t)
			s := open(t, path, cachedb.Options{})
			put(t, s, entry(1))
			if before && !has(t, s, 1) {
				t.Fatal("what is stored is not found")
			}
			change(t, path, "UPDATE answers SET "+set)
			if has(t, s, 1) {
				t.Errorf("%s was believed; read before: %v", set, before)
			}
		}
	}
}

// TestUsesAreCountedOnce counts uses of two stores of one file, of which one has
// transactions that fail and the other leaves its uses in the file beside it.
func TestUsesAreCountedOnce(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := open(t, path, cachedb.Options{})
	put(t, s, entry(1))
	hits, misses := int64(0), int64(0)
	for round := range 3 {
		change(t, path, "CREATE TRIGGER broken BEFORE INSERT ON answers BEGIN SELECT RAISE(FAIL, 'broken'); END")
		for range round + 1 {
			if !has(t, s, 1) || has(t, s, 100+round) {
				t.Error("what is stored is not found")
			}
			hits, misses = hits+1, misses+1
			if err := s.Put(t.Context(), entry(100+round)); err == nil {
				t.Error("a transaction did not fail")
			}
		}
		change(t, path, "DROP TRIGGER broken")
		other := open(t, path, cachedb.Options{})
		if has(t, other, 200+round) {
			t.Error("found what is not stored")
		}
		misses++
		closed(t, other)
		put(t, s, entry(100+round))
		if st := stats(t, s); st.Hits != hits || st.Misses != misses || st.TokensSaved != 15*hits {
			t.Errorf("round %d: %+v; want %d hits and %d misses", round, st, hits, misses)
		}
	}
}
