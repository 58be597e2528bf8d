package claudeforce

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/builtin"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/llm/promptcache"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/mcpclient"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/toolset"
	"github.com/claude-force/claude-force/workflow"
)

// ErrNoCredentials says that there is no API key, and what to do about it.
var ErrNoCredentials = pipeline.ErrNoCredentials

// Options configure an [Orchestrator]. The zero value works as the command
// does in the working directory: with its configuration file, the user's, and
// the environment.
type Options struct {
	// Dir is where agents, the configuration and files are looked for. Empty
	// means the working directory.
	Dir string

	// Config is the settings. Nil means those [LoadConfig] finds for Dir.
	Config *config.Config

	// Model, if set, answers instead of Claude: no key is needed. Tests of code
	// that uses this package inject a fake here.
	Model llm.Model

	// Wrap, if set, adds a layer of the caller's own to the call pipeline, around
	// all others but the one that measures.
	Wrap func(next llm.Model) llm.Model

	// Simulator, if set, answers instead of Claude: no key is needed, nothing
	// is paid, nothing leaves the process. Its answers are cached apart.
	Simulator *sim.Server

	// Agents are agents that are defined in code, or read from elsewhere with
	// [agent.Parse]. Each needs a Name. They are used before those of files under
	// the same names. Workflows that name them must be read with the
	// orchestrator's ParseWorkflow or LoadWorkflow, and a run of such a workflow
	// can be resumed only by an orchestrator that has them too. They must not
	// change any more.
	Agents []*agent.Agent

	// Tools are what agents may call: those that an agent names, or all if it names
	// none. [tool.Func] makes one of a Go function. Every call that an agent makes is
	// run, so give it only what it may do. They must not change any more.
	Tools []tool.Tool

	// Toolset, if set, lets agents act in the project: with tools for files and
	// commands, and what else the package toolset describes, under its permissions.
	// Its Dir, Tools and OnNotice are those of these options. Without it, agents have
	// Tools alone.
	Toolset *toolset.Options

	// MCP says where MCP servers are configured beside the project's .mcp.json and the
	// user's files; see [MCPSources]. Only agents with a Toolset use them.
	MCP mcpclient.Sources

	// OnTool receives the calls of tools as they start and end, of several tasks at
	// once.
	OnTool func(ctx context.Context, ev task.ToolEvent)

	// Cloud makes the SDK's options for the configured backend if that is not
	// Anthropic's own API: Options of the packages llm/anthropic/bedrock and
	// llm/anthropic/vertex, which weigh too much to be part of every program.
	Cloud func(ctx context.Context, region, projectID string) ([]option.RequestOption, error)

	// KeyOptional lets [New] succeed without a credential: calls then fail with
	// [ErrNoCredentials]. Plans and workflows that call no model need none; see
	// [workflow.Workflow.NeedsModel].
	KeyOptional bool

	// HTTPClient sends the requests. Nil means one made for many parallel
	// streams.
	HTTPClient *http.Client

	// Gate bounds the calls in flight. Orchestrators of one process that use
	// the same credential should share one. Nil means a gate of this
	// orchestrator's own, with as many slots as the setting jobs says.
	Gate *admission.Gate

	// OnNotice receives what the user should know, each text once: a retired
	// model, an answer that is not cached and why. Callbacks may be called from
	// several goroutines at once; their context carries the call's [llm.Tags],
	// which name the run and the step. A nil callback is not called.
	OnNotice func(ctx context.Context, text string)

	// OnCall receives every call when it has ended, on the goroutine that made it.
	OnCall func(ctx context.Context, call record.Call)

	// Record, if set, writes down every call with its answer, to be replayed.
	Record *cassette.Recorder

	// Replay, if set, answers every call from a recording: no key is needed and
	// nothing is sent. A call that is not in it fails.
	Replay *cassette.Player

	// AskBudget decides when a budget whose on_exceed is "ask" has no room for a
	// call. It returns how many dollars more may be spent, or false to refuse. Nil
	// refuses.
	AskBudget func(ctx context.Context, why string) (more float64, ok bool)

	// OnPause is called when the service has closed a pool of models for a
	// while, by a rate limit or an outage: calls wait. It must be quick.
	OnPause func(ctx context.Context, pause admission.Pause)

	// OnAnswer is called when a pool that was closed by an outage answers again.
	OnAnswer func(ctx context.Context, pool string)

	// OnRetry is called before each wait for another attempt.
	OnRetry func(ctx context.Context, retry pipeline.Retry)

	// Telemetry says where traces and metrics go; nothing of it costs
	// anything if it is zero. Its Content is that of the settings.
	Telemetry telemetry.Options

	// Logger gets a line for each run, step and call that ends, with their ids
	// and without prompts and answers. Nil means none does.
	Logger *slog.Logger
}

// Orchestrator gives tasks to agents. It is safe for concurrent use; what is
// built from one shares its cache, its slots and its identical calls.
type Orchestrator struct {
	opts      Options
	config    *config.Config
	pipe      *pipeline.Pipeline
	tasks     *task.Runner
	tools     *toolset.Project // nil without tools
	files     *attach.Dir
	agentDirs agent.DiscoverOptions
	tell      *telemetry.Telemetry // nil if there is none

	mcp *servers // nil if agents get no tools

	commands commands // of workflows

	opening sync.Mutex    // guards the field below
	runs    journal.Store // nil until it is needed

	mu     sync.Mutex // guards the fields below
	agents map[string]*agent.Agent
	// allAgents returns the agents that apply, by name. They are read at most once.
	allAgents func() ([]*agent.Agent, error)
	groups    map[*workflow.Step]*promptcache.Group // items of foreach steps that are given the same
	noticed   map[string]bool
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
	var names []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		names = append(names, name)
	}
	return config.Load(config.Sources{Dir: dir, UserDir: folder, Home: home, Getenv: os.Getenv, Environ: names})
}

// New makes an orchestrator. Nothing is sent and no connection is opened
// before the first call; ctx is for the command that fetches the cache's
// encryption key, if one is configured. Without a credential, a simulator and
// KeyOptional, the error is [ErrNoCredentials]. Close it when done.
func New(ctx context.Context, opts Options) (*Orchestrator, error) {
	cfg := opts.Config
	if cfg == nil {
		var err error
		if cfg, err = LoadConfig(opts.Dir); err != nil {
			return nil, invalid(err)
		}
	}
	if err := validateAgents(opts.Agents); err != nil {
		return nil, err
	}
	if _, err := tool.NewSet(opts.Tools...); err != nil {
		return nil, invalid(err)
	}
	tell, err := newTelemetry(opts, cfg)
	if err != nil {
		return nil, err
	}
	installed, _, err := PluginAgents(cfg, cmp.Or(opts.Dir, "."))
	if err != nil {
		return nil, invalid(err)
	}
	o := &Orchestrator{
		opts: opts, config: cfg,
		agentDirs: findAgents(opts.Dir, slices.Concat(opts.Agents, installed)...),
		tell:      tell,
		agents:    map[string]*agent.Agent{},
		groups:    map[*workflow.Step]*promptcache.Group{},
		noticed:   map[string]bool{},
	}
	o.allAgents = sync.OnceValues(o.findAll)
	for _, a := range opts.Agents {
		o.agents[a.Name] = a
	}
	pipeOptions := pipeline.Options{
		Model: opts.Model, Wrap: opts.Wrap, Simulator: opts.Simulator, Cloud: opts.Cloud, KeyOptional: opts.KeyOptional, HTTPClient: opts.HTTPClient,
		Gate: opts.Gate, Project: pipeline.Project(opts.Dir), Record: opts.Record, Replay: opts.Replay,
		AskBudget: opts.AskBudget, Telemetry: tell,
		OnNotice: o.notice, OnCall: opts.OnCall, OnRetry: opts.OnRetry, OnPause: opts.OnPause, OnAnswer: opts.OnAnswer,
	}
	if o.pipe, err = pipeline.New(ctx, cfg, pipeOptions); err != nil {
		return nil, err
	}
	if o.files, err = attach.Open(cmp.Or(opts.Dir, ".")); err != nil {
		return nil, errors.Join(err, o.pipe.Close())
	}
	o.tasks = &task.Runner{
		Model: o.pipe.Model(), Agents: o.agent, Prices: o.pipe.Prices(), Files: o.files,
		MayExist: pipeline.ModelNames(cfg, pipeOptions, o.pipe.Prices()),
		Rules:    sync.OnceValues(func() (*modelselect.Rules, error) { return loadRules(cfg) }),
		Slots:    o.pipe.Gate().Limit(), OnNotice: o.notice, Telemetry: tell, OnTool: o.toolEvent, OnLoop: o.loopEnded,
		Record: opts.Record, Replay: opts.Replay,
		Defaults: task.Defaults{
			Model: cfg.Model, MaxTokens: cfg.MaxTokens, Timeout: cfg.Timeout, BatchTimeout: pipeline.BatchTimeout,
			NoCache: cfg.Cache.ExcludeAgents, NoContextEdits: !cfg.ContextEditing,
		},
	}
	if len(opts.Tools) > 0 || opts.Toolset != nil {
		project, err := openTools(ctx, opts, cfg, o)
		if err != nil {
			return nil, errors.Join(err, o.files.Close(), o.pipe.Close())
		}
		o.tasks.Tools, o.tools = project.For, project
		o.tasks.Isolate = o.isolate
	}
	if o.tasks.External, err = o.external(); err != nil {
		return nil, errors.Join(err, o.files.Close(), o.pipe.Close())
	}
	o.noteSettings(ctx)
	return o, nil
}

// Close writes what is still to be written and frees what the orchestrator
// holds. Calls must have ended.
func (o *Orchestrator) Close() error {
	err := errors.Join(o.commands.close(), o.mcp.close(), o.files.Close(), o.pipe.Close())
	o.opening.Lock()
	defer o.opening.Unlock()
	if o.runs != nil {
		err = errors.Join(err, o.runs.Close())
	}
	return err
}

// Calls returns the way that all calls take, for who makes calls of their own.
func (o *Orchestrator) Calls() *pipeline.Pipeline { return o.pipe }

// Totals returns the sum of all calls so far.
func (o *Orchestrator) Totals() pipeline.Totals { return o.pipe.Totals() }

// Limits returns what is known of the service's rate limits, by pool of models.
func (o *Orchestrator) Limits() []admission.PoolStatus { return o.pipe.Limits() }

// ResetLimits forgets what is known of the rate limits of a pool of models, or of
// all if the name is empty, and returns the names of the pools. A pool that the
// service has closed for a while is open again.
func (o *Orchestrator) ResetLimits(pool string) []string { return o.pipe.ResetLimits(pool) }

// CacheStats returns what the response cache holds and what it has saved, also
// for earlier processes. It is zero if the cache is off.
func (o *Orchestrator) CacheStats(ctx context.Context) (cache.Stats, error) {
	return o.pipe.CacheStats(ctx)
}

// Agents returns all agents that apply in a folder, and what is wrong with files
// that look like agents. Empty means the working directory.
func Agents(dir string) (*agent.Set, []agent.Warning, error) {
	set, warnings, err := agent.Discover(findAgents(dir, installedAgents(dir)...))
	return set, warnings, err
}

func findAgents(dir string, first ...*agent.Agent) agent.DiscoverOptions {
	home, _ := os.UserHomeDir() // empty without one, which Discover takes as none
	return agent.DiscoverOptions{Agents: first, Dir: dir, Home: home, Builtin: builtin.FS}
}

// CheckAgent returns nil if there is an agent of this name in a folder, and else an
// [InputError] that says which there are. Empty means the working directory.
func CheckAgent(dir, name string) error {
	_, _, err := agent.Find(findAgents(dir, installedAgents(dir)...), name)
	return invalid(err)
}

// findAll reads the agents that apply in the orchestrator's folder, by name.
func (o *Orchestrator) findAll() ([]*agent.Agent, error) {
	set, _, err := agent.Discover(o.agentDirs) // what is wrong with a file is noted when it is used
	if err != nil {
		return nil, invalid(err)
	}
	return set.All(), nil
}

// agent returns the agent of a name. It is read at most once.
func (o *Orchestrator) agent(ctx context.Context, name string) (*agent.Agent, error) {
	o.mu.Lock()
	found, ok := o.agents[name]
	o.mu.Unlock()
	if ok {
		return found, nil
	}
	found, warnings, err := agent.Find(o.agentDirs, name)
	for _, w := range warnings {
		o.notice(ctx, w.String())
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
func (o *Orchestrator) notice(ctx context.Context, text string) {
	if o.opts.OnNotice == nil || text == "" {
		return
	}
	o.mu.Lock()
	said := o.noticed[text]
	o.noticed[text] = true
	o.mu.Unlock()
	if !said {
		o.opts.OnNotice(ctx, text)
	}
}

// InputError reports something wrong in what the user gave; see
// [fault.InputError].
type InputError = fault.InputError

func invalid(err error) error { return fault.Input(err) }
