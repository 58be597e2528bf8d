package web

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

const (
	maxDayRuns  = 300 // of a day that are drawn, the latest
	maxDayLanes = 10  // workflows that have a row of their own

	// dayLeast is the least time that the drawing of a day shows, and dayGrain what the
	// present is rounded to, so that pages change only when there is something to see.
	dayLeast = time.Minute
	dayGrain = 10 * time.Second
)

// day is the runs of a day over time, those of a workflow in one row.
type day struct {
	Title, Desc string
	Height      int
	Ticks       []chartLabel
	Lanes       []dayLane
	Runs        int
	More        bool // there are runs before these
	Others      int  // workflows without a row of their own
}

// dayLane is the runs of a workflow.
type dayLane struct {
	Name                                 string
	Text                                 string // how many runs there are
	Runs, Completed, Failed, Open, Other int
	CostUSD                              float64
	NameY, BarY                          int
	Bars                                 []dayBar
}

// dayBar is a run.
type dayBar struct {
	ID       string
	Class    string
	Title    string
	X, Width float64 // of 100
	Y        int
	Height   int
}

// ofDay returns the runs that were started since a time.
func (p *Pages) ofDay(ctx context.Context, start time.Time) (*day, error) {
	list, err := p.list(ctx, journal.Filter{After: start, Limit: maxDayRuns + 1})
	if err != nil {
		return nil, err
	}
	more := len(list) > maxDayRuns
	if more {
		list = list[:maxDayRuns]
	}
	d := drawDay(list, time.Now(), p.opts.Config.TimeZone)
	d.More = more
	return d, nil
}

// drawDay draws runs, the latest first, until a time.
func drawDay(list []journal.Run, now time.Time, zone *time.Location) *day {
	d := &day{Title: "Runs of today by workflow", Runs: len(list)}
	if len(list) == 0 {
		return d
	}
	to := now.Truncate(dayGrain).Add(dayGrain)
	from := list[0].StartedAt
	for i := range list {
		if list[i].StartedAt.Before(from) {
			from = list[i].StartedAt
		}
	}
	if to.Sub(from) < dayLeast {
		from = to.Add(-dayLeast)
	}
	d.Ticks = dayTicks(from, to, zone)
	place := func(t time.Time) float64 { return min(max(100*float64(t.Sub(from))/float64(to.Sub(from)), 0), 100) }
	lanes := map[string]*dayLane{}
	for _, run := range slices.Backward(list) {
		name := cmp.Or(runs.Name(run), "unnamed")
		lane := lanes[name]
		if lane == nil {
			lane = &dayLane{Name: name}
			lanes[name] = lane
		}
		end, open := run.FinishedAt, run.Owned()
		if open || end.IsZero() {
			end = to
		}
		status := states[string(run.Status)]
		bar := dayBar{ID: run.ID, Class: "r-" + status.icon, X: place(run.StartedAt), Y: 3, Height: 9}
		bar.Width = max(place(end)-bar.X, 0.5)
		bar.X = min(bar.X, 100-bar.Width)
		bar.Title = fmt.Sprintf("%s %s, %s, started %s, %s", name, run.ID, status.word, run.StartedAt.In(zone).Format(time.TimeOnly), took(run))
		lane.Runs++
		lane.CostUSD += run.CostUSD
		switch run.Status {
		case journal.StatusCompleted:
			lane.Completed++
		case journal.StatusFailed, runs.StatusCrashed: // higher, so that they differ by more than the colour
			lane.Failed++
			bar.Y, bar.Height = 0, 15
		case journal.StatusRunning, journal.StatusWaiting:
			lane.Open++
		default:
			lane.Other++
		}
		lane.Bars = append(lane.Bars, bar)
	}
	d.arrange(lanes)
	d.Desc = fmt.Sprintf("%s since %s. The table below has the numbers.", english.Plural(len(list), "run", ""), from.In(zone).Format("15:04"))
	return d
}

// arrange orders the rows: those with failures first, then by name.
func (d *day) arrange(lanes map[string]*dayLane) {
	for _, lane := range lanes {
		d.Lanes = append(d.Lanes, *lane)
	}
	slices.SortFunc(d.Lanes, func(a, b dayLane) int {
		return cmp.Or(cmp.Compare(min(b.Failed, 1), min(a.Failed, 1)), cmp.Compare(min(b.Open, 1), min(a.Open, 1)), strings.Compare(a.Name, b.Name))
	})
	if n := len(d.Lanes) - maxDayLanes; n > 0 {
		d.Lanes, d.Others = d.Lanes[:maxDayLanes], n
	}
	for i := range d.Lanes {
		lane := &d.Lanes[i]
		lane.NameY, lane.BarY = i*timelineRow+13, i*timelineRow+16
		for j := range lane.Bars {
			lane.Bars[j].Y += lane.BarY
		}
		parts := []string{english.Plural(lane.Runs, "run", "")}
		if lane.Failed > 0 {
			parts = append(parts, amount.Thousands(lane.Failed)+" failed")
		}
		if lane.Open > 0 {
			parts = append(parts, amount.Thousands(lane.Open)+" in progress")
		}
		lane.Text = strings.Join(parts, ", ")
	}
	d.Height = len(d.Lanes)*timelineRow + 4
}

// dayTicks returns round times of the clock.
func dayTicks(from, to time.Time, zone *time.Location) (ticks []chartLabel) {
	step := tickStep(to.Sub(from), 7)
	layout := "15:04"
	if step < time.Minute {
		layout = time.TimeOnly
	}
	local := from.In(zone)
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, zone)
	for t := midnight.Add((local.Sub(midnight) + step - 1) / step * step); !t.After(to); t = t.Add(step) {
		tick := chartLabel{X: 100 * float64(t.Sub(from)) / float64(to.Sub(from)), Text: t.Format(layout), Anchor: "middle"}
		switch {
		case tick.X < 4:
			tick.Anchor = "start"
		case tick.X > 96:
			tick.Anchor = "end"
		}
		ticks = append(ticks, tick)
	}
	return ticks
}
