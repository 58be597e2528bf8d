package cachedb

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/sealed"
)

// Recent answers are kept a second time, each in a small file of its own in a
// folder beside the store, so that a process whose one call was made a moment
// ago answers it without opening SQLite, which is half of what it takes. The
// store remains the truth: a file is removed before its row changes and written
// after, and once a process has opened the store it reads nothing else.
const (
	maxRecent     = 128      // files that are kept
	maxRecentSize = 64 << 10 // bytes of data of an answer that is kept so
	maxRecentFile = 1 << 20  // bytes of a file with it
	// maxRecentWrites is how many one process writes: those of a process that
	// makes thousands of calls are not for one that makes the next.
	maxRecentWrites = 64
)

func (s *Store) recentDir() string { return s.path + "-recent" }

func (s *Store) recentPath(key llm.Key) string {
	return filepath.Join(s.recentDir(), key.String()+".json")
}

// markPath returns the path of the file that says which schema the store has and how it is
// encrypted: a line with the version, then the verifier, if there is one. With
// it both are checked without the store.
func (s *Store) markPath() string { return filepath.Join(s.recentDir(), "mark") }

// markFits reports whether the store exists and is encrypted as asked for, as
// far as can be said without opening it.
func (s *Store) markFits() bool {
	mark, err := openfile.Read(s.markPath(), maxRecentFile)
	if err != nil {
		return false
	}
	written, verifier, _ := bytes.Cut(mark, []byte("\n"))
	if string(written) != strconv.Itoa(version) {
		return false
	}
	if info, err := os.Stat(s.path); err != nil || info.Size() == 0 {
		return false
	}
	return s.box.Check(verifier) == nil
}

// mark makes the folder of recent answers for a store that was opened.
func (s *Store) mark(verifier []byte) {
	if s.markFits() {
		return
	}
	// What is in there belongs to another store. That recent answers cannot
	// be kept costs a millisecond, so it is no error.
	if os.RemoveAll(s.recentDir()) != nil || os.MkdirAll(s.recentDir(), 0o700) != nil {
		return
	}
	_ = replaceFile(s.markPath(), append([]byte(strconv.Itoa(version)+"\n"), verifier...))
}

// recent is an answer in a file. Times are in nanoseconds since 1970.
type recent struct {
	Agent     string   `json:"agent"`
	Model     string   `json:"model"`
	Created   int64    `json:"created"`
	Expires   int64    `json:"expires"` // 0 for never
	Tokens    int64    `json:"tokens"`
	USD       *float64 `json:"usd"`
	Truncated bool     `json:"truncated"`
	Sum       []byte   `json:"sum"`
	Data      []byte   `json:"data"`
}

// findRecent returns the recent answer of a call.
func (s *Store) findRecent(key llm.Key) (e *cache.Entry, tokens int64, err error) {
	raw, err := openfile.Read(s.recentPath(key), maxRecentFile)
	if err != nil {
		return nil, 0, cache.ErrMiss
	}
	var r recent
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, 0, sealed.ErrDamaged
	}
	e = &cache.Entry{
		Key: key, Agent: r.Agent, Model: r.Model, CreatedAt: time.Unix(0, r.Created).UTC(), Truncated: r.Truncated, CostUSD: r.USD,
	}
	if r.Expires != 0 {
		e.ExpiresAt = time.Unix(0, r.Expires).UTC()
	}
	e, err = sealed.Open(s.box, e, r.Tokens, r.Sum, r.Data)
	return e, r.Tokens, err
}

// keepRecent writes an answer's file, if it is worth one.
func (s *Store) keepRecent(e *cache.Entry, data []byte) {
	if s.recentWrites >= maxRecentWrites || len(data) > maxRecentSize {
		return
	}
	s.recentWrites++
	tokens := sealed.Tokens(e)
	r := recent{
		Agent: e.Agent, Model: e.Model, Created: e.CreatedAt.UnixNano(), Tokens: tokens,
		USD: e.CostUSD, Truncated: e.Truncated, Sum: sealed.Checksum(e, tokens, data), Data: data,
	}
	if !e.ExpiresAt.IsZero() {
		r.Expires = e.ExpiresAt.UnixNano()
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return
	}
	if replaceFile(s.recentPath(e.Key), raw) == nil && s.recentWrites%16 == 1 {
		s.pruneRecent()
	}
}

// pruneRecent removes the oldest files beyond the limit.
func (s *Store) pruneRecent() {
	entries, err := os.ReadDir(s.recentDir())
	if err != nil || len(entries) <= maxRecent {
		return
	}
	files := make([]fs.FileInfo, 0, len(entries))
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && filepath.Ext(info.Name()) == ".json" {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, f := range files[min(len(files), maxRecent):] {
		_ = os.Remove(filepath.Join(s.recentDir(), f.Name())) // another process may have been faster
	}
}

// forgetRecent removes the files of one answer, or of all.
func (s *Store) forgetRecent(keys ...llm.Key) error {
	if len(keys) == 0 {
		files, err := filepath.Glob(filepath.Join(s.recentDir(), "*.json"))
		for _, f := range files {
			err = errors.Join(err, ignoreMissing(os.Remove(f)))
		}
		return err
	}
	var err error
	for _, key := range keys {
		err = errors.Join(err, ignoreMissing(os.Remove(s.recentPath(key))))
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "new-*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // there is an error to report already
	}
	return err
}
