package server

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/schedule"
)

// addSchedules adds the operations on schedules.
func (s *Server) addSchedules(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "list-schedules", Method: http.MethodGet, Path: "/api/v1/schedules", Tags: []string{"schedules"},
		Summary: "List the schedules of the project, with their next and last ticks",
	}, s.listSchedules)
	add(s, api, &huma.Operation{
		OperationID: "add-schedule", Method: http.MethodPost, Path: "/api/v1/schedules", Tags: []string{"schedules"},
		Summary: "Start runs of a workflow at times that a cron expression gives", DefaultStatus: http.StatusCreated,
		Errors: []int{http.StatusConflict, http.StatusUnprocessableEntity},
	}, s.addSchedule)
	add(s, api, &huma.Operation{
		OperationID: "remove-schedule", Method: http.MethodDelete, Path: "/api/v1/schedules/{schedule}", Tags: []string{"schedules"},
		Summary: "Remove a schedule. Its runs continue", Errors: []int{http.StatusNotFound},
	}, s.removeSchedule)
	add(s, api, &huma.Operation{
		OperationID: "pause-schedule", Method: http.MethodPost, Path: "/api/v1/schedules/{schedule}/pause", Tags: []string{"schedules"},
		Summary: "Start no runs of a schedule until it is resumed", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *ScheduleName) (*struct{}, error) {
		return nil, s.pauseSchedule(ctx, in, true)
	})
	add(s, api, &huma.Operation{
		OperationID: "resume-schedule", Method: http.MethodPost, Path: "/api/v1/schedules/{schedule}/resume", Tags: []string{"schedules"},
		Summary: "Start runs of a schedule again. What passed meanwhile is not made up for", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *ScheduleName) (*struct{}, error) {
		return nil, s.pauseSchedule(ctx, in, false)
	})
	add(s, api, &huma.Operation{
		OperationID: "run-schedule", Method: http.MethodPost, Path: "/api/v1/schedules/{schedule}/run", Tags: []string{"schedules"}, DefaultStatus: http.StatusAccepted,
		Summary: "Start a run of a schedule now", Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity},
		Description: "The run is none of a tick: it starts also while the schedule is paused or its last run has not ended, and changes neither.",
	}, s.runSchedule)
}

// ScheduleName names a schedule in an address.
type ScheduleName struct {
	Name string `path:"schedule" doc:"name of a schedule"`
}

type listSchedulesOutput struct {
	Body struct {
		Schedules []schedule.View `json:"schedules"`
	}
}

func (s *Server) listSchedules(ctx context.Context, _ *struct{}) (*listSchedulesOutput, error) {
	out := &listSchedulesOutput{}
	out.Body.Schedules = []schedule.View{}
	list, err := s.opts.Schedules.List(ctx, s.opts.Dir)
	for i := range list {
		out.Body.Schedules = append(out.Body.Schedules, list[i].View(time.Now()))
	}
	return out, err
}

// AddSchedule is a schedule to add.
type AddSchedule struct {
	Name      string            `json:"name" doc:"that no other schedule of the project has" example:"nightly"`
	Workflow  string            `json:"workflow" doc:"path of a file of the project, or a name" example:"review.yaml"`
	Params    map[string]string `json:"params,omitempty"`
	Model     string            `json:"model,omitempty" doc:"instead of those of agents and steps"`
	BudgetUSD *float64          `json:"budget_usd,omitempty" minimum:"0" doc:"most US dollars of each run"`
	Cron      string            `json:"cron" doc:"minute, hour, day of the month, month and day of the week" example:"30 2 * * 1-5"`
	TimeZone  string            `json:"time_zone,omitempty" doc:"of the expression; UTC if absent" example:"Europe/Berlin"`
	Overlap   string            `json:"overlap,omitempty" enum:"skip,queue,allow" doc:"of a tick while the last run has not ended"`
	CatchUp   string            `json:"catch_up,omitempty" enum:"none,latest,all" doc:"which ticks start runs of those that passed while no server ran"`
	Window    string            `json:"window,omitempty" doc:"how late a tick may start a run; a day if absent" example:"12h"`
}

func (s *Server) addSchedule(ctx context.Context, in *struct{ Body AddSchedule }) (*struct{ Body schedule.View }, error) {
	b := in.Body
	x := &schedule.Schedule{
		ID: strings.ToLower(rand.Text()), Dir: s.opts.Dir, Name: b.Name, Workflow: b.Workflow, Params: b.Params, Model: b.Model, Budget: b.BudgetUSD, Cron: b.Cron, Zone: b.TimeZone,
		Overlap: schedule.Overlap(b.Overlap), CatchUp: schedule.CatchUp(b.CatchUp),
	}
	if b.Window != "" {
		var err error
		if x.Window, err = config.ParseDuration(b.Window); err == nil {
			err = schedule.CheckWindow(x.Window)
		}
		if err != nil {
			return nil, fault.Input(err)
		}
	}
	if err := x.Complete(time.Now()); err != nil {
		return nil, fault.Input(err)
	}
	err := s.runner.use(ctx, s.opts.Dir, s.opts.Settings, func(o *claudeforce.Orchestrator) error {
		request := scheduledRun(x)
		wf, opts, err := request.load(o, s.opts.Dir)
		if err == nil {
			_, err = wf.BindParams(opts.Params)
			err = fault.Input(err)
		}
		if err == nil {
			err = o.CheckModels(ctx, wf, opts)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.opts.Schedules.Add(ctx, x); err != nil {
		return nil, scheduleProblem(err)
	}
	return &struct{ Body schedule.View }{x.View(time.Now())}, nil
}

func (s *Server) removeSchedule(ctx context.Context, in *ScheduleName) (*struct{}, error) {
	return nil, scheduleProblem(s.opts.Schedules.Remove(ctx, s.opts.Dir, in.Name))
}

func (s *Server) pauseSchedule(ctx context.Context, in *ScheduleName, paused bool) error {
	return scheduleProblem(s.opts.Schedules.SetPaused(ctx, s.opts.Dir, in.Name, paused, time.Now()))
}

func (s *Server) runSchedule(ctx context.Context, in *struct {
	ScheduleName
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"a value that no other request has, to send the same again safely"`
}) (*acceptedOutput, error) {
	x, err := schedule.Find(ctx, s.opts.Schedules, s.opts.Dir, in.Name)
	if err != nil {
		return nil, scheduleProblem(err)
	}
	return s.startRun(ctx, &startRunInput{IdempotencyKey: in.IdempotencyKey, Body: scheduledRun(x)})
}

// scheduleProblem returns an error of the store of schedules as the caller's own, if it
// is.
func scheduleProblem(err error) error {
	switch {
	case errors.Is(err, schedule.ErrNotFound):
		return &Problem{Status: http.StatusNotFound, Code: "not_found", Detail: err.Error()}
	case errors.Is(err, schedule.ErrExists):
		return &Problem{Status: http.StatusConflict, Code: "exists", Detail: err.Error()}
	}
	return err
}
