package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/admission/admissionvalkey"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/telemetry"
)

// Options are what a [Pipeline] needs beside the settings. The zero value is
// ready: it calls the configured service. Callbacks may be called from several
// goroutines at once; the context of a call carries its [llm.Tags], which name
// the run and the step. A nil callback is not called.
type Options struct {
	// Model, if set, answers instead of the service: no credential is needed.
	// Its answers are cached apart from those of the service.
	Model llm.Model

	// Wrap, if set, adds a layer of the caller's own around all others but the
	// one that measures.
	Wrap func(next llm.Model) llm.Model

	// Simulator, if set, answers instead of the service. Its calls are neither
	// recorded for analytics nor charged to the budgets of other processes.
	Simulator *sim.Server

	// Cloud returns the SDK's options for a backend other than Anthropic's own
	// API.
	Cloud func(ctx context.Context, region, projectID string) ([]option.RequestOption, error)

	// KeyOptional lets a pipeline open without a credential: then its calls fail with
	// [ErrNoCredentials], not [New]. It is for what may need no call.
	KeyOptional bool

	// HTTPClient sends the requests. Nil means one that suits many parallel
	// streams.
	HTTPClient *http.Client

	// Gate bounds the calls in flight. Nil means a gate with as many slots as
	// the setting jobs.
	Gate *admission.Gate

	// Project is the project under which calls are recorded; see [Project].
	Project string

	// Record, if set, writes every call with its answer to a cassette.
	Record *cassette.Recorder

	// Replay, if set, answers every call from a cassette. A call that is not in
	// it fails.
	Replay *cassette.Player

	// AskBudget decides when a budget whose on_exceed is "ask" has no room for a
	// call. It returns how many dollars more may be spent, or false to refuse.
	AskBudget func(ctx context.Context, why string) (more float64, ok bool)

	// OnNotice receives what the user should know, such as why an answer is not
	// cached. The same text may come more than once.
	OnNotice func(ctx context.Context, text string)

	// OnCall receives every call when it has ended, on the goroutine that made
	// it.
	OnCall func(ctx context.Context, call record.Call)

	// OnRetry is called before each wait for another attempt.
	OnRetry func(ctx context.Context, retry Retry)

	// OnPause is called when the service has closed a pool of models for a
	// while, by a rate limit or an outage. It must be quick. The context is that
	// of [New]: a pause belongs to all calls.
	OnPause func(ctx context.Context, pause admission.Pause)

	// OnAnswer is called when a pool that was closed by an outage answers again. It
	// must be quick.
	OnAnswer func(ctx context.Context, pool string)

	// Telemetry receives traces and metrics. Nil means none.
	Telemetry *telemetry.Telemetry
}

// Retry is a failed attempt that is about to be followed by another.
type Retry struct {
	Attempt int           // the one that failed, from 1
	Wait    time.Duration // until the next
	Err     error
}

// Pipeline is the way of every call. It is safe for concurrent use.
type Pipeline struct {
	config *config.Config
	opts   Options
	prices *llm.PriceTable // nil for the built-in table, which is read when it is needed
	model  llm.Model
	gate   *admission.Gate

	keyer  *llm.Keyer              // of cache keys; nil if calls are replayed
	cache  cache.Backend           // nil if nothing is cached
	calls  analytics.Recorder      // nil if calls are not recorded
	limits *admission.Limiter      // nil if the service's limits are not learned
	valkey *valkey.Client          // nil if nothing is shared with other machines
	secret []byte                  // the key that encrypts the stores, for what is shared; may be nil
	shared *admissionvalkey.Limits // nil if limits are not
	idle   func()                  // frees the connections that are kept; may be nil
	client *anthropic.Client       // nil if the model was injected, calls are replayed or there is no credential
	none   error                   // why there is no client; may be nil
	ledger Ledger                  // nil if budgets are this process's own
	keys   keys.Store              // nil if there are none
	turns  turns                   // of tasks of agents with tools

	background context.Context // of New without its end, for what belongs to no call

	opening sync.Mutex // guards the fields below
	batcher *batch.Batcher
	batches *batch.Dir // the batcher's store

	mu     sync.Mutex // guards the field below
	totals Totals
}

// New builds the pipeline that cfg describes. It sends nothing and opens no
// connection; ctx is for the command that fetches the cache's encryption key, if
// the settings name one. The error is [ErrNoCredentials] if no credential is
// found and one is needed, and a [fault.InputError] for settings that do not
// work. Close the pipeline when done.
func New(ctx context.Context, cfg *config.Config, opts Options) (*Pipeline, error) {
	if err := Retention(cfg).Check(); err != nil {
		return nil, fault.Input(fmt.Errorf("settings analytics.keep_rows and analytics.keep_hours: %w", err))
	}
	p := &Pipeline{config: cfg, opts: opts, gate: opts.Gate, background: context.WithoutCancel(ctx)}
	if p.gate == nil {
		p.gate = admission.NewGate(cfg.Jobs)
	}
	var err error
	if cfg.Prices != "" {
		if p.prices, err = LoadPrices(cfg); err != nil {
			return nil, fault.Input(err)
		}
	}
	if err := p.checkFallbacks(); err != nil {
		return nil, err
	}
	if opts.Replay != nil {
		p.model = p.traced(p.recorded(opts.Replay.Model()))
		return p, nil
	}
	if p.valkey, err = p.openValkey(ctx); err != nil {
		return nil, err
	}
	s, err := p.newService()
	if err != nil {
		return nil, err
	}
	if cfg.DataDir != "" || cfg.Store != "" {
		if p.keys, err = OpenKeys(cfg); err != nil {
			return nil, err
		}
	}
	if p.cache, err = p.openCache(ctx); err != nil {
		return nil, err
	}
	p.calls = p.newRecorder()
	p.keyer = &s.keyer
	if s.budget, err = p.newBudget(s); err != nil {
		return nil, err
	}
	p.idle, p.client, p.none = s.idle, s.client, s.missing
	p.model = p.build(s)
	return p, nil
}

// Model returns the provider with all layers around it.
func (p *Pipeline) Model() llm.Model { return p.model }

// Gate returns the gate that bounds the calls in flight.
func (p *Pipeline) Gate() *admission.Gate { return p.gate }

// Prices returns the price table that applies.
func (p *Pipeline) Prices() *llm.PriceTable {
	if p.prices != nil {
		return p.prices
	}
	return llm.Prices()
}

// Limits returns what is known of the service's rate limits, by pool of models.
func (p *Pipeline) Limits() []admission.PoolStatus {
	if p.limits == nil {
		return []admission.PoolStatus{}
	}
	return p.limits.Limits()
}

// ResetLimits forgets what is known of the rate limits of a pool of models, or of
// all if the name is empty, and returns the names of the pools.
func (p *Pipeline) ResetLimits(pool string) []string {
	if p.limits == nil {
		return nil
	}
	return p.limits.Reset(pool)
}

// Close writes what is still to be written and frees what the pipeline holds.
// Calls must have ended.
func (p *Pipeline) Close() error {
	var err error
	if p.idle != nil {
		p.idle() // what is to be written needs files
	}
	if p.cache != nil {
		// The answers were given: that one is not kept is no failure of theirs.
		if lost := p.cache.Close(); lost != nil {
			p.notice(p.background, fmt.Sprintf("the cache may lack answers: %v", lost))
		}
	}
	if p.calls != nil {
		_ = p.calls.Close() // its errors were notices already
	}
	if p.shared != nil {
		p.shared.Close()
	}
	if p.valkey != nil {
		p.valkey.Close()
	}
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.batcher != nil { // before its store
		err = errors.Join(err, p.batcher.Close(), p.batches.Close())
	}
	if p.ledger != nil {
		err = errors.Join(err, p.ledger.Close())
	}
	if p.keys != nil {
		err = errors.Join(err, p.keys.Close())
	}
	return err
}

// notice passes a text on to Options.OnNotice.
func (p *Pipeline) notice(ctx context.Context, text string) {
	if p.opts.OnNotice != nil && text != "" {
		p.opts.OnNotice(ctx, text)
	}
}

// resolve returns the id of the model that a name stands for, and passes the
// table's notice on.
func (p *Pipeline) resolve(ctx context.Context, name string) string {
	id, notice := p.Prices().Resolve(name)
	p.notice(ctx, notice)
	return id
}

// Totals sums the calls of one pipeline.
type Totals struct {
	Calls     int       // calls made, whatever answered them
	Live      int       // answered by the service
	Cached    int       // answered by the response cache
	Coalesced int       // answered by an identical call in flight
	Failed    int       // not answered
	Usage     llm.Usage // of live calls
	CostUSD   float64   // paid, as far as prices are known
	SavedUSD  float64   // not paid since the answer was there already
	Unpriced  int       // calls whose cost is unknown
}

// Totals returns the sum of all calls so far.
func (p *Pipeline) Totals() Totals {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.totals
}

func (t *Totals) add(call record.Call) {
	t.Calls++
	switch {
	case call.Code != 0:
		t.Failed++
	case call.Source == llm.SourceCache:
		t.Cached++
	case call.Source == llm.SourceCoalesced:
		t.Coalesced++
	default:
		t.Live++
		t.Usage = t.Usage.Add(call.Usage)
	}
	if call.CostUSD == nil || call.SavedUSD == nil || call.Uncertain {
		t.Unpriced++
	}
	if call.CostUSD != nil {
		t.CostUSD += *call.CostUSD
	} else {
		t.CostUSD += call.AtLeast.USD()
	}
	if call.SavedUSD != nil {
		t.SavedUSD += *call.SavedUSD
	}
}

// ended counts a call that has ended, records it and passes it on.
// A call that was not sent is none to count.
func (p *Pipeline) ended(ctx context.Context, call record.Call) {
	if call.Sent() {
		p.count(call)
	}
	if end, ok := ctx.Value(endedKey{}).(func(record.Call)); ok {
		end(call)
	}
	if p.opts.OnCall != nil {
		p.opts.OnCall(ctx, call)
	}
}

// count adds a call to the totals and records it.
func (p *Pipeline) count(call record.Call) {
	p.mu.Lock()
	p.totals.add(call)
	p.mu.Unlock()
	if p.calls == nil || !p.calls.Record(recordedCall(&call, p.opts.Project, cmp.Or(p.prices, llm.Prices()))) || p.ledger == nil {
		return
	}
	ids := make([]int64, len(call.Tries))
	for i, a := range call.Tries {
		ids[i] = a.ID
	}
	p.ledger.Recorded(ids...)
}

// outlasted counts an attempt that outlasted the call which made it as a call of
// its own, so that what it cost is in the sums.
func (p *Pipeline) outlasted(ctx context.Context, a record.Attempt) {
	call := record.Call{
		Tags: llm.TagsOf(ctx), Model: a.Charge.Model, Start: a.Start, Duration: a.Duration, Code: a.Code,
		Usage: a.Charge.Usage, AtLeast: a.Charge.Cost, SavedUSD: new(float64), Tries: []record.Attempt{a}, Attempts: 1,
	}
	call.Uncertain = a.Charge.Basis == llm.BasisUnknown
	if a.Charge.Priced {
		call.CostUSD = new(a.Charge.Cost.USD())
	}
	p.count(call)
}
