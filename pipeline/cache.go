package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
	"github.com/claude-force/claude-force/llm/cache/cachepg"
	"github.com/claude-force/claude-force/llm/cache/cachevalkey"
	"github.com/claude-force/claude-force/llm/coalesce/coalescevalkey"
)

var errNoCacheFolder = errors.New("no folder for the cache: set CLAUDE_FORCE_HOME, or HOME, or turn the cache off with CLAUDE_FORCE_CACHE=false")

// OpenCache opens the response cache that cfg names: in a database, or in a file, which it
// creates if there is none. It needs no credential of the API. The error is a
// [fault.InputError] if there is no data folder, the store cannot be used or the encryption
// key does not fit. Close the cache when done.
func OpenCache(ctx context.Context, cfg *config.Config) (cache.Backend, error) {
	if cfg.DataDir == "" && cfg.Store == "" {
		return nil, fault.Input(errNoCacheFolder)
	}
	key, err := EncryptionKey(ctx, cfg)
	if err != nil {
		return nil, err
	}
	store, err := openCacheStore(ctx, cfg, key)
	if err != nil || cfg.Valkey == "" {
		return store, fault.Input(err)
	}
	client, err := newValkey(cfg, key, valkey.Options{})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	shared, err := shareCache(cfg, store, client, key)
	if err != nil {
		client.Close()
		return nil, errors.Join(fault.Input(err), store.Close())
	}
	return &clientCache{shared}, nil
}

// shareCache returns a cache whose answers, and whose clearing, machines with a Valkey server
// share.
func shareCache(cfg *config.Config, store cache.Backend, client *valkey.Client, key []byte) (*sharedCache, error) {
	if sharesAnswers(cfg) {
		var err error
		if store, err = cachevalkey.New(store, client, key); err != nil {
			return nil, err
		}
	}
	return &sharedCache{store, client}, nil
}

// sharedCache is a cache beside a Valkey server.
type sharedCache struct {
	cache.Backend
	client *valkey.Client
}

// Clear removes answers, and those of calls that have just ended.
func (c *sharedCache) Clear(ctx context.Context, f cache.Filter) (n int, bytes int64, err error) {
	if n, bytes, err = c.Backend.Clear(ctx, f); err != nil {
		return n, bytes, err
	}
	return n, bytes, coalescevalkey.Forget(ctx, c.client)
}

// sharesAnswers reports whether machines find each other's answers by way of Valkey. Those
// with one database have the same answers anyway.
func sharesAnswers(cfg *config.Config) bool { return cfg.Valkey != "" && cfg.Store == "" }

// clientCache is a cache with a client of its own.
type clientCache struct{ *sharedCache }

func (c *clientCache) Close() error {
	err := c.Backend.Close()
	c.client.Close()
	return err
}

func openCacheStore(ctx context.Context, cfg *config.Config, key []byte) (cache.Backend, error) {
	if cfg.Store == "" {
		store, err := cachedb.Open(DataDir(cfg.DataDir).Cache(), cachedb.Options{Key: key, MaxBytes: cfg.Cache.MaxBytes})
		if err != nil {
			return nil, err // a nil store in an interface is not nil
		}
		return store, nil
	}
	db, err := postgres.Open(ctx, cfg.Store)
	if err != nil {
		return nil, err
	}
	store, err := cachepg.Open(ctx, db, cachepg.Options{Key: key, MaxBytes: cfg.Cache.MaxBytes})
	if err != nil {
		db.Close()
		return nil, err
	}
	return store, nil
}

// openCache opens the cache for calls, if the settings want one. The cache is best
// effort: calls do without a store that cannot be used, and a notice says so. A key
// that is not the store's is an error, as are all settings that do not work.
func (p *Pipeline) openCache(ctx context.Context) (cache.Backend, error) {
	if !p.config.Cache.Enabled {
		return nil, nil
	}
	if p.config.DataDir == "" && p.config.Store == "" {
		return nil, fault.Input(errNoCacheFolder)
	}
	key, err := EncryptionKey(ctx, p.config)
	if err != nil {
		return nil, err
	}
	store, err := openCacheStore(ctx, p.config, key)
	switch {
	case err == nil && p.valkey != nil:
		return shareCache(p.config, store, p.valkey, key)
	case err == nil:
		return store, nil
	case errors.Is(err, seal.ErrWrongKey), errors.Is(err, seal.ErrEncrypted), errors.Is(err, seal.ErrNotEncrypted), fault.KindOf(err) == fault.KindInput, fault.Has(err, fault.KindOutdated):
		return nil, fault.Input(err)
	}
	p.notice(ctx, fmt.Sprintf("the cache is not used, so calls are made and paid for: %v", err))
	return nil, nil
}

// CacheStats returns what the response cache holds and what it has saved, also
// for earlier processes. It is zero if the cache is off.
func (p *Pipeline) CacheStats(ctx context.Context) (cache.Stats, error) {
	if p.cache == nil {
		return cache.Stats{}, nil
	}
	return p.cache.Stats(ctx)
}

// Caches reports whether answers are cached at all.
func (p *Pipeline) Caches() bool { return p.cache != nil }

func (p *Pipeline) cacheOptions(keyer llm.Keyer) cache.Options {
	return cache.Options{
		Store:     p.cache,
		Keyer:     keyer,
		TTL:       p.config.Cache.TTL,
		TTLOf:     p.ttl,
		Prices:    p.prices,
		Encrypted: p.config.Cache.EncryptionKey != "",
		Notice:    p.notice,
	}
}

// TTL returns how long the answers of an agent are good for: 0 means that none is kept,
// and less than 0 that they are good forever. own is what the agent's file says; 0 for
// nothing.
func (p *Pipeline) TTL(agent string, own time.Duration) time.Duration {
	if p.cache == nil {
		return 0
	}
	if ttl, ok := p.ttl(agent); ok {
		return ttl
	}
	return cmp.Or(own, p.config.Cache.TTL, cache.DefaultTTL)
}

// ttl returns how long the settings say that the answers of an agent are cached, if they
// name it.
func (p *Pipeline) ttl(agent string) (time.Duration, bool) {
	ttl, ok := p.config.Cache.AgentTTL[agent]
	return ttl, ok
}

// Peek returns the answer that the response cache has for a call. It does not
// count as a use of the answer.
func (p *Pipeline) Peek(ctx context.Context, req *llm.Request) (*llm.Response, bool) {
	if p.cache == nil || p.keyer == nil {
		return nil, false
	}
	opts := p.cacheOptions(*p.keyer)
	opts.Store = peekStore{p.cache}
	miss := llm.ModelFunc(func(context.Context, *llm.Request) iter.Seq2[llm.Event, error] { return llm.Fail(cache.ErrMiss) })
	answer, err := llm.Collect(cache.New(miss, opts).Stream(ctx, inScope(ctx, req)))
	return answer, err == nil
}

// peekStore reads a store without a trace in its statistics.
type peekStore struct{ store cache.Backend }

func (s peekStore) Get(ctx context.Context, key llm.Key, notBefore time.Time) (*cache.Entry, error) {
	e, err := s.store.Show(ctx, key.String())
	if err != nil || e.Expired(time.Now()) || e.CreatedAt.Before(notBefore) {
		return nil, cache.ErrMiss // a dry run that cannot tell takes a call for live
	}
	return e, nil
}

func (s peekStore) Put(context.Context, *cache.Entry) error {
	return errors.New("a store that is only read stores nothing")
}
