package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// runSettings returns the flags that resuming the run in another process needs.
func (f *callFlags) runSettings() runs.Settings {
	script := f.script
	if full, err := filepath.Abs(script); script != "" && err == nil {
		script = full // the other process may work in another folder
	}
	return runs.Settings{Jobs: f.jobs, Timeout: f.timeout, NoCache: f.noCache, NoMemory: f.noMemory, Simulator: f.simulate, Script: script, Tools: f.tools.settings(),
		Approvals: f.approvals.mode, AskFor: f.approvals.timeout}
}

// detach writes the run down and starts a process of its own for it.
func (a *app) detach(ctx context.Context, orch *claudeforce.Orchestrator, wf *workflow.Workflow, opts claudeforce.RunOptions, asJSON bool) error {
	id, err := orch.SubmitRun(ctx, wf, opts)
	if err != nil {
		return err
	}
	if err := a.startAlone(id); err != nil {
		return fmt.Errorf("starting run %s by itself: %w; start it with `claude-force runs resume %[1]s`", id, err)
	}
	if asJSON {
		return printJSON(a.stdout, map[string]string{"run_id": id})
	}
	a.say("see it with `claude-force runs watch %s`", id)
	_, err = fmt.Fprintln(a.stdout, id)
	return err
}

// startAlone starts a process that continues a run after this one has ended. The flags
// are those of the command that resumes it.
func (a *app) startAlone(id string, flags ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	path := runLog(cfg, id)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"runs", "resume", id, "--quiet", "--seal-log"}
	if a.dataDir != "" {
		args = append(args, "--data-dir", a.dataDir)
	}
	args = append(append(args, a.telemetry.args()...), flags...)
	// Not bound to a context: it is to outlive this process.
	cmd := exec.Command(self, args...) //nolint:noctx // see above
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = alone()
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // a process that runs long must not keep those that have ended
	return nil
}

// runLog returns where a process of its own writes what it has to say.
func runLog(cfg *config.Config, id string) string {
	return filepath.Join(pipeline.DataDir(cfg.DataDir).Logs(), id+".log")
}
