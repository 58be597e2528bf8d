package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/schedule"
)

// ScheduleOperations are those of the API on schedules. All must be set if any is; the
// server follows no schedules if none is.
type ScheduleOperations struct {
	List   func(context.Context) ([]schedule.View, error)
	Add    func(context.Context, *schedule.Schedule) error
	Remove func(ctx context.Context, name string) error
	// SetPaused pauses or resumes a schedule.
	SetPaused func(ctx context.Context, name string, paused bool) error
	// Run starts a run of a schedule now and returns its id. If one was started with the
	// same key, it returns that.
	Run func(ctx context.Context, name, key string) (run string, err error)
}

// addSchedules adds the page of schedules.
func (p *Pages) addSchedules() {
	p.page("GET /schedules", p.schedules)
	do := func(what func(context.Context, string) error) func(*http.Request) (string, error) {
		return func(r *http.Request) (string, error) { return "/schedules", what(r.Context(), r.PathValue("schedule")) }
	}
	ops := p.opts.Schedules
	p.action("POST /schedules", p.addSchedule)
	p.action("POST /schedules/{schedule}/pause", do(func(ctx context.Context, name string) error { return ops.SetPaused(ctx, name, true) }))
	p.action("POST /schedules/{schedule}/resume", do(func(ctx context.Context, name string) error { return ops.SetPaused(ctx, name, false) }))
	p.action("POST /schedules/{schedule}/run", func(r *http.Request) (string, error) {
		id, err := ops.Run(r.Context(), r.PathValue("schedule"), "page of schedules "+r.PathValue("schedule")+" "+r.PostFormValue("once"))
		return runAddress(id), err
	})
	p.action("POST /schedules/{schedule}/remove", do(ops.Remove))
}

// schedulesData are the schedules of the project.
type schedulesData struct {
	Schedules []scheduleRow
	Workflows []string // that have names
	Changes   bool     // the reader may change schedules
	Once      string   // with which forms that are sent twice start one run; the same for a minute, so that the page does not change
}

// scheduleRow is a schedule with its last run.
type scheduleRow struct {
	schedule.View
	Last   *journal.Run // nil if there is none
	Params []param
}

func (p *Pages) schedules(r *http.Request) (*view, error) {
	list, err := p.opts.Schedules.List(r.Context())
	if err != nil {
		return nil, err
	}
	data := &schedulesData{Changes: allows(r, keys.RoleOwner), Once: time.Now().UTC().Format("2006-01-02T15:04")}
	for i := range list {
		row := scheduleRow{View: list[i]}
		for name, value := range row.Schedule.Params {
			row.Params = append(row.Params, param{name, value})
		}
		slices.SortFunc(row.Params, func(a, b param) int { return strings.Compare(a.Name, b.Name) })
		if row.LastRun != "" && !row.Pending {
			run, err := p.opts.Store.Find(r.Context(), row.LastRun)
			if err != nil && !errors.Is(err, journal.ErrNotFound) {
				return nil, err
			}
			if err == nil {
				run = runs.WithStatus(run)
				row.Last = &run
			}
		}
		data.Schedules = append(data.Schedules, row)
	}
	if data.Changes {
		workflows, _, err := p.opts.Workflows(r.Context())
		if err != nil {
			return nil, err
		}
		for i := range workflows {
			data.Workflows = append(data.Workflows, workflows[i].Name)
		}
	}
	v := &view{Page: "schedules", Title: "Schedules", Nav: "schedules", Data: data}
	if data.Changes { // readers who follow a page share its drawings
		v.Fragments = []string{"schedules-list"}
	}
	return v, nil
}

func (p *Pages) addSchedule(r *http.Request) (string, error) {
	field := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	s := &schedule.Schedule{
		Name: field("name"), Workflow: field("workflow"), Cron: field("cron"), Zone: field("zone"),
		Overlap: schedule.Overlap(field("overlap")), CatchUp: schedule.CatchUp(field("catch_up")),
	}
	if text := field("budget"); text != "" {
		usd, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "", fault.Input(fmt.Errorf("%q is no amount of US dollars", text))
		}
		s.Budget = &usd
	}
	for line := range strings.Lines(r.PostFormValue("params")) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return "", fault.Input(fmt.Errorf("%q is no parameter such as topic=bees", line))
		}
		if s.Params == nil {
			s.Params = map[string]string{}
		}
		s.Params[strings.TrimSpace(name)] = value
	}
	return "/schedules", p.opts.Schedules.Add(r.Context(), s)
}

// scheduleAt returns the address to which a form sends what is to be done with a schedule.
func scheduleAt(name, what string) string { return "/schedules/" + url.PathEscape(name) + "/" + what }

// inZone returns a time as clocks of a time zone show it.
func inZone(t time.Time, zone string) string {
	if z, err := time.LoadLocation(zone); err == nil {
		t = t.In(z)
	}
	return t.Format("Mon 2006-01-02 15:04")
}
