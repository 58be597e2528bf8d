// Package cache is the layer that answers a call from a store of answers when
// the same call was answered before, so that nothing is paid for twice.
//
// It sits above everything that costs (coalesce, budget, retry, admission,
// the provider), so a hit touches neither the network nor a limit:
//
//	store, err := cachedb.Open(path, cachedb.Options{})
//	…
//	model := cache.New(coalesce.New(provider, keyer, coalesce.Options{}), cache.Options{Store: store, Keyer: keyer})
//
// A call is found by its [llm.Key], whose namespace keeps the answers of one
// credential from another. The request's policy decides: the default reads
// and writes, [llm.PolicyRefresh] only writes, [llm.PolicyOff] does neither.
// A hit is replayed as a stream, with source [llm.SourceCache].
//
// Only whole answers are stored, after [llm.EventDone] has come, and only
// those that asking again could have given: no errors, refusals, paused turns
// or cut streams, nothing else that [llm.CheckAnswer] finds to be no answer, no tool call whose input is not a JSON object, no answer
// that used a tool on the provider's side (a search sees another web
// tomorrow), and no answer of another model than the one asked. Agents can be
// excluded. Where the store is not encrypted, a call that holds what looks
// like a credential is not stored either.
//
// The invariant: the cache never fails a call. A store that cannot be read is
// a miss, one that cannot be written costs the next caller the price of the
// call; the first is said once, through [Options.Notice].
package cache

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// DefaultTTL is how long an answer is kept if nothing else is said.
const DefaultTTL = 24 * time.Hour

// ErrMiss is what a [Store] returns from Get when it has no answer.
var ErrMiss = errors.New("the answer is not in the cache")

// Entry is a stored answer and what is known of it.
type Entry struct {
	Key       llm.Key
	Agent     string        // who asked first; may be empty
	Model     string        // the model asked
	Prompt    string        // how the last turn begins, for listings; one line, at most [ExcerptRunes] runes
	Response  *llm.Response // its Source and Attempts are not stored
	CreatedAt time.Time
	ExpiresAt time.Time // zero for never
	Truncated bool      // the answer stopped at a limit, not at its end
	CostUSD   *float64  // what the answer cost; nil if the model has no price
}

// Expired reports whether the entry is no longer an answer at now.
func (e *Entry) Expired(now time.Time) bool {
	return !e.ExpiresAt.IsZero() && !now.Before(e.ExpiresAt)
}

// Store keeps entries. Implementations are safe for concurrent use.
type Store interface {
	// Get is the entry of key, if it has not expired and was not created
	// before notBefore; the zero time takes any. It returns [ErrMiss] if there
	// is none. The entry and its response belong to the caller. A hit counts
	// as a use of the entry.
	Get(ctx context.Context, key llm.Key, notBefore time.Time) (*Entry, error)
	// Put stores e in place of any entry with the same key. It must not
	// modify e, nor keep parts of it that it does not copy.
	Put(ctx context.Context, e *Entry) error
}

// Options are the settings of [New]. Store and Keyer are needed; the zero
// value of each other field is ready.
type Options struct {
	// Store keeps the answers. Nil means no layer: New returns next.
	Store Store
	// Keyer makes the keys; its namespace must be that of the credential that
	// next uses.
	Keyer llm.Keyer

	// TTL is how long answers are kept. 0 means [DefaultTTL], less than 0
	// forever.
	TTL time.Duration
	// TTLOf, when set, gives an agent a TTL of its own; false means TTL. An
	// agent's TTL bounds also the age of the answers it gets, whoever stored
	// them. 0 means that nothing of the agent is read or stored.
	TTLOf func(agent string) (time.Duration, bool)

	// Prices turns usage into money. Nil means [llm.Prices], read when the
	// first answer is stored.
	Prices *llm.PriceTable
	// Encrypted says that Store encrypts what it writes, so calls that hold a
	// credential may be stored.
	Encrypted bool
	// Notice, when set, is called with what the user should know: that answers
	// cannot be stored or read, and why. Each sentence comes once. It may be
	// called from several goroutines at once.
	Notice func(ctx context.Context, sentence string)
}

// New returns next with its answers stored and found again.
func New(next llm.Model, opts Options) llm.Model {
	if opts.Store == nil {
		return next
	}
	if opts.TTL == 0 {
		opts.TTL = DefaultTTL
	}
	return &model{next: next, opts: opts, said: map[string]bool{}, asking: map[llm.Key]*asked{}}
}

type model struct {
	next llm.Model
	opts Options

	mu   sync.Mutex // guards the fields below
	said map[string]bool
	// asking is the calls that are somewhere between their look into the
	// store and the end of storing. Among them an answer is found before it
	// is in the store, and after a caller has missed it there.
	asking map[llm.Key]*asked
}

// asked is the calls of one key that are being answered now.
type asked struct {
	calls  int
	answer *llm.Response // nil if none has come yet
	came   time.Time
}

func (m *model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		if ctx.Err() != nil {
			yield(llm.Event{}, llm.ContextError(ctx))
			return
		}
		ttl, ok := m.ttl(req)
		if !ok {
			m.next.Stream(ctx, req)(yield)
			return
		}
		key, err := m.opts.Keyer.Key(req)
		if err != nil {
			// The request is not JSON; the provider says so better.
			m.next.Stream(ctx, req)(yield)
			return
		}
		m.begin(key)
		defer m.end(key)
		if req.Policy != llm.PolicyRefresh {
			// Stores of earlier versions hold what is no answer.
			if resp := m.find(ctx, key, ttl); resp != nil && llm.CheckAnswer(req, resp) == nil {
				llm.Replay(resp)(yield)
				return
			}
			ctx = llm.WithCacheRecheck(ctx, func() *llm.Response { return m.held(key, ttl) })
		}
		m.ask(ctx, key, ttl, req, yield)
	}
}

// ttl returns how long the call's answer is good for; ok is false if the call
// passes by the cache.
func (m *model) ttl(req *llm.Request) (ttl time.Duration, ok bool) {
	if req.Policy == llm.PolicyOff {
		return 0, false
	}
	if m.opts.TTLOf != nil {
		if ttl, ok := m.opts.TTLOf(req.Agent); ok {
			return ttl, ttl != 0
		}
	}
	if req.TTL > 0 {
		return req.TTL, true
	}
	return m.opts.TTL, true
}

// find returns the stored answer of key, nil if there is none.
func (m *model) find(ctx context.Context, key llm.Key, ttl time.Duration) *llm.Response {
	now := time.Now()
	var notBefore time.Time
	if ttl > 0 {
		notBefore = now.Add(-ttl)
	}
	e, err := m.opts.Store.Get(ctx, key, notBefore)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil // next says so in its own words
	case errors.Is(err, ErrMiss):
		return m.held(key, ttl)
	default:
		m.trouble(ctx, fmt.Sprintf("the cache cannot be read, so calls are made and paid for: %v", err))
		return nil
	}
	// A store that mixes up its rows must not answer another question.
	if e.Key != key || e.Response == nil || e.Expired(now) {
		return nil
	}
	e.Response.Source, e.Response.Attempts, e.Response.StoredAt = llm.SourceCache, 0, e.CreatedAt
	return e.Response
}

// ask makes the call and stores its answer.
func (m *model) ask(ctx context.Context, key llm.Key, ttl time.Duration, req *llm.Request, yield func(llm.Event, error) bool) {
	var answer *llm.Response
	// Deferred and after the last yield: who reads the stream does not wait
	// for the store, and an answer that was paid for is stored even if its
	// reader panics or leaves at the end.
	defer func() {
		if answer != nil {
			m.keep(ctx, key, ttl, req, answer)
		}
	}()
	var last *llm.Event
	for ev, err := range m.next.Stream(ctx, req) {
		if err == nil && ev.Type == llm.EventDone {
			answer = ev.Response
			m.hold(key, req, answer)
			if req.Wire != nil {
				last = &ev
				continue
			}
		}
		if !yield(ev, err) {
			return
		}
	}
	if last != nil {
		// A client has the end of its answer when the call is recorded and the answer is
		// stored: whatever is killed then, the same request is not paid again.
		m.keep(ctx, key, ttl, req, answer)
		answer = nil
		yield(*last, nil)
	}
}

// begin and end bracket a call.
func (m *model) begin(key llm.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asking[key] == nil {
		m.asking[key] = &asked{}
	}
	m.asking[key].calls++
}

func (m *model) end(key llm.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asking[key].calls--; m.asking[key].calls == 0 {
		delete(m.asking, key)
	}
}

// hold lets the calls that are being answered now find an answer, if it may be
// stored.
func (m *model) hold(key llm.Key, req *llm.Request, resp *llm.Response) {
	if !llm.Cacheable(req, resp) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asking[key].answer, m.asking[key].came = resp, time.Now()
}

// held returns a copy of the answer that another call of this moment got, or nil.
func (m *model) held(key llm.Key, ttl time.Duration) *llm.Response {
	m.mu.Lock()
	a := m.asking[key]
	var resp *llm.Response
	var came time.Time
	if a != nil && (ttl < 0 || time.Since(a.came) < ttl) {
		resp, came = a.answer, a.came
	}
	m.mu.Unlock()
	if resp == nil {
		return nil
	}
	resp = resp.Clone()
	resp.Source, resp.Attempts, resp.StoredAt = llm.SourceCache, 0, came
	return resp
}

// keep stores an answer if it may be stored.
func (m *model) keep(ctx context.Context, key llm.Key, ttl time.Duration, req *llm.Request, resp *llm.Response) {
	if !llm.Cacheable(req, resp) {
		if renamed(req, resp) {
			m.once(ctx, "model", fmt.Sprintf("answers name model %q, and %q was asked; such answers are not cached, since a gateway or a fallback chose another model", resp.Model, req.Model))
		}
		return
	}
	if !m.opts.Encrypted {
		if kind := findCredential(req, resp); kind != "" {
			m.notice(ctx, fmt.Sprintf("a call is not cached: it holds what looks like %s, and the cache is not encrypted; remove it from the prompt, or set an encryption key for the cache", kind))
			return
		}
	}
	now := time.Now()
	e := &Entry{
		Key:       key,
		Agent:     req.Agent,
		Model:     req.Model,
		Prompt:    excerpt(req),
		Response:  resp,
		CreatedAt: now,
		Truncated: resp.StopReason == llm.StopMaxTokens,
	}
	if ttl > 0 {
		e.ExpiresAt = now.Add(ttl)
	}
	prices := m.opts.Prices
	if prices == nil {
		prices = llm.Prices()
	}
	if cost, _, ok := prices.CostOfAnswer(req, resp); ok {
		e.CostUSD = new(cost.USD())
	}
	// The answer is paid for, so it is stored even if the caller has left.
	if err := m.opts.Store.Put(context.WithoutCancel(ctx), e); err != nil {
		m.trouble(ctx, fmt.Sprintf("answers cannot be cached, so the same calls will be paid for again: %v", err))
	}
}

// notice passes a sentence on, once.
func (m *model) notice(ctx context.Context, sentence string) { m.once(ctx, sentence, sentence) }

// trouble passes on what is wrong with the store, the first time: a file that cannot
// be read can most often not be written either.
func (m *model) trouble(ctx context.Context, sentence string) { m.once(ctx, "store", sentence) }

// once passes on the first sentence about a topic.
func (m *model) once(ctx context.Context, topic, sentence string) {
	if m.opts.Notice == nil {
		return
	}
	m.mu.Lock()
	said := m.said[topic]
	m.said[topic] = true
	m.mu.Unlock()
	if !said {
		m.opts.Notice(ctx, sentence)
	}
}
