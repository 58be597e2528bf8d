package web

import (
	"context"
	"net/http"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

const (
	// maxActive is how many runs in progress are shown with their steps.
	maxActive = 20

	// maxRecent is how many runs that have ended are shown beside them.
	maxRecent = 8
)

// nowData is what the first page shows.
type nowData struct {
	Active     []activeRun
	More       bool // there are more runs in progress
	Failed     []failedRun
	MoreFailed bool // there are more
	Recent     []journal.Run
	Day        *day
	Figures    *analytics.Summary
	Budget     *float64 // of the day; nil for none
	Waiting    int      // runs that wait for a person
}

// failedRun is a run that has failed.
type failedRun struct {
	journal.Run
	Why reason
}

// activeRun is a run in progress.
type activeRun struct {
	journal.Run
	Elapsed float64 // seconds
	Steps   counts  // of the workflow
	Cap     *float64
	ETA     float64 // seconds left, as planned; 0 if that is not known
}

func (p *Pages) now(r *http.Request) (*view, error) {
	ctx := r.Context()
	data := &nowData{Budget: p.opts.Config.Budget.Day}
	active := journal.Filter{Statuses: []journal.Status{journal.StatusRunning, journal.StatusWaiting}, Limit: maxActive + 1}
	for run, err := range p.opts.Store.Runs(ctx, active) {
		if err != nil {
			return nil, err
		}
		if len(data.Active) == maxActive {
			data.More = true
			break
		}
		a, err := p.active(ctx, run)
		if err != nil {
			return nil, err
		}
		if a.Status == journal.StatusWaiting {
			data.Waiting++
		}
		data.Active = append(data.Active, a)
	}
	failed := journal.Filter{Statuses: []journal.Status{journal.StatusFailed}, After: p.today.start(), Limit: maxRecent}
	list, err := p.list(ctx, failed)
	if err != nil {
		return nil, err
	}
	for i := range list {
		why, err := p.reasons.of(ctx, &list[i])
		if err != nil {
			return nil, err
		}
		data.Failed = append(data.Failed, failedRun{list[i], why})
	}
	if data.Day, err = p.ofDay(ctx, p.today.start()); err != nil {
		return nil, err
	}
	ended := []journal.Status{journal.StatusCompleted, journal.StatusInterrupted, journal.StatusCancelled}
	if data.Recent, err = p.list(ctx, journal.Filter{Statuses: ended, Limit: maxRecent}); err != nil {
		return nil, err
	}
	if data.Figures, err = p.today.figures(ctx); err != nil {
		return nil, err
	}
	data.MoreFailed = len(data.Failed) == maxRecent
	return &view{Page: "now", Title: "Now", Nav: "now", Fragments: []string{"now-figures", "now-day", "now-runs"}, Data: data}, nil
}

// list returns runs.
func (p *Pages) list(ctx context.Context, filter journal.Filter) (list []journal.Run, err error) {
	for run, err := range p.opts.Store.Runs(ctx, filter) {
		if err != nil {
			return nil, err
		}
		list = append(list, runs.WithStatus(run))
	}
	return list, nil
}

// active returns a run in progress with the states of its steps, without looking at
// the items of any.
func (p *Pages) active(ctx context.Context, run journal.Run) (activeRun, error) {
	a := activeRun{Run: runs.WithStatus(run), Elapsed: time.Since(run.StartedAt).Seconds()}
	whole, err := p.opts.Store.Find(ctx, run.ID)
	if err != nil {
		return a, err
	}
	state, err := journal.Fold(p.opts.Store.Outline(ctx, run.ID))
	if err != nil {
		return a, err
	}
	spec, err := runs.SpecOf(whole, state)
	if err != nil {
		return a, err
	}
	wf, err := spec.Recorded(nil)
	if err != nil {
		return a, err
	}
	a.Cap = spec.Budget.USD
	if a.Cap == nil && wf.Budget != nil {
		a.Cap = wf.Budget.USD
	}
	for _, s := range wf.Steps {
		a.Steps.Total++
		a.Steps.addUnit(state.Unit(s.ID, ""))
	}
	if spec.Plan != nil {
		a.ETA = max(spec.Plan.Seconds.Expected-a.Elapsed, 0)
	}
	return a, nil
}

// addUnit counts a step of a run in progress, which is among the total.
func (c *counts) addUnit(u *journal.UnitState) {
	if u == nil {
		return
	}
	switch u.Type {
	case journal.StepFinished:
		c.Completed++
	case journal.StepFailed:
		c.Failed++
	case journal.StepSkipped:
		c.Skipped++
	case journal.ApprovalAsked:
		c.Waiting++
	default:
		c.Running++
	}
}
