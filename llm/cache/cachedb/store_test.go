package cachedb_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
	"github.com/claude-force/claude-force/llm/cache/cachetest"
)

func open(tb testing.TB, path string, opts cachedb.Options) *cachedb.Store {
	tb.Helper()
	s, err := cachedb.Open(path, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func file(tb testing.TB) string { return filepath.Join(tb.TempDir(), "sub", "cache.db") }

func entry(n int) *cache.Entry { return cachetest.Entry(n) }

func put(tb testing.TB, s *cachedb.Store, entries ...*cache.Entry) {
	tb.Helper()
	cachetest.Put(tb, s, entries...)
}

func has(tb testing.TB, s *cachedb.Store, n int) bool {
	tb.Helper()
	return cachetest.Has(tb, s, n)
}

func stats(tb testing.TB, s *cachedb.Store) cache.Stats {
	tb.Helper()
	return cachetest.Stats(tb, s)
}

func TestSuite(t *testing.T) {
	t.Parallel()
	cachetest.Suite(t, func(t *testing.T, maxBytes int64) cache.Backend {
		return open(t, file(t), cachedb.Options{MaxBytes: maxBytes})
	})
	cachetest.SharedSuite(t, func(t *testing.T) func(*testing.T) cache.Backend {
		path := file(t)
		return func(t *testing.T) cache.Backend { return open(t, path, cachedb.Options{}) }
	})
}

func TestAnAnswerIsReadAgainWhenItHasChanged(t *testing.T) {
	t.Parallel()
	path := file(t)
	s, other := open(t, path, cachedb.Options{}), open(t, path, cachedb.Options{})
	put(t, other, entry(1))
	for _, text := range []string{"the first", "the second", "the third"} {
		e := entry(1)
		e.Response.Content[0].Text = text
		put(t, other, e)
		for range 3 {
			got, err := s.Get(t.Context(), e.Key, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e.Response, got.Response); diff != "" {
				t.Errorf("%s: -want +got:\n%s", text, diff)
			}
			got.Response.Content[0].Text, got.Response.Source = "changed by the reader", llm.SourceCache
			got.Response.Content = got.Response.Content[:0]
		}
	}
	if _, _, err := other.Clear(t.Context(), cache.Filter{}); err != nil {
		t.Fatal(err)
	}
	if has(t, s, 1) {
		t.Error("an answer was found that another process has removed")
	}
}

func TestWhatIsStoredIsFound(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := open(t, path, cachedb.Options{})
	want := entry(1)
	put(t, s, want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, cachedb.Options{})
	got, err := s.Get(t.Context(), want.Key, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if has(t, s, 2) {
		t.Error("an answer that was not stored was found")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestEncryption(t *testing.T) {
	t.Parallel()
	path := file(t)
	key := bytes.Repeat([]byte{7}, 32)
	s := open(t, path, cachedb.Options{Key: key})
	e := entry(1)
	e.Prompt, e.Response.Content[0].Text = "a secret question", "a secret answer"
	put(t, s, e)
	recent, err := filepath.Glob(path + "-recent/*")
	if err != nil || len(recent) != 2 {
		t.Errorf("recent answers %v, %v", recent, err)
	}
	for _, name := range append(recent, path, path+"-wal") {
		data, err := os.ReadFile(name)
		if err != nil || bytes.Contains(data, []byte("a secret")) || bytes.Contains(data, []byte("YSBzZWNyZXQ")) {
			t.Errorf("%s holds the text in clear, or is missing: %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key  []byte
		want error
	}{
		"another key": {bytes.Repeat([]byte{8}, 32), cachedb.ErrWrongKey},
		"no key":      {nil, cachedb.ErrEncrypted},
	} {
		if _, err := cachedb.Open(path, cachedb.Options{Key: tt.key}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", name, err, tt.want)
		}
	}
	if _, err := cachedb.Open(path, cachedb.Options{Key: key[:16]}); err == nil || !strings.Contains(err.Error(), "16 bytes") {
		t.Errorf("a short key: %v", err)
	}
	got, err := open(t, path, cachedb.Options{Key: key}).Get(t.Context(), e.Key, time.Time{})
	if err != nil || got.Response.Text() != "a secret answer" {
		t.Errorf("with the right key: %v, %v", got, err)
	}

	clear := file(t)
	if err := open(t, clear, cachedb.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := cachedb.Open(clear, cachedb.Options{Key: key}); !errors.Is(err, cachedb.ErrNotEncrypted) {
		t.Errorf("a key for a clear store: %v", err)
	}
}

func TestDamagedRowsAreMisses(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"data":       `UPDATE answers SET data = 'x'`,
		"mixed up":   `UPDATE answers SET data = (SELECT data FROM answers ORDER BY id DESC LIMIT 1), sum = (SELECT sum FROM answers ORDER BY id DESC LIMIT 1)`,
		"sum":        `UPDATE answers SET sum = 'x'`,
		"other JSON": `UPDATE answers SET data = '[]'`,
	} {
		path := file(t)
		s := open(t, path, cachedb.Options{})
		put(t, s, entry(1), entry(2))
		conn, err := sqlite3.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(conn.Exec(sql), conn.Close()); err != nil {
			t.Fatal(err)
		}
		if has(t, s, 1) {
			t.Errorf("%s: a damaged answer was found", name)
		}
		if st := stats(t, s); st.Entries != 1 {
			t.Errorf("%s: %d entries; the damaged one was to be removed", name, st.Entries)
		}
	}
}

func TestFilesThatAreNotOurs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Join(dir, "newer.db")
	if err := open(t, newer, cachedb.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite3.Open(newer)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Exec(`PRAGMA user_version = 99; UPDATE schema_oldest SET version = 99`), conn.Close(), os.RemoveAll(newer+"-recent")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		write("text.db", strings.Repeat("this is no database ", 100)): "remove it",
		newer: "newer claude-force",
		filepath.Join(write("file", ""), "cache.db"): "CLAUDE_FORCE_HOME",
	} {
		s, err := cachedb.Open(path, cachedb.Options{})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want %s", path, err, want)
		}
	}
}

// TestAnswersAreStoredTogether has one that cannot be stored among many that come at once:
// it fails alone, and each of the others is there when its Put has returned.
func TestAnswersAreStoredTogether(t *testing.T) {
	t.Parallel()
	s := open(t, file(t), cachedb.Options{MaxBytes: 1 << 20})
	var all sync.WaitGroup
	for n := range 300 {
		all.Go(func() {
			e := entry(n)
			if n == 150 {
				e.Response.Content = []llm.Block{llm.TextBlock(strings.Repeat("long", 1<<20))}
			}
			if err := s.Put(t.Context(), e); (err != nil) != (n == 150) {
				t.Errorf("answer %d: %v", n, err)
			}
			if has(t, s, n) != (n != 150) {
				t.Errorf("answer %d", n)
			}
		})
	}
	all.Wait()
	if st := stats(t, s); st.Entries != 299 {
		t.Errorf("%d entries", st.Entries)
	}
}

// TestReadersDoNotWaitForAWriter reads while another connection of the same file keeps the
// store's own writer waiting.
func TestReadersDoNotWaitForAWriter(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := open(t, path, cachedb.Options{})
	put(t, s, entry(1))
	other, err := sqlitefile.Open(path, sqlitefile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var writer sync.WaitGroup
	if err := other.Write(func() error {
		writer.Go(func() { put(t, s, entry(2)) }) // waits until this transaction has ended
		for range 1000 {
			if !has(t, s, 1) || has(t, s, 3) {
				t.Error("what is stored is not found")
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	writer.Wait()
	if !has(t, s, 2) {
		t.Error("the answer is not stored")
	}
}
