package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Memory is a [Backend] that ends with the process. Entries count for the bytes of their
// texts. The zero value is ready and has no bound.
type Memory struct {
	// MaxBytes is the size at which the entries not used for longest are removed. 0 means
	// no bound.
	MaxBytes int64

	mu                           sync.Mutex // guards the fields below
	entries                      map[llm.Key]*memoryEntry
	bytes, uses                  int64
	hits, misses, tokens, priced int64
	usd                          float64
	closed                       bool
}

type memoryEntry struct {
	Entry
	size int64
	used int64 // number of the latest use
}

var errMemoryClosed = errors.New("using the cache: it is closed")

// ready reports why the store cannot be used. The caller holds mu.
func (m *Memory) ready(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return llm.ContextError(ctx)
	case m.closed:
		return errMemoryClosed
	}
	return nil
}

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, key llm.Key, notBefore time.Time) (*Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	e := m.entries[key]
	if e == nil || e.Expired(time.Now()) || e.CreatedAt.Before(notBefore) {
		m.misses++
		return nil, ErrMiss
	}
	m.uses++
	e.used = m.uses
	m.hits++
	m.tokens += int64(e.Response.Usage.TotalTokens())
	if e.CostUSD != nil {
		m.priced++
		m.usd += *e.CostUSD
	}
	return e.clone(), nil
}

// clone returns a copy of the entry that belongs to the caller.
func (e *Entry) clone() *Entry {
	c := *e
	c.Response = e.Response.Clone()
	c.Response.Source, c.Response.Attempts = "", 0
	if e.CostUSD != nil {
		c.CostUSD = new(*e.CostUSD)
	}
	return &c
}

// Put implements [Store].
func (m *Memory) Put(ctx context.Context, e *Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return err
	}
	const overhead = 300
	kept := &memoryEntry{Entry: *e.clone(), size: overhead + int64(len(e.Agent)+len(e.Model)+len(e.Prompt))}
	for _, b := range e.Response.Content {
		kept.size += int64(len(b.Text) + len(b.Input) + len(b.Raw))
	}
	if m.MaxBytes > 0 && kept.size > m.MaxBytes {
		return fmt.Errorf("writing the cache: the answer takes %d bytes and the whole cache may have %d", kept.size, m.MaxBytes)
	}
	if m.entries == nil {
		m.entries = map[llm.Key]*memoryEntry{}
	}
	m.remove(e.Key)
	m.uses++
	kept.used = m.uses
	m.entries[e.Key] = kept
	m.bytes += kept.size
	m.evict(time.Now())
	return nil
}

// remove removes an entry, if there is one. The caller holds mu.
func (m *Memory) remove(key llm.Key) {
	if e := m.entries[key]; e != nil {
		m.bytes -= e.size
		delete(m.entries, key)
	}
}

// evict removes what has expired and, while the store is too large, what was not used for
// longest. The caller holds mu.
func (m *Memory) evict(now time.Time) {
	for key, e := range m.entries {
		if e.Expired(now) {
			m.remove(key)
		}
	}
	if m.MaxBytes <= 0 || m.bytes <= m.MaxBytes {
		return
	}
	oldest := make([]*memoryEntry, 0, len(m.entries))
	for _, e := range m.entries {
		oldest = append(oldest, e)
	}
	slices.SortFunc(oldest, func(a, b *memoryEntry) int { return cmp.Compare(a.used, b.used) })
	for _, e := range oldest {
		if m.bytes <= m.MaxBytes {
			return
		}
		m.remove(e.Key)
	}
}

// chosen returns the entries that fit, the newest first. The caller holds mu.
func (m *Memory) chosen(fits func(*Entry) bool) (list []*Entry) {
	for _, e := range m.entries {
		if fits(&e.Entry) {
			list = append(list, e.clone())
		}
	}
	slices.SortFunc(list, func(a, b *Entry) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return list
}

// fits returns whether the filter chooses an entry at a time.
func (f Filter) fits(now time.Time) func(*Entry) bool {
	return func(e *Entry) bool {
		return (f.Agent == "" || e.Agent == f.Agent) && (f.OlderThan == 0 || !e.CreatedAt.After(now.Add(-f.OlderThan)))
	}
}

// List implements [Backend].
func (m *Memory) List(ctx context.Context, f Filter) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		m.mu.Lock()
		err := m.ready(ctx)
		list := m.chosen(f.fits(time.Now()))
		m.mu.Unlock()
		if err != nil {
			yield(nil, err)
			return
		}
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Show implements [Backend].
func (m *Memory) Show(ctx context.Context, prefix string) (*Entry, error) {
	low, high, err := KeyRange(prefix)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	return OnlyOne(prefix, m.chosen(func(e *Entry) bool { return within(e.Key, low, high) }))
}

// Clear implements [Backend].
func (m *Memory) Clear(ctx context.Context, f Filter) (n int, bytes int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return 0, 0, err
	}
	before := m.bytes
	list := m.chosen(f.fits(time.Now()))
	for _, e := range list {
		m.remove(e.Key)
	}
	return len(list), before - m.bytes, nil
}

// Stats implements [Backend].
func (m *Memory) Stats(ctx context.Context) (Stats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return Stats{}, err
	}
	st := Stats{Entries: int64(len(m.entries)), Bytes: m.bytes}
	st.Used(m.hits, m.misses, m.tokens, m.priced, m.usd)
	return st, nil
}

// Close implements [Backend].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
