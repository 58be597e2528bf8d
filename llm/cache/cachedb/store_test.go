package cachedb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// entry is an answer of n characters under the n-th key.
func entry(n int) *cache.Entry {
	var key llm.Key
	copy(key[:], fmt.Sprintf("%032d", n))
	now := time.Now().UTC()
	return &cache.Entry{
		Key: key, Agent: fmt.Sprintf("agent%d", n%2), Model: "claude-haiku-5-5", Prompt: "prompt " + fmt.Sprint(n),
		Response: &llm.Response{
			ID: "msg", Model: "claude-haiku-5-5", StopReason: "end_turn",
			Content: []llm.Block{llm.TextBlock("answer " + fmt.Sprint(n))}, Usage: llm.Usage{InputTokens: 10, OutputTokens: 5},
		},
		CreatedAt: now, ExpiresAt: now.Add(time.Hour), CostUSD: new(0.5),
	}
}

func put(tb testing.TB, s *cachedb.Store, entries ...*cache.Entry) {
	tb.Helper()
	for _, e := range entries {
		if err := s.Put(tb.Context(), e); err != nil {
			tb.Fatal(err)
		}
	}
}

func has(tb testing.TB, s *cachedb.Store, n int) bool {
	tb.Helper()
	_, err := s.Get(tb.Context(), entry(n).Key, time.Time{})
	if err != nil && !errors.Is(err, cache.ErrMiss) {
		tb.Fatal(err)
	}
	return err == nil
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

func TestExpiry(t *testing.T) {
	t.Parallel()
	s := open(t, file(t), cachedb.Options{})
	old, forever := entry(1), entry(2)
	old.ExpiresAt = time.Now().Add(-time.Second)
	forever.ExpiresAt = time.Time{}
	put(t, s, old, forever)
	if has(t, s, 1) || !has(t, s, 2) {
		t.Error("an expired answer was found, or one that never expires was not")
	}
	if _, err := s.Get(t.Context(), forever.Key, forever.CreatedAt.Add(time.Second)); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("an answer that is too old for its reader: %v", err)
	}
	put(t, s, entry(3)) // removes what has expired
	if st := stats(t, s); st.Entries != 2 {
		t.Errorf("%d entries", st.Entries)
	}
}

func stats(tb testing.TB, s *cachedb.Store) cachedb.Stats {
	tb.Helper()
	st, err := s.Stats(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return st
}

func TestStats(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := open(t, path, cachedb.Options{})
	if st := stats(t, s); st.USDSaved == nil || *st.USDSaved != 0 {
		t.Error("a new store does not know that it saved nothing")
	}
	unpriced := entry(2)
	unpriced.CostUSD = nil
	put(t, s, entry(1), unpriced)
	for range 3 {
		has(t, s, 1)
	}
	has(t, s, 2)
	has(t, s, 9)
	if err := s.Close(); err != nil { // writes the uses
		t.Fatal(err)
	}
	got := stats(t, open(t, path, cachedb.Options{}))
	want := cachedb.Stats{Entries: 2, Bytes: got.Bytes, Hits: 4, Misses: 1, HitRate: 0.8, TokensSaved: 60, USDSaved: new(1.5)}
	if diff := cmp.Diff(want, got); diff != "" || got.Bytes < 500 {
		t.Errorf("%s; %d bytes", diff, got.Bytes)
	}
}

func TestTheLeastUsedGoFirst(t *testing.T) {
	t.Parallel()
	s := open(t, file(t), cachedb.Options{})
	put(t, s, entry(0))
	size := stats(t, s).Bytes
	s = open(t, file(t), cachedb.Options{MaxBytes: 10*size + size/2})
	for n := range 10 {
		put(t, s, entry(n))
	}
	has(t, s, 0) // used, so it stays
	for n := 10; n < 15; n++ {
		put(t, s, entry(n))
	}
	var left []int
	for n := range 15 {
		if has(t, s, n) {
			left = append(left, n)
		}
	}
	if diff := cmp.Diff([]int{0, 6, 7, 8, 9, 10, 11, 12, 13, 14}, left); diff != "" {
		t.Error(diff)
	}
	if st := stats(t, s); st.Entries != 10 || st.Bytes > 10*size+size/2 {
		t.Errorf("%+v", st)
	}
}

func TestStoringAgainReplaces(t *testing.T) {
	t.Parallel()
	s := open(t, file(t), cachedb.Options{})
	put(t, s, entry(1))
	before := stats(t, s)
	again := entry(1)
	again.Response.Content[0].Text = "another"
	put(t, s, again)
	got, err := s.Get(t.Context(), again.Key, time.Time{})
	if err != nil || got.Response.Text() != "another" {
		t.Errorf("got %v, %v", got, err)
	}
	if after := stats(t, s); after.Entries != before.Entries {
		t.Errorf("%d entries, then %d", before.Entries, after.Entries)
	}
}

func TestListShowClear(t *testing.T) {
	t.Parallel()
	s := open(t, file(t), cachedb.Options{})
	for n := range 250 {
		e := entry(n)
		e.CreatedAt = e.CreatedAt.Add(time.Duration(n-300) * time.Hour)
		put(t, s, e)
	}
	last, count := time.Now(), 0
	for e, err := range s.List(t.Context(), cachedb.Filter{Agent: "agent1"}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.CreatedAt.After(last) || e.Agent != "agent1" {
			t.Fatalf("%s of %s after %s", e.CreatedAt, e.Agent, last)
		}
		last = e.CreatedAt
		count++
		if count == 3 && !has(t, s, 1) { // the store may be used meanwhile
			t.Error("not found")
		}
	}
	if count != 125 {
		t.Errorf("listed %d; want 125", count)
	}
	key := entry(7).Key.String()
	for _, prefix := range []string{key, strings.ToUpper(key)} {
		if e, err := s.Show(t.Context(), prefix); err != nil || e.Prompt != "prompt 7" {
			t.Errorf("Show(%q) = %v, %v", prefix, e, err)
		}
	}
	for prefix, want := range map[string]string{"30": "several keys", "ff": "no answer", "": "not the beginning", "xyz": "not the beginning", key + "0": "not the beginning"} {
		if _, err := s.Show(t.Context(), prefix); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Show(%q): %v; want %s", prefix, err, want)
		}
	}
	n, freed, err := s.Clear(t.Context(), cachedb.Filter{Agent: "agent0", OlderThan: 201 * time.Hour})
	if err != nil || n != 50 || freed < 50*300 { // created 300, 298, … 202 hours ago
		t.Errorf("cleared %d, %d bytes, %v; want 50", n, freed, err)
	}
	if _, _, err := s.Clear(t.Context(), cachedb.Filter{}); err != nil {
		t.Fatal(err)
	}
	if st := stats(t, s); st.Entries != 0 || st.Bytes != 0 {
		t.Errorf("after clearing: %+v", st)
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
	if err := errors.Join(conn.Exec(`PRAGMA user_version = 99`), conn.Close(), os.RemoveAll(newer+"-recent")); err != nil {
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

func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	path := file(t)
	stores := []*cachedb.Store{open(t, path, cachedb.Options{}), open(t, path, cachedb.Options{})}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			s := stores[g%2]
			for n := range 20 {
				if err := s.Put(t.Context(), entry(n)); err != nil {
					t.Error(err)
				}
				if _, err := s.Get(t.Context(), entry(n).Key, time.Time{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if st := stats(t, stores[0]); st.Entries != 20 {
		t.Errorf("%d entries", st.Entries)
	}
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	s := open(t, file(t), cachedb.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, entry(1)); llm.CodeOf(err) != llm.CodeCanceled {
		t.Errorf("got %v", err)
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
