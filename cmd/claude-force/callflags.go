package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/claudecode"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/anthropic/cloud"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/workflow"
)

// callFlags are the flags of every verb that makes calls.
type callFlags struct {
	model    string
	runner   string
	auto     bool // --auto-select-model
	jobs     int
	timeout  time.Duration
	outage   time.Duration
	noCache  bool
	noMemory bool
	refresh  bool
	simulate string
	script   string // --script, with --simulate
	mcp      mcpFlags
	budget   float64
	onExceed string
	batch    bool
	fallback []string
	hedge    string
	async    bool
	tools    toolFlags // of commands that register them
	json     bool
	metrics  string
	given    func(flag string) bool // reports whether a flag was given

	approvals approvalFlags // of commands that register them
}

func (f *callFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.given = flags.Changed
	flags.StringVar(&f.model, "model", "", "model instead of the agents' own: "+strings.Join(llm.Prices().AliasNames(), ", ")+", an id, or auto to have one chosen")
	flags.StringVar(&f.runner, "runner", "", "what has agents' conversations with the model, instead of what agents and steps say: builtin, or claude-code, which must be installed")
	flags.BoolVar(&f.auto, "auto-select-model", false, "choose the cheapest model fit for each task, none above the agent's own (the same as --model auto)")
	flags.IntVarP(&f.jobs, "jobs", "j", 0, "most calls in flight at once (default 10)")
	flags.DurationVar(&f.timeout, "timeout", 0, "longest time for one task, its retries included (default 10m)")
	flags.DurationVar(&f.outage, "outage", 0, "how long calls are repeated while none to their model succeeds (default 1m)")
	flags.BoolVar(&f.noCache, "no-cache", false, "neither read nor write the response cache")
	flags.BoolVar(&f.noMemory, "no-memory", false, "do not give CLAUDE.md and the rules in .claude/rules to agents with tools")
	flags.BoolVar(&f.refresh, "refresh", false, "do not read the response cache, but keep the new answers")
	flags.Var(dollarsValue{&f.budget}, "budget", "most US dollars to spend; 0 allows nothing that costs, and what the cache answers costs nothing")
	flags.StringVar(&f.onExceed, "on-exceed", "", "what happens to a call that --budget has no room for: stop, ask, downgrade or partial (default stop)")
	flags.BoolVar(&f.batch, "batch", false, "send calls by way of message batches: half the price, answered within a day")
	flags.StringSliceVar(&f.fallback, "fallback-models", nil, "models to fall back to when one is down or refuses, the best first")
	flags.StringVar(&f.hedge, "hedge", "", "send a late call a second time, after the p90, p95 or p99 of recent ones (default off)")
	f.registerSimulate(cmd)
	f.mcp.register(cmd)
	flags.StringVar(&f.script, "script", "", "with --simulate: YAML or JSON file of rules that answer, as in claude-force simulate --script")
	flags.BoolVar(&f.json, "json", false, "print results as JSON")
	flags.StringVar(&f.metrics, "metrics-listen", "", "serve metrics for Prometheus on this loopback address meanwhile, such as 127.0.0.1:9464")
	flags.BoolVar(&f.async, "async", false, "accepted for compatibility: work is concurrent anyway")
	if err := flags.MarkHidden("async"); err != nil {
		panic(err) // the flag is registered one line above
	}
}

// registerSimulate adds --simulate.
func (f *callFlags) registerSimulate(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.simulate, "simulate", "", "use the built-in simulator instead of the API, without a key; =instant or =1s sets its latency")
	cmd.Flags().Lookup("simulate").NoOptDefVal = "realistic"
}

// modelName returns the model that the flags name; empty if they name none.
func (f *callFlags) modelName() string {
	if f.auto {
		return modelselect.Auto
	}
	return f.model
}

func (f *callFlags) policy() llm.Policy {
	switch {
	case f.noCache:
		return llm.PolicyOff
	case f.refresh:
		return llm.PolicyRefresh
	}
	return llm.PolicyDefault
}

// open returns an orchestrator with the settings of the flags. The caller must
// close it.
func (a *app) open(ctx context.Context, f *callFlags) (*claudeforce.Orchestrator, error) {
	return a.openIn(ctx, f, claudeforce.Options{})
}

// openIn opens an orchestrator as open does, with more options.
func (a *app) openIn(ctx context.Context, f *callFlags, opts claudeforce.Options) (*claudeforce.Orchestrator, error) {
	cfg, err := a.settingsIn(opts.Dir)
	if err != nil {
		return nil, err
	}
	if f.jobs < 0 {
		return nil, badInput("--jobs must be above 0")
	}
	if f.runner != "" && !slices.Contains(task.Runners, f.runner) {
		return nil, badInput("--runner %q: it must be %s", f.runner, strings.Join(task.Runners, " or "))
	}
	if f.runner == task.RunnerClaudeCode {
		if _, err := claudecode.Find(); err != nil {
			return nil, err
		}
	}
	if f.auto && f.model != "" && f.model != modelselect.Auto {
		return nil, badInput("--model %s names a model and --auto-select-model has one chosen; give one of them", f.model)
	}
	if f.noCache && f.refresh {
		return nil, badInput("--no-cache keeps nothing and --refresh keeps the new answer; give one of them")
	}
	if f.jobs > 0 {
		if err := cfg.Set("jobs", fmt.Sprint(f.jobs), "--jobs"); err != nil {
			return nil, err
		}
	}
	if err := f.set(cfg); err != nil {
		return nil, err
	}
	if f.timeout != 0 {
		if err := cfg.Set("timeout", f.timeout.String(), "--timeout"); err != nil {
			return nil, err
		}
	}
	if f.outage != 0 {
		if err := cfg.Set("outage", f.outage.String(), "--outage"); err != nil {
			return nil, err
		}
	}
	cfg.Cache.Enabled = cfg.Cache.Enabled && !f.noCache
	cfg.Memory = cfg.Memory && !f.noMemory
	opts.Config = cfg
	opts.MCP = f.mcp.sources()
	if err := f.tools.configure(cfg); err != nil {
		return nil, err
	}
	if opts.Toolset, err = f.tools.toolbox(); err != nil {
		return nil, err
	}
	if opts.Toolset != nil {
		opts.Toolset.Asker = a.permit()
	}
	opts.OnTool = a.tooling.observe
	opts.OnNotice = func(_ context.Context, text string) { a.say("note: %s", text) }
	t := &trouble{say: a.say}
	opts.OnRetry = func(_ context.Context, r pipeline.Retry) { t.retrying(r) }
	if a.canAsk() {
		opts.AskBudget = a.askBudget
	}
	opts.OnPause = func(_ context.Context, p admission.Pause) { t.paused(p) }
	opts.OnAnswer = func(_ context.Context, pool string) { t.answers(pool) }
	opts.Cloud = cloud.Options(pipeline.Backend(cfg))
	if opts.Simulator, err = f.simulator(); err != nil {
		return nil, err
	}
	if opts.Simulator != nil {
		a.note("the answers are simulated; set ANTHROPIC_API_KEY and leave --simulate out for real ones")
	}
	if err := a.setTelemetry(ctx, cfg, f.metrics, &opts); err != nil {
		return nil, err
	}
	return claudeforce.New(ctx, opts)
}

// simulator returns the simulator that --simulate and --script describe; nil for
// none.
func (f *callFlags) simulator() (*sim.Server, error) {
	if f.simulate == "" {
		if f.script != "" {
			return nil, badInput("--script needs --simulate")
		}
		return nil, nil
	}
	simulator, err := claudeforce.SimulatorFor(f.simulate, f.script)
	if err != nil {
		return nil, inputError{err}
	}
	return simulator, nil
}

// askBudget asks the user how many dollars more may be spent. No answer, or one
// that is not an amount, means none.
func (a *app) askBudget(ctx context.Context, why string) (more float64, ok bool) {
	line, err := a.ask(ctx, why+"\nHow many dollars more may be spent? [none] ")
	if err != nil {
		return 0, false
	}
	more, err = strconv.ParseFloat(strings.TrimPrefix(line, "$"), 64)
	return more, err == nil && more > 0
}

// set overrides the settings that have flags of the same names.
func (f *callFlags) set(cfg *config.Config) error {
	if len(f.fallback) > 0 {
		if err := cfg.Set("fallback_models", strings.Join(f.fallback, ","), "--fallback-models"); err != nil {
			return err
		}
	}
	if f.hedge != "" {
		if err := cfg.Set("hedge", f.hedge, "--hedge"); err != nil {
			return err
		}
	}
	if f.onExceed != "" {
		return cfg.Set("budget.on_exceed", f.onExceed, "--on-exceed")
	}
	return nil
}

// spending returns the budget that --budget and --on-exceed set.
func (f *callFlags) spending() (workflow.Budget, error) {
	given := f.given("budget")
	if f.onExceed != "" && !given {
		return workflow.Budget{}, badInput("--on-exceed needs --budget")
	}
	if !given {
		return workflow.Budget{}, nil
	}
	return workflow.Budget{USD: new(f.budget), OnExceed: workflow.OnExceed(f.onExceed)}, nil
}
