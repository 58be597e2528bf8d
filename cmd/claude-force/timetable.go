package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/client"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/schedule"
	"github.com/claude-force/claude-force/schedule/scheduledb"
	"github.com/claude-force/claude-force/schedule/schedulepg"
	"github.com/claude-force/claude-force/workflow"
)

// timetable is the schedules of the project in this folder, or those of a server, which a
// [client.Client] is.
type timetable interface {
	Schedules(ctx context.Context) ([]schedule.View, error)
	AddSchedule(ctx context.Context, add client.AddSchedule) (*schedule.View, error)
	RemoveSchedule(ctx context.Context, name string) error
	PauseSchedule(ctx context.Context, name string) error
	ResumeSchedule(ctx context.Context, name string) error
	RunSchedule(ctx context.Context, name, key string) (*journal.Run, error)
}

// withSchedules calls do with the schedules of the project in this folder, or with those of
// a server.
func (a *app) withSchedules(do func(timetable) error) (err error) {
	if a.server != "" {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return do(c)
	}
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs("")
	if err != nil {
		return err
	}
	store, err := openSchedules(cfg)
	if err != nil {
		return err
	}
	defer func() { err = storeError(errors.Join(err, store.Close())) }()
	return do(&localSchedules{app: a, store: store, dir: dir, flags: &callFlags{}})
}

// openSchedules returns the store of schedules, in the database that is configured or in
// the data folder.
func openSchedules(cfg *config.Config) (schedule.Store, error) {
	if cfg.Store == "" {
		return scheduledb.New(pipeline.DataDir(cfg.DataDir).Schedules()), nil
	}
	db, err := postgres.Connect(cfg.Store)
	if err != nil {
		return nil, inputError{err}
	}
	return schedulepg.New(db), nil
}

// localSchedules are the schedules of the project in this folder.
type localSchedules struct {
	app   *app
	store schedule.Store
	dir   string
	flags *callFlags // of a run that is started
}

func (l *localSchedules) Schedules(ctx context.Context) ([]schedule.View, error) {
	list, err := l.store.List(ctx, l.dir)
	views := []schedule.View{}
	for i := range list {
		views = append(views, list[i].View(time.Now()))
	}
	return views, err
}

func (l *localSchedules) AddSchedule(ctx context.Context, add client.AddSchedule) (*schedule.View, error) {
	s := &schedule.Schedule{
		ID: strings.ToLower(rand.Text()), Name: add.Name, Dir: l.dir, Workflow: add.Workflow, Params: add.Params, Model: add.Model, Budget: add.BudgetUSD,
		Cron: add.Cron, Zone: add.TimeZone, Overlap: schedule.Overlap(add.Overlap), CatchUp: schedule.CatchUp(add.CatchUp),
	}
	var err error
	if s.Window, err = config.ParseDuration(add.Window); err != nil {
		return nil, inputError{err}
	}
	if err := s.Complete(time.Now()); err != nil {
		return nil, inputError{err}
	}
	if !workflow.IsName(s.Workflow) && !filepath.IsLocal(s.Workflow) {
		return nil, badInput("%s is neither a file below this folder nor a name: the server runs what is in its project", s.Workflow)
	}
	// What is wrong with the workflow is said now, not at night.
	if err := l.withWorkflow(ctx, s, func(*claudeforce.Orchestrator, *workflow.Workflow) error { return nil }); err != nil {
		return nil, err
	}
	if err := l.store.Add(ctx, s); err != nil {
		return nil, err
	}
	view := s.View(time.Now())
	return &view, nil
}

// withWorkflow calls do with the workflow of a schedule, which its parameters fit.
func (l *localSchedules) withWorkflow(ctx context.Context, s *schedule.Schedule, do func(*claudeforce.Orchestrator, *workflow.Workflow) error) error {
	orch, err := l.app.openIn(ctx, l.flags, claudeforce.Options{KeyOptional: true})
	if err != nil {
		return err
	}
	wf, err := orch.LoadWorkflow(s.Workflow)
	if err == nil {
		_, err = wf.BindParams(s.Params)
	}
	if err == nil {
		err = orch.CheckModels(ctx, wf, claudeforce.RunOptions{Model: s.Model})
	}
	if err != nil {
		return closing(inputError{err}, orch)
	}
	return closing(do(orch, wf), orch)
}

func (l *localSchedules) RemoveSchedule(ctx context.Context, name string) error {
	return l.store.Remove(ctx, l.dir, name)
}

func (l *localSchedules) PauseSchedule(ctx context.Context, name string) error {
	return l.store.SetPaused(ctx, l.dir, name, true, time.Now())
}

func (l *localSchedules) ResumeSchedule(ctx context.Context, name string) error {
	return l.store.SetPaused(ctx, l.dir, name, false, time.Now())
}

// RunSchedule starts a run in a process of its own. The key is not used: nothing sends the
// request again.
func (l *localSchedules) RunSchedule(ctx context.Context, name, _ string) (*journal.Run, error) {
	s, err := schedule.Find(ctx, l.store, l.dir, name)
	if err != nil {
		return nil, err
	}
	run := &journal.Run{Status: journal.StatusRunning}
	err = l.withWorkflow(ctx, s, func(orch *claudeforce.Orchestrator, wf *workflow.Workflow) error {
		opts := claudeforce.RunOptions{
			Params: s.Params, Model: s.Model, File: wf.File(), Budget: workflow.Budget{USD: s.Budget}, Tags: map[string]string{schedule.Tag: s.Name},
			Settings: l.flags.runSettings(), AskCalls: l.flags.approvals.mode == runs.ApprovalsDurable, AskTimeout: l.flags.approvals.timeout,
		}
		if run.ID, err = orch.SubmitRun(ctx, wf, opts); err != nil {
			return err
		}
		if err := l.app.startAlone(run.ID); err != nil {
			return fmt.Errorf("starting run %s by itself: %w; start it with `claude-force runs resume %[1]s`", run.ID, err)
		}
		return nil
	})
	return run, err
}
