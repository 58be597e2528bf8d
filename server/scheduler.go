package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/schedule"
)

// scheduleEvery is how often schedules are looked at: for those that other processes
// add, and since the clock may be set, or the machine sleep.
const scheduleEvery = 10 * time.Second

// scheduler starts the runs of a project's schedules. What it is to start is written
// down first, so that the run has an id before there is one: the next process starts it
// if this one dies in between.
type scheduler struct {
	store schedule.Store
	dir   string
	log   *slog.Logger
	now   func() time.Time

	// running reports whether a process drives a run.
	running func(ctx context.Context, run string) (bool, error)

	// start starts the last run of a schedule, once however often it is called. The
	// error is a [Problem] with a status below 500 if it will not start later either.
	start func(ctx context.Context, s *schedule.Schedule) error
}

// run starts runs until stop is closed or ctx ends.
func (c *scheduler) run(ctx context.Context, stop <-chan struct{}) {
	repeat(ctx, stop, nil, func() time.Duration {
		next, err := c.round(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Error("schedules not followed", "err", err)
		}
		return min(next.Sub(c.now()), scheduleEvery)
	})
}

// round decides the ticks that have passed, and returns when the next is.
func (c *scheduler) round(ctx context.Context) (next time.Time, err error) {
	next = c.now().Add(scheduleEvery)
	list, err := c.store.List(ctx, c.dir)
	if err != nil {
		return next, err
	}
	for i := range list {
		if oneErr := c.follow(ctx, &list[i]); oneErr != nil {
			err = errors.Join(err, oneErr)
			continue
		}
		for _, tick := range list[i].Next(c.now(), 1) {
			if tick.Before(next) {
				next = tick
			}
		}
	}
	return next, err
}

// follow decides the ticks of a schedule that have passed, and starts their runs.
func (c *scheduler) follow(ctx context.Context, s *schedule.Schedule) error {
	if s.Pending { // the process that decided it has died, or is at it
		if err := c.startPending(ctx, s); err != nil {
			return err
		}
	}
	running := false
	if s.LastRun != "" && s.Overlap != schedule.OverlapAllow {
		var err error
		if running, err = c.running(ctx, s.LastRun); err != nil {
			return err
		}
	}
	d, err := s.Decide(c.now(), running)
	if err != nil {
		return err
	}
	if d.Skipped > 0 {
		c.log.Info("ticks skipped", "schedule", s.Name, "ticks", d.Skipped, "last_run", s.LastRun)
	}
	for i, tick := range d.Start {
		o := schedule.Outcome{Decided: tick, Run: runs.IDFor(s.Key(tick)), Tick: tick}
		if i == len(d.Start)-1 {
			o.Decided = d.Decided
		}
		if ok, err := c.store.Decide(ctx, s, o); err != nil || !ok {
			return err
		}
		s.Decided, s.LastRun, s.Tick, s.Pending = o.Decided, o.Run, tick, true
		if err := c.startPending(ctx, s); err != nil {
			return err
		}
	}
	if !d.Decided.Equal(s.Decided) {
		_, err = c.store.Decide(ctx, s, schedule.Outcome{Decided: d.Decided})
	}
	return err
}

// startPending starts the run that a tick was decided to start.
func (c *scheduler) startPending(ctx context.Context, s *schedule.Schedule) error {
	problem := ""
	if err := c.start(ctx, s); err != nil {
		p := problemOf(err)
		late := c.now().Sub(s.Tick) > s.Window
		if p.Status >= http.StatusInternalServerError && !late {
			return err
		}
		problem = p.Detail
		c.log.Error("scheduled run not started", "schedule", s.Name, "tick", s.Tick, "err", err)
	} else {
		c.log.Info("scheduled run started", "schedule", s.Name, "tick", s.Tick, "run", s.LastRun)
	}
	s.Pending = false
	return c.store.Started(ctx, s, problem)
}

// RunSchedules starts the runs of the project's schedules in the background, until the
// server is drained.
func (s *Server) RunSchedules() {
	if s.opts.Schedules == nil {
		return
	}
	c := &scheduler{
		store: s.opts.Schedules, dir: s.opts.Dir, log: s.log, now: time.Now, running: s.isRunning,
		start: func(ctx context.Context, x *schedule.Schedule) error {
			_, err := s.Start(ctx, scheduledRun(x), x.Key(x.Tick))
			return err
		},
	}
	s.runner.background(c.run)
}

// scheduledRun returns the request that starts a schedule's run.
func scheduledRun(s *schedule.Schedule) StartRun {
	return StartRun{Workflow: s.Workflow, Params: s.Params, Model: s.Model, BudgetUSD: s.Budget, Tags: map[string]string{schedule.Tag: s.Name}}
}

// isRunning reports whether a process drives a run. One that crashed and could not be
// resumed does not hold its schedule up.
func (s *Server) isRunning(ctx context.Context, run string) (bool, error) {
	found, err := s.store.Find(ctx, run)
	if errors.Is(err, journal.ErrNotFound) {
		return false, nil
	}
	return err == nil && (s.runner.drives(run) || found.Owned()), err
}
