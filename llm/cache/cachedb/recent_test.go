package cachedb_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
)

func closed(t *testing.T, s *cachedb.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func recentFiles(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob(path + "-recent/*.json")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestARecentAnswerNeedsNoDatabase puts rubbish in the place of the database: a
// process whose one call was made a moment ago does not notice.
func TestARecentAnswerNeedsNoDatabase(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := open(t, path, cachedb.Options{})
	want := entry(1)
	put(t, s, want)
	closed(t, s)
	database, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rubbish := os.WriteFile(path, []byte(strings.Repeat("rubbish ", 1000)), 0o600)
	if err := errors.Join(rubbish, os.Truncate(path+"-wal", 0)); err != nil { // closing has moved all of the log into the file
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
	if _, err := s.Get(t.Context(), want.Key, want.CreatedAt.Add(time.Second)); err == nil {
		t.Error("an answer that is too old for its reader was found")
	}
	if _, err := s.Get(t.Context(), entry(2).Key, time.Time{}); err == nil || errors.Is(err, cache.ErrMiss) {
		t.Errorf("what is not recent: %v; want an error, for the database is rubbish", err)
	}
	closed(t, s)

	// Its use is counted all the same.
	if err := errors.Join(os.WriteFile(path, database, 0o600), os.Remove(path+"-wal"), os.Remove(path+"-shm")); err != nil {
		t.Fatal(err)
	}
	if st := stats(t, open(t, path, cachedb.Options{})); st.Hits != 1 {
		t.Errorf("%+v; want one hit", st)
	}
}

func TestRecentAnswersFollowTheStore(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := open(t, path, cachedb.Options{})
	put(t, s, entry(1), entry(2))
	again := entry(1)
	again.Response.Content = []llm.Block{llm.TextBlock("another")}
	put(t, s, again)
	closed(t, s)
	s = open(t, path, cachedb.Options{})
	if got, err := s.Get(t.Context(), again.Key, time.Time{}); err != nil || got.Response.Text() != "another" {
		t.Errorf("got %v, %v; want the newer answer", got, err)
	}
	if _, _, err := s.Clear(t.Context(), cache.Filter{}); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if files := recentFiles(t, path); len(files) != 0 {
		t.Errorf("after clearing: %v", files)
	}
	if s = open(t, path, cachedb.Options{}); has(t, s, 1) {
		t.Error("a cleared answer was found")
	}
}

func TestDamagedAndExpiredRecentAnswers(t *testing.T) {
	t.Parallel()
	path := file(t)
	s := open(t, path, cachedb.Options{})
	short := entry(2)
	short.ExpiresAt = time.Now().Add(-time.Second)
	put(t, s, entry(1), short)
	closed(t, s)
	for _, f := range recentFiles(t, path) {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte(strings.Replace(string(data), "agent1", "agent7", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, path, cachedb.Options{})
	if got, err := s.Get(t.Context(), entry(1).Key, time.Time{}); err != nil || got.Agent != "agent1" {
		t.Errorf("got %v, %v; want what the store says", got, err)
	}
	closed(t, s)
	if s = open(t, path, cachedb.Options{}); has(t, s, 2) {
		t.Error("an expired answer was found")
	}
}

func TestRecentAnswersAreFew(t *testing.T) {
	t.Parallel()
	path := file(t)
	for p := range 4 {
		s := open(t, path, cachedb.Options{})
		for n := range 100 {
			put(t, s, entry(100*p+n))
		}
		closed(t, s)
	}
	if n := len(recentFiles(t, path)); n < 64 || n > 128+64 {
		t.Errorf("%d files", n)
	}
	large := entry(1000)
	large.Response.Content = []llm.Block{llm.TextBlock(strings.Repeat("x", 100_000))}
	s := open(t, path, cachedb.Options{})
	put(t, s, large)
	if _, err := os.Stat(filepath.Join(path+"-recent", large.Key.String()+".json")); err == nil {
		t.Error("a large answer is kept twice")
	}
}

// TestAKeyIsCheckedWithoutTheDatabase also where an answer is recent.
func TestAKeyIsCheckedWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	path := file(t)
	key := []byte(strings.Repeat("k", 32))
	s := open(t, path, cachedb.Options{Key: key})
	put(t, s, entry(1))
	closed(t, s)
	if _, err := cachedb.Open(path, cachedb.Options{Key: []byte(strings.Repeat("x", 32))}); !errors.Is(err, cachedb.ErrWrongKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := cachedb.Open(path, cachedb.Options{}); !errors.Is(err, cachedb.ErrEncrypted) {
		t.Errorf("no key: %v", err)
	}
	if s := open(t, path, cachedb.Options{Key: key}); !has(t, s, 1) {
		t.Error("not found with the right key")
	}

	// A store that was removed and begun anew has nothing of the old one.
	for _, suffix := range []string{"", "-wal", "-shm", "-uses"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if s := open(t, path, cachedb.Options{}); has(t, s, 1) {
		t.Error("an answer of the removed store was found")
	}
}
