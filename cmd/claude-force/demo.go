package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/tempfolder"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/workflow"
)

// demoFiles are the workflow, and a small project to check if the working
// directory has no source files.
//
//go:embed demo
var demoFiles embed.FS

// demoScale makes the simulator's waits shorter, so that the demo ends soon.
const demoScale = 0.2

func (a *app) demo() *cobra.Command {
	var asJSON bool
	scale := demoScale
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See agents run in parallel, from the cache, and fix a failing test, without a key",
		Long: `Run three agents and a workflow on source files of the working directory (or of
a small embedded project), one after the other, then in parallel, then again
from the cache, and print what was measured. Then one agent fixes a failing test of
an embedded project: it reads, edits and runs the test, in a Git worktree and with
commands in a sandbox, if there are these here. The answers come from the built-in
simulator, so no key is needed, nothing is paid and nothing leaves the machine.`,
		Example: `  claude-force demo
  claude-force demo --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if scale <= 0 {
				return badInput("--time-scale must be above 0")
			}
			ctx, cancel := a.soft(cmd.Context())
			defer cancel()
			return a.runDemo(ctx, scale, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the measurements as JSON")
	cmd.Flags().Float64Var(&scale, "time-scale", demoScale, "factor on the simulator's waits; 1 is as slow as the real API")
	return cmd
}

// phase is one way of doing the demo's work, measured.
type phase struct {
	Name            string  `json:"name"`
	DurationSeconds float64 `json:"duration_seconds"`
	Speedup         float64 `json:"speedup"`
	APICalls        int     `json:"api_calls"` // as the simulator counted them
	CacheHits       int     `json:"cache_hits"`
	Tokens          int     `json:"tokens"`
	CostUSD         float64 `json:"cost_usd"`
	SavedUSD        float64 `json:"saved_usd"`
}

// demoTasks returns the tasks of the three agents.
func demoTasks() []claudeforce.Task {
	return []claudeforce.Task{
		{Agent: "python-expert", Prompt: "Explain lists"},
		{Agent: "python-expert", Prompt: "Explain dicts"},
		{Agent: "code-reviewer", Prompt: "Review my code", Files: []string{"*"}},
	}
}

func (a *app) runDemo(ctx context.Context, scale float64, asJSON bool) (err error) {
	folder, err := tempfolder.New("demo")
	if err != nil {
		return fmt.Errorf("making a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, folder.Remove()) }()
	scratch := folder.Path()
	project := filepath.Join(scratch, "project")
	from, names, err := copySources(project)
	if err != nil {
		return err
	}
	data, err := demoFiles.ReadFile("demo/workflow.json")
	if err != nil {
		return fmt.Errorf("reading the demo's workflow: %w", err)
	}
	wf, err := claudeforce.ParseWorkflow(project, "workflow.json", data)
	if err != nil {
		return err
	}

	a.say("The answers below are SIMULATED: no key, no cost, nothing leaves this machine.")
	a.say("For real ones: export ANTHROPIC_API_KEY=… (https://platform.claude.com/settings/keys), then")
	a.say("    claude-force execute code-reviewer \"Review my code\" --attach '*.go'\n")
	a.say("Three agents at work, then the workflow %q (linter and type-check side by side,", wf.Name)
	a.say("then review), on %d files of %s. Waits are those of the real API times %g.", len(names), from, scale)

	d := demo{app: a, wf: wf, project: project, data: filepath.Join(scratch, "data"),
		server: sim.New(sim.Options{Latency: sim.Realistic(), TimeScale: scale})}
	var phases []phase
	for _, run := range []struct {
		name  string
		jobs  int
		cache bool
	}{{"sequential", 1, false}, {"parallel", 10, true}, {"cached", 10, true}} {
		p, err := d.run(ctx, run.name, run.jobs, run.cache)
		if err != nil {
			return err
		}
		phases = append(phases, p)
	}
	for i := range phases {
		phases[i].Speedup = phases[0].DurationSeconds / phases[i].DurationSeconds
	}
	if asJSON {
		return printJSON(a.stdout, phases)
	}
	if err := a.printPhases(phases); err != nil {
		return err
	}
	return a.showFix(ctx, scratch, scale)
}

// demo is what the phases share.
type demo struct {
	*app
	wf            *workflow.Workflow
	project, data string
	server        *sim.Server
}

func (d *demo) run(ctx context.Context, name string, jobs int, cache bool) (p phase, err error) {
	d.say("\n%s:", name)
	cfg, err := config.Load(config.Sources{})
	if err != nil {
		return p, err
	}
	cfg.Jobs, cfg.DataDir, cfg.Store, cfg.Cache.Enabled = jobs, d.data, "", cache
	orch, err := claudeforce.New(ctx, claudeforce.Options{Dir: d.project, Config: cfg, Simulator: d.server})
	if err != nil {
		return p, err
	}
	defer func() { err = closing(err, orch) }()
	before := d.server.Stats().Requests
	start := time.Now()
	for res := range orch.ExecuteAll(ctx, slices.Values(demoTasks()), claudeforce.AllOptions{Unordered: true}) {
		if res.Err != nil {
			return p, res.Err
		}
		d.say("  %s: %s in %s: %s", res.Agent, res.Source, amount.Seconds(res.DurationSeconds), firstLine(lastLine(res.Output), 60))
	}
	res, err := orch.RunWorkflow(ctx, d.wf, claudeforce.RunOptions{MaxParallel: jobs, OnEvent: func(_ context.Context, ev engine.Event) {
		if ev.Status != engine.StatusRunning {
			d.say("  %s", ended(ev))
		}
	}})
	if err != nil && res == nil {
		return p, err
	}
	took := time.Since(start)
	if res.Status == engine.StatusInterrupted {
		return p, errInterrupted
	}
	if res.Status != engine.StatusCompleted {
		return p, fmt.Errorf("the demo's workflow is %s", res.Status)
	}
	t := orch.Totals()
	return phase{
		Name: name, DurationSeconds: took.Seconds(), APICalls: int(d.server.Stats().Requests - before), CacheHits: t.Cached,
		Tokens: t.Usage.TotalTokens(), CostUSD: t.CostUSD, SavedUSD: t.SavedUSD,
	}, nil
}

func (a *app) printPhases(phases []phase) error {
	rows := [][]string{{""}, {"time"}, {"speed-up"}, {"calls to the API"}, {"answers from the cache"}, {"tokens paid for"}, {"cost"}, {"saved"}}
	for _, p := range phases {
		for i, cell := range []string{
			p.Name, amount.Seconds(p.DurationSeconds), fmt.Sprintf("%.1fx", p.Speedup), fmt.Sprint(p.APICalls),
			fmt.Sprint(p.CacheHits), amount.Thousands(p.Tokens), dollars(&p.CostUSD), dollars(&p.SavedUSD),
		} {
			rows[i] = append(rows[i], cell)
		}
	}
	a.say("\nMeasured in this run:")
	return table(a.stdout, rows)
}

// sources are the endings of files that the demo's agents can say something about.
var sources = []string{".go", ".py", ".ts", ".tsx", ".js", ".rs", ".java", ".kt", ".rb", ".c", ".cc", ".cpp", ".cs", ".php", ".swift"}

// copySources copies some source files of the working directory, or else the
// embedded project. It returns where they are from and their names.
func copySources(to string) (from string, names []string, err error) {
	const most, maxBytes = 6, 40 << 10
	if err := os.Mkdir(to, 0o700); err != nil {
		return "", nil, fmt.Errorf("copying files for the demo: %w", err)
	}
	from, left := "the working directory", maxBytes
	here, err := os.ReadDir(".")
	if err != nil {
		here = nil // then the embedded ones do
	}
	for _, entry := range here {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !slices.Contains(sources, filepath.Ext(entry.Name())) || int(info.Size()) > left || len(names) == most {
			continue
		}
		if err := copyFile(os.DirFS("."), entry.Name(), filepath.Join(to, entry.Name())); err != nil {
			return "", nil, err
		}
		names = append(names, entry.Name())
		left -= int(info.Size())
	}
	if len(names) > 0 {
		return from, names, nil
	}
	for _, name := range []string{"inventory.py", "report.py"} {
		if err := copyFile(demoFiles, "demo/"+name, filepath.Join(to, name)); err != nil {
			return "", nil, err
		}
		names = append(names, name)
	}
	return "a small embedded project", names, nil
}

func copyFile(from fs.FS, name, to string) error {
	data, err := fs.ReadFile(from, name)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("copying files for the demo: %w", err)
	}
	return nil
}
