package cachedb

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/sealed"
)

// maxTogether is how many answers are written in one transaction, which others wait for.
const maxTogether = 64

// manyWritten is after how many answers a process lets the log grow to 16 MB, and not 4,
// before it is copied into the file, which waits for the disk.
const manyWritten = 256

// put is an answer that is to be stored.
type put struct {
	entry *cache.Entry
	data  []byte

	// Guarded by the store's mu:

	done bool
	err  error
}

// puts are those that wait for the store.
type puts struct {
	mu   sync.Mutex // guards the field below
	list []*put
}

func (p *puts) add(one *put) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, one)
}

// take takes the first ones.
func (p *puts) take() []*put {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.list), maxTogether)
	taken := p.list[:n:n]
	p.list = p.list[n:]
	return taken
}

// Put stores an answer. See [cache.Store].
func (s *Store) Put(ctx context.Context, e *cache.Entry) error {
	if ctx.Err() != nil {
		return llm.ContextError(ctx)
	}
	data, err := sealed.Data(s.box, e)
	if err != nil {
		return err
	}
	one := &put{entry: e, data: data}
	// It would push out everything else, then itself.
	if size := sealed.Size(e, one.data); size > s.max {
		return fmt.Errorf("writing cache %s: the answer takes %d bytes and the whole cache may have %d", s.path, size, s.max)
	}
	s.waiting.add(one)
	// Goroutines that can run now may have answers too: a transaction for several costs
	// little more than one for each.
	runtime.Gosched()
	s.mu.Lock()
	defer s.mu.Unlock()
	// Whoever has the store first writes what waits, for all.
	for !one.done {
		s.putAll(context.WithoutCancel(ctx), s.waiting.take())
	}
	return one.err
}

// putAll stores answers in one transaction, or, if it fails, each in its own. The caller
// holds mu.
func (s *Store) putAll(ctx context.Context, list []*put) {
	err := s.ready(ctx)
	if err == nil {
		if err = s.write(list); err != nil && len(list) > 1 {
			for i := range list {
				s.putAll(ctx, list[i:i+1])
			}
			return
		}
		if err != nil {
			err = fmt.Errorf("writing cache %s: %w", s.path, explain(s.path, err))
		}
	}
	if err == nil {
		s.aside.allow()
	}
	for _, one := range list {
		one.done, one.err = true, err
		if err == nil {
			s.keepRecent(one.entry, one.data)
		}
	}
}

func (s *Store) write(list []*put) error {
	for _, one := range list {
		if err := s.forgetRecent(one.entry.Key); err != nil {
			return err
		}
	}
	if s.written += len(list); s.written >= manyWritten && s.written-len(list) < manyWritten {
		if err := s.conn.Exec(`PRAGMA wal_autocheckpoint = 4000`); err != nil {
			return err
		}
	}
	return s.folding(func(t *tally) error {
		for _, one := range list {
			size, err := s.insert(one.entry, one.data)
			if err != nil {
				return err
			}
			t.entries++
			t.bytes += size
		}
		return nil
	})
}
