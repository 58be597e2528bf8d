package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/claude-force/claude-force/client"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
)

// usesServer marks commands that take --server.
const usesServer = "uses-server"

// withServer marks commands as ones that take --server.
func withServer(cmds ...*cobra.Command) {
	for _, cmd := range cmds {
		if cmd.Annotations == nil {
			cmd.Annotations = map[string]string{}
		}
		cmd.Annotations[usesServer] = "true"
	}
}

// checkServer refuses --server for a command that works on this machine alone, and reads
// the environment for one that does not.
func (a *app) checkServer(cmd *cobra.Command) error {
	if cmd.Annotations[usesServer] == "" {
		if a.server != "" {
			return badInput("%s works on this machine alone; leave --server out. It is for: claude-force runs, run, keys, schedules", cmd.CommandPath())
		}
		return nil
	}
	a.server = cmp.Or(a.server, os.Getenv(config.ServerVar))
	return nil
}

// connect returns a client of the server that was named.
func (a *app) connect() (*client.Client, error) {
	key := os.Getenv(config.ServerKeyVar) // or that of the data folder, for a server of this machine
	if to, err := url.Parse(a.server); key == "" && err == nil && isLoopback(to.Hostname()) {
		cfg, err := a.settings()
		if err != nil {
			return nil, err
		}
		if key, err = keys.ReadLocal(pipeline.DataDir(cfg.DataDir).ServerKey()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	c, err := client.New(client.Options{URL: a.server, Key: key})
	if errors.Is(err, client.ErrNoKey) {
		return nil, badInput("%s needs a key: set %s to one of the server's", a.server, config.ServerKeyVar)
	}
	return c, err
}

// userError returns an error of a server as the user's own, if what was named is not there,
// or is there already.
func userError(err error) error {
	if fault.Has(err, fault.KindNotFound) || fault.Has(err, fault.KindConflict) {
		return inputError{err}
	}
	return err
}

// remoteRunFlags are the flags of "run" that a server's run takes.
var remoteRunFlags = []string{
	"server", "param", "params-file", "model", "max-parallel", "budget", "fresh", "refresh", "from", "only",
	"engine", "detach", "json", "all", "quiet", "report", "output", "data-dir",
}

// runRemote starts a run at the server, follows it and prints its end.
func (a *app) runRemote(ctx context.Context, cmd *cobra.Command, f *runFlags, path string) error {
	var unknown string
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if unknown == "" && !slices.Contains(remoteRunFlags, flag.Name) {
			unknown = flag.Name
		}
	})
	switch {
	case unknown != "":
		return badInput("--%s is for runs on this machine; the server's settings are as it was started", unknown)
	case path == "-":
		return badInput("the server runs workflows of its project: give the path of a file there, or a name")
	}
	f.refresh = f.refresh || f.fresh
	if err := f.check(); err != nil {
		return err
	}
	if err := f.reports.check(); err != nil {
		return err
	}
	if err := f.output.check(); err != nil {
		return err
	}
	params, err := a.params(&f.params, false)
	if err != nil {
		return err
	}
	spending, err := f.spending()
	if err != nil {
		return err
	}
	a.quiet = f.quiet
	c, err := a.connect()
	if err != nil {
		return err
	}
	run, err := startRemote(ctx, c, client.StartRun{
		Workflow: path, Params: params, Model: f.modelName(), MaxParallel: f.parallel, BudgetUSD: spending.USD, Refresh: f.refresh, From: f.from, Only: f.only, Engine: f.engine,
	})
	if err != nil {
		return err
	}
	if f.detach {
		if f.json {
			return printJSON(a.stdout, map[string]string{"run_id": run.ID})
		}
		_, err := fmt.Fprintln(a.stdout, run.ID)
		return err
	}
	return a.followRemote(ctx, c, run.ID, ending{json: f.json, all: f.all, reports: f.reports, output: f.output})
}

// startTries is how often a request that starts a run is sent before no answer counts as
// none to come.
const startTries = 5

// startRemote starts a run, once, however often the request has to be sent.
func startRemote(ctx context.Context, c *client.Client, start client.StartRun) (*journal.Run, error) {
	request := runs.NewID()
	for tries := 1; ; tries++ {
		run, err := c.Start(ctx, start, request)
		if _, answered := errors.AsType[*client.Error](err); err == nil || answered || ctx.Err() != nil || tries == startTries {
			return run, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// followRemote says what happens in a run of a server until it ends, and prints its end.
// An interrupt leaves the run as it is.
func (a *app) followRemote(ctx context.Context, c *client.Client, id string, how ending) error {
	return a.followElsewhere(ctx, c.History(), id, "at the server", " --server "+a.server, how)
}

// followElsewhere says what happens in a run that another process drives until it ends, and
// prints its end. An interrupt leaves the run as it is. Commands for the run need the flags.
func (a *app) followElsewhere(ctx context.Context, store journal.Store, id, where, flags string, how ending) error {
	ctx, cancel := a.soft(ctx)
	defer cancel()
	lines := &eventLines{labels: map[journal.Unit]string{}}
	var last journal.Run
	for change, err := range watchRun(ctx, store, id) {
		switch {
		case err != nil:
			return err
		case change.Event != nil:
			text, err := lines.line(*change.Event)
			if err != nil {
				return err
			}
			if text != "" && !a.quiet {
				a.say("%s", text)
			}
			continue
		}
		if change.Run.Status == journal.StatusWaiting && last.Status != journal.StatusWaiting {
			a.say("%s waits for an answer; give it with: claude-force runs approve %[1]s%s", id, flags)
		}
		last = change.Run
	}
	if ctx.Err() != nil {
		a.say("the run continues %s; follow it with: claude-force runs watch %s%s", where, id, flags)
		return errInterrupted
	}
	detail, err := runs.Load(context.WithoutCancel(ctx), store, id)
	if err != nil {
		return err
	}
	return a.endRun(detail.Workflow, detail.Result, nil, how)
}

// resumeRemote resumes a run of a server and follows it.
func (a *app) resumeRemote(ctx context.Context, f *resumeFlags, id string) error {
	spending, err := f.spending()
	if err != nil {
		return err
	}
	a.quiet = f.quiet
	c, err := a.connect()
	if err != nil {
		return err
	}
	run, err := c.Resume(ctx, id, client.ResumeRun{AcceptChanges: f.accept, Failed: f.failed, Again: f.again, MaxParallel: f.parallel, BudgetUSD: spending.USD})
	if p, ok := errors.AsType[*client.Error](err); ok && p.Code == "completed" {
		return badInput("%w; see its results with `claude-force runs output`, or run the workflow again", err)
	}
	if err != nil {
		return err
	}
	return a.followRemote(ctx, c, run.ID, ending{json: f.json, all: f.all, noOutputs: f.quiet, reports: f.reports, output: f.output})
}

// errNotHere is the error of what needs the files of a server.
var errNotHere = fault.Input(errors.New("changes of files are where the run is: use this command on the server's machine"))
