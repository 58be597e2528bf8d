package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"strings"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/admission/admissionvalkey"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/refusal"
)

// ErrNoCredentials reports that no credential was found. The message says where
// to get one.
var ErrNoCredentials = anthropic.ErrNoCredentials

// SimulatorURL is the root of the API as the cache keys of calls to a simulator
// name it, so that real calls never find simulated answers.
const SimulatorURL = "http://simulator.invalid"

// customProvider names an injected model in cache keys.
const customProvider = "custom"

// service is what answers calls, and what the layers need to know of it.
type service struct {
	model   llm.Model
	keyer   llm.Keyer
	count   func(ctx context.Context, req *llm.Request) (int, error) // nil if tokens cannot be counted
	batches batch.Client                                             // nil if there are no message batches
	budget  *budget.Budget
	idle    func()            // frees the connections that are kept; may be nil
	client  *anthropic.Client // nil if the model was injected, or there is no credential

	refusals *refusal.Breaker
	missing  error // why there is no client; may be nil
}

// newService returns the injected model or a client of the configured service,
// and starts to learn the limits of the latter.
func (p *Pipeline) newService() (*service, error) {
	if p.opts.Model != nil {
		return &service{model: p.opts.Model, keyer: llm.Keyer{Provider: customProvider}, refusals: refusal.New()}, nil
	}
	opts, err := ClientOptions(p.config, p.opts)
	if p.opts.KeyOptional && errors.Is(err, ErrNoCredentials) {
		missing := err
		none := llm.ModelFunc(func(context.Context, *llm.Request) iter.Seq2[llm.Event, error] {
			return func(yield func(llm.Event, error) bool) { yield(llm.Event{}, missing) }
		})
		return &service{model: none, keyer: anthropic.Keyer(opts), refusals: refusal.New(), missing: missing}, nil
	}
	if err != nil {
		return nil, err
	}
	if p.opts.Simulator == nil { // one in this process has no limits to learn
		opts.OnHeaders = func(req *llm.Request, status int, header http.Header) { p.limits.Observe(req, status, header) }
	}
	opts.SDKOptions = tracing(p.opts.Telemetry, opts.SDKOptions)
	client, err := anthropic.New(opts)
	if err != nil {
		return nil, err
	}
	s := &service{model: client, keyer: client.Keyer(), batches: client.Batches(), idle: client.CloseIdleConnections, client: client, refusals: refusal.New()}
	if p.opts.Simulator == nil {
		p.limits = p.newLimiter(s.keyer)
		s.count = client.CountTokens
	}
	return s, nil
}

// newLimiter returns what learns the service's limits, together with the other
// processes that use the data folder. Limits belong to a credential at an endpoint:
// a gateway that refuses it says nothing of the API. The first calls start at once, as many as
// the setting jobs allows in flight.
func (p *Pipeline) newLimiter(keyer llm.Keyer) *admission.Limiter {
	opts := admission.Options{Namespace: keyer.Provider + " " + keyer.Namespace, Tier: admission.Tier(p.config.Tier), Prices: p.prices, InitialWindow: p.config.Jobs, OnPause: p.paused, OnAnswer: p.answers, Outage: p.config.Outage}
	opts.Gateway = strings.Contains(keyer.Provider, "://") && (opts.Tier == "" || opts.Tier == admission.TierStart)
	if p.config.DataDir != "" {
		opts.Dir = DataDir(p.config.DataDir).Limits()
	}
	if p.valkey != nil {
		p.shared = admissionvalkey.New(p.valkey, opts.Namespace)
		opts.Shared = p.shared
	}
	return admission.NewLimiter(opts)
}

// Backend returns the backend that serves Claude: the configured one, else that
// of the environment, else Anthropic's own API. It is one of the Backend
// constants of llm/anthropic.
func Backend(cfg *config.Config) string {
	env, _ := anthropic.FromEnv(os.Getenv) // a missing credential matters only to calls
	return cmp.Or(cfg.Backend, env.Backend, anthropic.BackendAnthropic)
}

// apiKeyVariable names the variable that holds the user's key.
const apiKeyVariable = "ANTHROPIC_API_KEY"

// ClientOptions returns the options of the client that cfg describes, with the
// credential of the environment. Of opts it uses Simulator, Cloud and
// HTTPClient. The error is [ErrNoCredentials] if no credential is found and one
// is needed; the options then still say which service it is.
func ClientOptions(cfg *config.Config, opts Options) (anthropic.Options, error) {
	if opts.Simulator != nil {
		url := SimulatorURL
		if script := opts.Simulator.Script(); script != nil {
			url += "/script/" + script.Digest() // the cached answers of a script are not those of its next edition
		}
		return anthropic.Options{
			APIKey: "simulated", KeySource: "the simulator", BaseURL: url,
			HTTPClient: &http.Client{Transport: opts.Simulator.RoundTripper()},
		}, nil
	}
	client, err := anthropic.FromEnv(os.Getenv)
	client.Backend = Backend(cfg)
	elsewhere := client.Backend != anthropic.BackendAnthropic
	if errors.Is(err, ErrNoCredentials) && elsewhere {
		err = nil // the cloud has credentials of its own
	}
	if key, set := os.LookupEnv(apiKeyVariable); set && strings.TrimSpace(key) == "" && errors.Is(err, ErrNoCredentials) {
		err = llm.NewError(llm.CodeAuth, "no API key: "+apiKeyVariable+" is set, but empty; set it to a key from https://platform.claude.com/settings/keys", ErrNoCredentials)
	}
	client.BaseURL = cmp.Or(cfg.BaseURL, client.BaseURL)
	if err != nil {
		return client, err
	}
	client.HTTPClient = opts.HTTPClient
	client.Region = cmp.Or(cfg.Region, client.Region)
	client.ProjectID = cmp.Or(cfg.ProjectID, client.ProjectID)
	if elsewhere {
		if opts.Cloud == nil {
			return anthropic.Options{}, fault.Input(fmt.Errorf("the backend %s is not part of this program; give Options.Cloud the function of package llm/anthropic/%[1]s", client.Backend))
		}
		client.SDKOptions = func(ctx context.Context) ([]option.RequestOption, error) {
			return opts.Cloud(ctx, client.Region, client.ProjectID)
		}
	}
	return client, nil
}
