// Package cachevalkey lets machines that each have a response cache of their own find each
// other's answers, by way of Valkey or Redis.
package cachevalkey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/claude-force/claude-force/internal/seal"
	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
)

const (
	// longest is how long an answer stays, if it does not expire before.
	longest = 24 * time.Hour
	// maxAnswer bounds an answer, and maxAnswers how many there are; the oldest go first.
	maxAnswer  = 1 << 20
	maxAnswers = 10_000
)

// Cache is a backend in front of which other machines' answers are found. What is read,
// listed and counted is the backend's; an answer that only the server has is put into it.
// Without the server it is the backend alone.
type Cache struct {
	cache.Backend
	client *store.Client
	box    *seal.Box
	tag    string
}

// New returns backend with the answers of other machines. key encrypts them if it is not nil,
// and is the same on all machines. Closing the cache closes the backend, not the client.
func New(backend cache.Backend, client *store.Client, key []byte) (*Cache, error) {
	box, err := seal.New(key)
	if err != nil {
		return nil, err
	}
	return &Cache{Backend: backend, client: client, box: box, tag: "claude-force:{" + client.Name("answers") + "}:"}, nil
}

// The keys of all answers are in one slot of a cluster, so that one script can drop the
// oldest.
func (c *Cache) index() string { return c.tag + "answers" }

func (c *Cache) name(key llm.Key) string { return c.tag + c.client.Name("answer", string(key[:])) }

// entry is an answer as the server has it.
type entry struct {
	Agent, Model, Prompt string
	Response             *llm.Response
	CreatedAt, ExpiresAt time.Time
	Truncated            bool
	CostUSD              *float64
}

// Get implements [cache.Store].
func (c *Cache) Get(ctx context.Context, key llm.Key, notBefore time.Time) (*cache.Entry, error) {
	own, err := c.Backend.Get(ctx, key, notBefore)
	if !errors.Is(err, cache.ErrMiss) {
		return own, err
	}
	e := c.fetch(ctx, key)
	if e == nil || e.Expired(time.Now()) || e.CreatedAt.Before(notBefore) {
		return nil, err
	}
	if c.Backend.Put(ctx, e) != nil {
		return e, nil
	}
	if own, err := c.Backend.Get(ctx, key, notBefore); err == nil { // which counts the use
		return own, nil
	}
	return e, nil
}

// fetch returns the server's answer, or nil.
func (c *Cache) fetch(ctx context.Context, key llm.Key) *cache.Entry {
	name := c.name(key)
	var data []byte
	err := c.client.Do(ctx, func(ctx context.Context, conn valkey.Client) (err error) {
		data, err = conn.Do(ctx, conn.B().Get().Key(name).Build()).AsBytes()
		return err
	})
	if err != nil {
		return nil
	}
	e, err := c.decode(name, data)
	if err != nil {
		return nil // of another key, or of another version
	}
	return &cache.Entry{
		Key: key, Agent: e.Agent, Model: e.Model, Prompt: e.Prompt, Response: e.Response,
		CreatedAt: e.CreatedAt, ExpiresAt: e.ExpiresAt, Truncated: e.Truncated, CostUSD: e.CostUSD,
	}
}

func (c *Cache) decode(name string, data []byte) (*entry, error) {
	data, err := c.box.Open(data, []byte(name))
	if err != nil {
		return nil, err
	}
	e := &entry{}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, err
	}
	if e.Response == nil {
		return nil, errors.New("there is no answer in it")
	}
	return e, nil
}

// putScript stores an answer and drops the oldest beyond a number.
// KEYS: 1 the answer, 2 the index. ARGV: 1 the data, 2 milliseconds to live, 3 most answers,
// 4 milliseconds that the index lives.
var putScript = sync.OnceValue(func() *valkey.Lua {
	return valkey.NewLuaScript(`
local time = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], time[1], KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
local excess = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if excess > 0 then
  for i, name in ipairs(redis.call('ZPOPMIN', KEYS[2], excess)) do
    if i % 2 == 1 then redis.call('UNLINK', name) end
  end
end
return 1`)
})

// Put implements [cache.Store]. Its error is the backend's.
func (c *Cache) Put(ctx context.Context, e *cache.Entry) error {
	if err := c.Backend.Put(ctx, e); err != nil {
		return err
	}
	life := longest
	if !e.ExpiresAt.IsZero() {
		life = min(life, time.Until(e.ExpiresAt))
	}
	data, err := json.Marshal(entry{e.Agent, e.Model, e.Prompt, e.Response, e.CreatedAt, e.ExpiresAt, e.Truncated, e.CostUSD})
	if err != nil || len(data) > maxAnswer || life < time.Millisecond {
		return nil // this machine has it
	}
	name := c.name(e.Key)
	args := []string{
		valkey.BinaryString(c.box.Seal(data, []byte(name))), strconv.FormatInt(life.Milliseconds(), 10), strconv.Itoa(maxAnswers), strconv.FormatInt(longest.Milliseconds(), 10),
	}
	_ = c.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error { // best effort: that the server fails is said elsewhere
		return putScript().Exec(ctx, conn, []string{name, c.index()}, args).Error()
	})
	return nil
}

// Clear implements [cache.Backend]: the server's answers go too. What it returns is what
// the backend removed. That the server could not be cleared is an error, since this
// machine would find the answers again.
func (c *Cache) Clear(ctx context.Context, f cache.Filter) (n int, bytes int64, err error) {
	if n, bytes, err = c.Backend.Clear(ctx, f); err != nil {
		return n, bytes, err
	}
	var names []string
	err = c.client.Do(ctx, func(ctx context.Context, conn valkey.Client) (err error) {
		names, err = conn.Do(ctx, conn.B().Zrange().Key(c.index()).Min("0").Max("-1").Build()).AsStrSlice()
		return err
	})
	const atOnce = 100
	for ; err == nil && len(names) > 0; names = names[min(atOnce, len(names)):] {
		some := names[:min(atOnce, len(names))]
		err = c.client.Do(ctx, func(ctx context.Context, conn valkey.Client) error { return c.clear(ctx, conn, some, f) })
	}
	if err != nil {
		return n, bytes, fmt.Errorf("clearing the answers that machines share: %w", err)
	}
	return n, bytes, nil
}

// clear removes those of the named answers that a filter chooses.
func (c *Cache) clear(ctx context.Context, conn valkey.Client, names []string, f cache.Filter) error {
	chosen := names
	if f != (cache.Filter{}) {
		chosen = nil
		held, err := conn.Do(ctx, conn.B().Mget().Key(names...).Build()).ToArray()
		if err != nil {
			return err
		}
		for i, data := range held {
			bytes, err := data.AsBytes()
			if err != nil {
				continue // it has expired
			}
			e, err := c.decode(names[i], bytes)
			if err != nil || (f.Agent == "" || e.Agent == f.Agent) && (f.OlderThan == 0 || time.Since(e.CreatedAt) > f.OlderThan) {
				chosen = append(chosen, names[i])
			}
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	for _, r := range conn.DoMulti(ctx, conn.B().Unlink().Key(chosen...).Build(), conn.B().Zrem().Key(c.index()).Member(chosen...).Build()) {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}
