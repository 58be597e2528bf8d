package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/schedule"
)

// Schedules lists the schedules of the server's project, with their next ticks.
func (c *Client) Schedules(ctx context.Context) ([]schedule.View, error) {
	var list struct {
		Schedules []schedule.View `json:"schedules"`
	}
	err := c.read(ctx, &list, http.MethodGet, "/schedules", nil, nil)
	return list.Schedules, err
}

// AddSchedule is a schedule to add.
type AddSchedule struct {
	Name      string            `json:"name"`
	Workflow  string            `json:"workflow"` // path of a file of the project, or a name
	Params    map[string]string `json:"params,omitempty"`
	Model     string            `json:"model,omitempty"`
	BudgetUSD *float64          `json:"budget_usd,omitempty"` // of each run
	Cron      string            `json:"cron"`
	TimeZone  string            `json:"time_zone,omitempty"`
	Overlap   string            `json:"overlap,omitempty"`
	CatchUp   string            `json:"catch_up,omitempty"`
	Window    string            `json:"window,omitempty"`
}

// AddSchedule adds a schedule.
func (c *Client) AddSchedule(ctx context.Context, add AddSchedule) (*schedule.View, error) {
	view := &schedule.View{}
	return view, c.read(ctx, view, http.MethodPost, "/schedules", nil, add)
}

func schedulePath(name string) string { return "/schedules/" + url.PathEscape(name) }

// RemoveSchedule removes a schedule. Its runs continue.
func (c *Client) RemoveSchedule(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, schedulePath(name))
}

// PauseSchedule has a schedule start no runs until it is resumed.
func (c *Client) PauseSchedule(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPost, schedulePath(name)+"/pause")
}

// ResumeSchedule has a schedule start runs again.
func (c *Client) ResumeSchedule(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPost, schedulePath(name)+"/resume")
}

// RunSchedule starts a run of a schedule now, beside its ticks. The key is as of
// [Client.Start].
func (c *Client) RunSchedule(ctx context.Context, name, key string) (*journal.Run, error) {
	run := &journal.Run{}
	return run, c.read(ctx, run, http.MethodPost, schedulePath(name)+"/run", nil, nil, "Idempotency-Key", key)
}
