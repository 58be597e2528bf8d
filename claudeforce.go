package claudeforce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/builtin"
	calls "github.com/claude-force/claude-force/analytics/sqlite"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/choice"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/batch"
	budgetdb "github.com/claude-force/claude-force/llm/budget/sqlite"
	"github.com/claude-force/claude-force/llm/cache/sqlite"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/llm/prefix"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/workflow"
)

// ErrNoCredentials says that there is no API key, and what to do about it.
var ErrNoCredentials = anthropic.ErrNoCredentials

// Options configure an [Orchestrator]. The zero value works as the command
// does in the working directory: with its configuration file, the user's, and
// the environment.
type Options struct {
	// Dir is where agents, the configuration and files are looked for. Empty
	// means the working directory.
	Dir string

	// Config is the settings. Nil means those [LoadConfig] finds for Dir.
	Config *config.Config

	// Simulator, if set, answers instead of Claude: no key is needed, nothing
	// is paid, nothing leaves the process. Its answers are cached apart.
	Simulator *sim.Server

	// Cloud makes the SDK's options for the configured backend if that is not
	// Anthropic's own API: Options of the packages llm/anthropic/bedrock and
	// llm/anthropic/vertex, which weigh too much to be part of every program.
	Cloud func(ctx context.Context, region, projectID string) ([]option.RequestOption, error)

	// HTTPClient sends the requests. Nil means one made for many parallel
	// streams.
	HTTPClient *http.Client

	// Gate bounds the calls in flight. Orchestrators of one process that use
	// the same credential should share one. Nil means a gate of this
	// orchestrator's own, with as many slots as the setting jobs says.
	Gate *admission.Gate

	// Notice is told what the user should know, each thing once: a retired
	// model, an answer that is not kept and why. It may be called from several
	// goroutines. Nil means nobody is told.
	Notice func(string)

	// OnCall is told of every call when it has ended, from the goroutine that
	// made it. Nil means nobody is told.
	OnCall func(record.Call)

	// Record, if set, writes down every call with its answer, to be replayed.
	Record *cassette.Recorder

	// Replay, if set, answers every call from a recording: no key is needed and
	// nothing is sent. A call that is not in it fails.
	Replay *cassette.Player

	// AskBudget is asked when a budget whose on_exceed is "ask" has no room for a
	// call: it says how many dollars more may be spent, or refuses. Nil refuses.
	AskBudget func(ctx context.Context, why string) (more float64, ok bool)

	// OnPause is told when the service has closed a pool of models for a while,
	// by a rate limit or an outage: calls wait. It must be quick. Nil means
	// nobody is told.
	OnPause func(admission.Pause)

	// OnRetry is told before each wait for another attempt. Nil means nobody
	// is told.
	OnRetry func(Retry)

	// Telemetry says to whom traces and metrics go; nothing of it costs
	// anything if it is zero. Its Content is that of the settings.
	Telemetry telemetry.Options

	// Logger gets a line for each run, step and call that ends, with their ids
	// and without prompts and answers. Nil means none does.
	Logger *slog.Logger
}

// Orchestrator gives tasks to agents. It is safe for concurrent use; what is
// built from one shares its cache, its slots and its identical calls.
type Orchestrator struct {
	opts    Options
	config  *config.Config
	model   llm.Model
	keyer   *llm.Keyer // of the cache's keys; nil if calls are replayed
	gate    *admission.Gate
	store   *sqlite.Store                 // nil if nothing is cached
	rules   func() (*choice.Rules, error) // by which models are chosen, read when they are needed
	prices  *llm.PriceTable               // nil for the built-in ones, which are read when they are needed
	calls   *calls.Recorder               // nil if calls are not kept
	project string                        // of the calls
	files   *attach.Dir
	finding agent.DiscoverOptions
	tell    *telemetry.Telemetry // nil if nobody is told

	limits *admission.Limiter // nil if none are learned
	ledger *budgetdb.Ledger   // nil if budgets are this process's own

	opening sync.Mutex    // guards the fields below
	runs    journal.Store // nil until it is needed
	lane    *batch.Lane   // nil until it is needed
	batches *batch.Dir    // its store

	mu      sync.Mutex // guards the fields below
	agents  map[string]*agent.Agent
	groups  map[*workflow.Step]*prefix.Group // items of foreach steps that are given the same
	noticed map[string]bool
	totals  Totals
}

// Totals sums the calls of one orchestrator.
type Totals struct {
	Calls     int       // calls made, whatever answered them
	Live      int       // answered by the service
	Cached    int       // answered by the response cache
	Coalesced int       // answered by an identical call in flight
	Failed    int       // not answered
	Usage     llm.Usage // of live calls
	CostUSD   float64   // paid, as far as prices are known
	SavedUSD  float64   // not paid since the answer was there already
	Unpriced  int       // calls whose cost nobody knows
}

// LoadConfig finds the settings that apply in a folder: defaults, the project's
// and the user's claude-force.yaml, environment variables. Empty means the
// working directory. Change what it returns, by hand or with Set, before it is
// given to [New].
func LoadConfig(dir string) (*config.Config, error) {
	home, _ := os.UserHomeDir()       // empty without one; then files of the user are not looked for
	folder, err := os.UserConfigDir() // honours XDG_CONFIG_HOME
	if err == nil {
		folder = filepath.Join(folder, "claude-force")
	}
	return config.Load(config.Sources{Dir: dir, UserDir: folder, Home: home, Getenv: os.Getenv})
}

// New makes an orchestrator. Nothing is sent and no connection is opened
// before the first call; ctx is for the command that fetches the cache's
// encryption key, if one is configured. Without a credential, and without a simulator, the
// error is [ErrNoCredentials]. Close it when done.
func New(ctx context.Context, opts Options) (*Orchestrator, error) {
	cfg := opts.Config
	if cfg == nil {
		var err error
		if cfg, err = LoadConfig(opts.Dir); err != nil {
			return nil, invalid(err)
		}
	}
	if err := CallRetention(cfg).Check(); err != nil {
		return nil, invalid(fmt.Errorf("settings analytics.keep_rows and analytics.keep_hours: %w", err))
	}
	tell, err := newTelemetry(opts, cfg)
	if err != nil {
		return nil, err
	}
	o := &Orchestrator{
		opts: opts, config: cfg,
		gate:    opts.Gate,
		rules:   sync.OnceValues(func() (*choice.Rules, error) { return LoadRules(cfg) }),
		finding: findAgents(opts.Dir),
		tell:    tell,
		agents:  map[string]*agent.Agent{},
		groups:  map[*workflow.Step]*prefix.Group{},
		noticed: map[string]bool{},
	}
	if o.gate == nil {
		o.gate = admission.NewGate(cfg.Jobs)
	}
	var provider *anthropic.Client
	if opts.Replay == nil {
		if provider, err = o.newProvider(); err != nil {
			return nil, err
		}
	}
	if o.files, err = attach.Open(cmp.Or(opts.Dir, ".")); err != nil {
		return nil, err
	}
	if cfg.Cache.Enabled && opts.Replay == nil {
		if o.store, err = OpenCache(ctx, cfg); err != nil {
			return nil, errors.Join(err, o.files.Close())
		}
	}
	if cfg.Prices != "" {
		if o.prices, err = LoadPrices(cfg); err != nil {
			return nil, errors.Join(invalid(err), o.Close())
		}
	}
	o.calls = o.recorder()
	o.model = o.pipeline(provider)
	if provider != nil {
		o.keyer = new(provider.Keyer())
	}
	return o, nil
}

// Close writes what is still to be written and frees what the orchestrator
// holds. Calls must have ended.
func (o *Orchestrator) Close() error {
	err := o.files.Close()
	if o.store != nil {
		err = errors.Join(err, o.store.Close())
	}
	if o.calls != nil {
		err = errors.Join(err, o.calls.Close())
	}
	o.opening.Lock()
	defer o.opening.Unlock()
	if o.lane != nil { // before its store
		err = errors.Join(err, o.lane.Close(), o.batches.Close())
	}
	if o.runs != nil {
		err = errors.Join(err, o.runs.Close())
	}
	if o.ledger != nil {
		err = errors.Join(err, o.ledger.Close())
	}
	return err
}

// Totals sums all calls so far.
func (o *Orchestrator) Totals() Totals {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.totals
}

// Agents are all agents that apply in a folder, and what is wrong with files
// that look like agents. Empty means the working directory.
func Agents(dir string) (*agent.Set, []agent.Warning, error) {
	return agent.Discover(findAgents(dir))
}

func findAgents(dir string) agent.DiscoverOptions {
	home, _ := os.UserHomeDir() // empty without one, which Discover takes as none
	return agent.DiscoverOptions{Dir: dir, Home: home, Builtin: builtin.FS}
}

// CheckAgent is nil if there is an agent of this name in a folder, and else an
// [InputError] that says which there are. Empty means the working directory.
func CheckAgent(dir, name string) error {
	_, _, err := agent.Find(findAgents(dir), name)
	return invalid(err)
}

// agent is the agent of a name, read at most once.
func (o *Orchestrator) agent(name string) (*agent.Agent, error) {
	o.mu.Lock()
	found, ok := o.agents[name]
	o.mu.Unlock()
	if ok {
		return found, nil
	}
	found, warnings, err := agent.Find(o.finding, name)
	for _, w := range warnings {
		o.notice(w.String())
	}
	if err != nil {
		return nil, invalid(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.agents[name] = found
	return found, nil
}

// notice tells the user once.
func (o *Orchestrator) notice(text string) {
	if o.opts.Notice == nil || text == "" {
		return
	}
	o.mu.Lock()
	said := o.noticed[text]
	o.noticed[text] = true
	o.mu.Unlock()
	if !said {
		o.opts.Notice(text)
	}
}

// InputError reports something wrong in what the user gave; see
// [fault.InputError].
type InputError = fault.InputError

func invalid(err error) error { return fault.Input(err) }
