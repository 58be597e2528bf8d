package server

import (
	"context"

	"github.com/claude-force/claude-force/schedule"
	"github.com/claude-force/claude-force/server/web"
)

// scheduleOperations returns the operations of the API on schedules, for pages.
func (s *Server) scheduleOperations() web.ScheduleOperations {
	return web.ScheduleOperations{
		List: func(ctx context.Context) ([]schedule.View, error) {
			out, err := s.listSchedules(ctx, nil)
			if err != nil {
				return nil, err
			}
			return out.Body.Schedules, nil
		},
		Add: func(ctx context.Context, x *schedule.Schedule) error {
			_, err := s.addSchedule(ctx, &struct{ Body AddSchedule }{AddSchedule{
				Name: x.Name, Workflow: x.Workflow, Params: x.Params, BudgetUSD: x.Budget, Cron: x.Cron, TimeZone: x.Zone,
				Overlap: string(x.Overlap), CatchUp: string(x.CatchUp),
			}})
			return err
		},
		Remove: func(ctx context.Context, name string) error {
			_, err := s.removeSchedule(ctx, &ScheduleName{name})
			return err
		},
		Run: func(ctx context.Context, name, key string) (string, error) {
			x, err := schedule.Find(ctx, s.opts.Schedules, s.opts.Dir, name)
			if err != nil {
				return "", scheduleProblem(err)
			}
			run, err := s.Start(ctx, scheduledRun(x), key)
			if err != nil {
				return "", err
			}
			return run.ID, nil
		},
		SetPaused: func(ctx context.Context, name string, paused bool) error {
			return s.pauseSchedule(ctx, &ScheduleName{name}, paused)
		},
	}
}
