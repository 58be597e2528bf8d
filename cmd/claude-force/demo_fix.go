package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/worktree"
)

const fixedFile = "slug.sh" // what the agent of the demo changes

// showFix lets an agent fix a failing test of a small project, in a Git worktree and
// with commands in a sandbox, as far as there are these here. What the model says is
// scripted; the tools are real.
func (a *app) showFix(ctx context.Context, scratch string, scale float64) error {
	project := filepath.Join(scratch, "fix")
	if err := os.Mkdir(project, 0o700); err != nil {
		return fmt.Errorf("copying files for the demo: %w", err)
	}
	files, err := fs.Glob(demoFiles, "demo/fix/*")
	if err != nil {
		return fmt.Errorf("reading the demo's files: %w", err)
	}
	for _, name := range files {
		if err := copyFile(demoFiles, name, filepath.Join(project, path.Base(name))); err != nil {
			return err
		}
	}
	before, err := openfile.ReadTyped(filepath.Join(project, fixedFile), 1<<20)
	if err != nil {
		return fmt.Errorf("reading the demo's files: %w", err)
	}
	a.say("\nAn agent that acts: the debugger fixes a failing test of a small project.")
	if missing := sandbox.Probe().Missing(); len(missing) > 0 {
		a.say("  note: nothing isolates commands here, so the test does not run; `claude-force tools sandbox` says why")
	}
	dir := project
	tree, err := demoTree(ctx, project, filepath.Join(scratch, "worktrees"))
	if err != nil {
		a.say("  note: no Git worktree here, so the agent works in a copy of the project (%s)", firstLine(err.Error(), 100))
	} else {
		dir = tree.Dir()
	}
	res, err := a.runFix(ctx, dir, filepath.Join(scratch, "data-fix"), scale)
	if err != nil {
		return err
	}
	diff, err := demoDiff(ctx, tree, dir, string(before))
	if err != nil {
		return err
	}
	a.say("  %s\n\n%s", res.Output, indented(diff))
	a.sayCost(res)
	return nil
}

func (a *app) runFix(ctx context.Context, dir, data string, scale float64) (res *claudeforce.Result, err error) {
	text, err := demoFiles.ReadFile("demo/fix.yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the demo's script: %w", err)
	}
	script, err := sim.ParseScript("fix.yaml", text)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(config.Sources{})
	if err != nil {
		return nil, err
	}
	cfg.DataDir, cfg.Store = data, ""
	allow, err := permission.ParseRules("Edit(" + fixedFile + "), Bash(sh slug_test.sh)")
	if err != nil {
		return nil, err
	}
	options := claudeforce.DefaultToolset()
	options.CacheDir = filepath.Join(data, "cache")
	options.Policy.Allow = allow
	orch, err := claudeforce.New(ctx, claudeforce.Options{
		Dir: dir, Config: cfg, Toolset: options,
		Simulator: sim.New(sim.Options{Latency: sim.Realistic(), TimeScale: scale, Script: script}),
		OnTool: func(_ context.Context, ev task.ToolEvent) {
			if !ev.Done {
				return
			}
			how := ""
			if ev.IsError {
				how = ": fails"
			}
			a.say("  turn %d: %s %s%s", ev.Turn, ev.Tool, strings.TrimPrefix(ev.Argument, dir+string(filepath.Separator)), how)
		},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = closing(err, orch) }()
	return orch.Execute(ctx, claudeforce.Task{Agent: "debugger", Prompt: "The test of slug.sh fails. Fix the code, not the test."}, nil)
}

// demoTree returns a worktree of a new repository in the project's folder.
func demoTree(ctx context.Context, project, root string) (*worktree.Tree, error) {
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "."}, {"commit", "--quiet", "--no-verify", "-m", "Begin"}} {
		args = append([]string{"-C", project, "-c", "user.name=demo", "-c", "user.email=demo@example.com", "-c", "commit.gpgsign=false", "-c", "core.hooksPath="}, args...)
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, errors.Join(err, errors.New(firstLine(string(out), 100)))
		}
	}
	repo, err := worktree.Find(ctx, project)
	if err != nil {
		return nil, err
	}
	return repo.Open(ctx, worktree.Place{Root: root, Run: "demo", Unit: "fix"})
}

// demoDiff returns what the agent changed: the worktree's patch, or without one that
// of the file.
func demoDiff(ctx context.Context, tree *worktree.Tree, dir, before string) (string, error) {
	if tree != nil {
		changes, err := tree.Finish(ctx)
		if err != nil {
			return "", err
		}
		if changes == nil {
			return "nothing has changed", nil
		}
		return changes.Diff, nil
	}
	after, err := openfile.ReadTyped(filepath.Join(dir, fixedFile), 1<<20)
	if err != nil {
		return "", fmt.Errorf("reading what the agent changed: %w", err)
	}
	return udiff.Unified(fixedFile, fixedFile, before, string(after)), nil
}

// sayCost says what the loop of a result cost, and what it would have cost if every
// turn had paid for the whole conversation.
func (a *app) sayCost(res *claudeforce.Result) {
	plain := llm.Usage{InputTokens: res.Usage.PromptTokens(), OutputTokens: res.Usage.OutputTokens}
	full, known := llm.Prices().Cost(res.Model, plain)
	if !known || res.CostUSD == nil {
		return
	}
	a.say("  %s, %s of tools, %s; without prompt caching %s, so it saved %.0f %%.",
		plural(res.Turns, "turn"), plural(res.ToolCalls, "call"), dollars(res.CostUSD), dollars(&full), 100*(full-*res.CostUSD)/full)
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
