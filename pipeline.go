package claudeforce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/sqlite"
	"github.com/claude-force/claude-force/llm/coalesce"
	"github.com/claude-force/claude-force/llm/fallback"
	"github.com/claude-force/claude-force/llm/hedge"
	"github.com/claude-force/claude-force/llm/prefix"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/llm/retry"
)

// Retry is a call that is about to be tried again.
type Retry struct {
	Attempt int           // the one that failed, from 1
	Wait    time.Duration // until the next
	Err     error
}

// pipeline is the way of every call, outermost layer first. To do without a
// layer, delete its lines.
func (o *Orchestrator) pipeline(provider *anthropic.Client) llm.Model {
	if o.opts.Replay != nil {
		return o.told(record.New(o.opts.Replay.Model(), record.Options{Prices: o.prices}, o.record))
	}
	spending := o.newBudget(provider)
	return o.told(record.New(
		o.recorded(
			cache.New(
				coalesce.New(
					fallback.New(
						spending.Calls(
							o.byLane(provider,
								retry.New(
									prefix.New(
										hedge.New(o.admission(hedge.MarkStart(spending.Attempts(provider))), hedge.Options{Quantile: o.config.Hedge}),
										prefix.Options{Prices: o.prices}),
									retry.Options{Budget: retryBudget(o.config.Jobs), OnRetry: o.retrying}))),
						fallback.Options{Models: o.fallbacks, OnFallback: o.fellBack}),
					provider.Keyer(), coalesce.Options{OnShared: o.tell.Shared}),
				o.cacheOptions(provider.Keyer()))),
		record.Options{Prices: o.prices},
		o.record))
}

// admission is the layer in which calls wait for their turn.
func (o *Orchestrator) admission(next llm.Model) llm.Model {
	if o.limits == nil {
		return admission.New(next, o.gate)
	}
	return admission.NewLimited(next, o.gate, o.limits)
}

// retryBudget returns the budget that all retries share, for a pipeline with so
// many calls in flight. It covers every attempt of the calls that an outage
// meets in flight, so a short one costs no call. Retries beyond that take half
// of one for each answer: a service that fails more than every third call is
// soon asked once a call.
func retryBudget(inFlight int) *retry.Budget {
	return retry.NewBudget(max(100, 4*inFlight), 0.5)
}

// newLimiter learns the service's limits, together with the other processes
// that use the folder of the store. The first calls go at once, as many as the
// user allows in flight.
func (o *Orchestrator) newLimiter(keyer llm.Keyer) *admission.Limiter {
	opts := admission.Options{Namespace: keyer.Namespace, Tier: admission.Tier(o.config.Tier), Prices: o.prices, InitialWindow: o.config.Jobs, OnPause: o.pausing}
	if o.config.DataDir != "" {
		opts.Dir = filepath.Join(o.config.DataDir, "limits")
	}
	return admission.NewLimiter(opts)
}

// Limits says what is known of the service's rate limits, by pool of models.
func (o *Orchestrator) Limits() []admission.PoolStatus {
	if o.limits == nil {
		return []admission.PoolStatus{}
	}
	return o.limits.Limits()
}

// pausing tells the user that calls wait since the service refuses them.
func (o *Orchestrator) pausing(p admission.Pause) {
	o.tell.Paused(p.Pool, time.Until(p.Until))
	if o.opts.OnPause != nil {
		o.opts.OnPause(p)
	}
}

// fallbacks are the models to ask instead of a request's own.
func (o *Orchestrator) fallbacks(*llm.Request) []string {
	var ids []string
	for _, name := range o.config.FallbackModels {
		id, notice := o.priceTable().Resolve(name)
		o.notice(notice)
		ids = append(ids, id)
	}
	return ids
}

func (o *Orchestrator) fellBack(f fallback.Fallback) {
	why := "it declined to answer"
	if f.Err != nil {
		why = f.Err.Error()
	}
	o.notice(fmt.Sprintf("asking %s instead of %s: %s", f.To, f.From, why))
}

// recorded is next with its calls written down, if they are to be.
func (o *Orchestrator) recorded(next llm.Model) llm.Model {
	if o.opts.Record == nil {
		return next
	}
	return o.opts.Record.Layer(next)
}

func (o *Orchestrator) cacheOptions(keyer llm.Keyer) cache.Options {
	opts := cache.Options{
		Keyer:     keyer,
		TTL:       o.config.Cache.TTL,
		TTLOf:     o.ttl,
		Prices:    o.prices,
		Encrypted: o.config.Cache.EncryptionKey != "",
		Notice:    o.notice,
	}
	if o.store != nil { // an interface that holds a nil pointer is not nil
		opts.Store = o.store
	}
	return opts
}

// ttl is how long the answers of an agent are kept, if it is not as long as
// all others'.
func (o *Orchestrator) ttl(name string) (time.Duration, bool) {
	if ttl, ok := o.config.Cache.AgentTTL[name]; ok {
		return ttl, true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.agents[name]; a != nil && a.CacheTTL > 0 {
		return a.CacheTTL, true
	}
	return 0, false
}

func (o *Orchestrator) retrying(attempt int, wait time.Duration, err error) {
	o.tell.Waiting(wait, err)
	if o.opts.OnRetry != nil {
		o.opts.OnRetry(Retry{Attempt: attempt, Wait: wait, Err: err})
	}
}

func (o *Orchestrator) record(call record.Call) {
	o.mu.Lock()
	o.totals.add(call)
	o.mu.Unlock()
	o.keep(&call)
	if o.opts.OnCall != nil {
		o.opts.OnCall(call)
	}
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
	if call.CostUSD == nil || call.SavedUSD == nil {
		t.Unpriced++
	}
	if call.CostUSD != nil {
		t.CostUSD += *call.CostUSD
	}
	if call.SavedUSD != nil {
		t.SavedUSD += *call.SavedUSD
	}
}

// SimulatorURL is the root of the API as calls to a simulator name it, so that
// simulated answers are never found by real calls.
const SimulatorURL = "http://simulator.invalid"

// Backend is who serves Claude: the configured backend, else that of the
// environment, else Anthropic's own API. It is one of the Backend constants of
// llm/anthropic.
func Backend(cfg *config.Config) string {
	env, _ := anthropic.FromEnv(os.Getenv) // a missing credential matters to who makes calls
	return cmp.Or(cfg.Backend, env.Backend, anthropic.BackendAnthropic)
}

// newProvider makes who answers, and what learns its limits.
func (o *Orchestrator) newProvider() (*anthropic.Client, error) {
	opts, err := providerOptions(o.opts, o.config)
	if err != nil {
		return nil, err
	}
	if o.opts.Simulator == nil { // one in this process has no limits to learn
		opts.OnHeaders = func(req *llm.Request, status int, header http.Header) { o.limits.Observe(req, status, header) }
	}
	opts.SDKOptions = tracing(o.tell, opts.SDKOptions)
	provider, err := anthropic.New(opts)
	if err == nil && o.opts.Simulator == nil {
		o.limits = o.newLimiter(provider.Keyer())
	}
	return provider, err
}

// providerOptions says whom to ask and as whom: the environment's credential,
// and the settings.
func providerOptions(opts Options, cfg *config.Config) (anthropic.Options, error) {
	if opts.Simulator != nil {
		return anthropic.Options{
			APIKey: "simulated", KeySource: "the simulator", BaseURL: SimulatorURL,
			HTTPClient: &http.Client{Transport: opts.Simulator.RoundTripper()},
		}, nil
	}
	provider, err := anthropic.FromEnv(os.Getenv)
	provider.Backend = Backend(cfg)
	elsewhere := provider.Backend != anthropic.BackendAnthropic
	if errors.Is(err, ErrNoCredentials) && elsewhere {
		err = nil // the cloud has credentials of its own
	}
	if err != nil {
		return anthropic.Options{}, err
	}
	provider.HTTPClient = opts.HTTPClient
	provider.BaseURL = cmp.Or(cfg.BaseURL, provider.BaseURL)
	provider.Region = cmp.Or(cfg.Region, provider.Region)
	provider.ProjectID = cmp.Or(cfg.ProjectID, provider.ProjectID)
	if elsewhere {
		if opts.Cloud == nil {
			return anthropic.Options{}, invalid(fmt.Errorf("the backend %s is not part of this program; give Options.Cloud the function of package llm/anthropic/%[1]s", provider.Backend))
		}
		provider.SDKOptions = func(ctx context.Context) ([]option.RequestOption, error) {
			return opts.Cloud(ctx, provider.Region, provider.ProjectID)
		}
	}
	return provider, nil
}

// OpenCache opens the response cache that cfg names, and makes it if there is
// none. It needs no credential of the API. Close it when done.
func OpenCache(ctx context.Context, cfg *config.Config) (*sqlite.Store, error) {
	if cfg.DataDir == "" {
		return nil, invalid(errors.New("no folder for the cache: set CLAUDE_FORCE_HOME, or HOME, or turn the cache off with CLAUDE_FORCE_CACHE=false"))
	}
	key, err := loadKey(ctx, cfg)
	if err != nil {
		return nil, err
	}
	store, err := sqlite.Open(cachePath(cfg), sqlite.Options{Key: key, MaxBytes: cfg.Cache.MaxBytes})
	if err != nil {
		return nil, invalid(err)
	}
	return store, nil
}
