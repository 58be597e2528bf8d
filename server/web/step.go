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

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
)

// innerPage is how many items, iterations and steps within a step a page lists.
const innerPage = 100

// stepData is a step of a run, an iteration of one or an item of one.
type stepData struct {
	Run    journal.Run
	Unit   journal.Unit
	Label  string // of the item, for people
	Outer  []crumb
	Status engine.Status
	State  *journal.UnitState
	Usage  llm.Usage
	Cost   *float64
	Took   float64
	Reuse  []string // why its answer was or was not reused
	Before string   // id of the run before, with which Reuse compares
	Inputs []param
	Output output
	Turns  []*runs.Turn

	Inner  []innerRow
	Counts counts
	Only   string // the status that Inner is filtered by
	Page   int    // of Inner, from 1
	Pages  int
}

var errNoStep = fault.New(fault.KindNotFound, "there is no such step")

// crumb is a step around another.
type crumb struct{ Label, Address string }

// innerRow is an item, an iteration or a step within a step.
type innerRow struct {
	Label   string
	Address string
	Status  engine.Status
	State   *journal.UnitState
	Usage   llm.Usage
	Cost    *float64
	Took    float64
}

// stepAddress returns the address of the page of a unit of a run.
func stepAddress(run string, u journal.Unit) string {
	address := runAddress(run) + "/steps/" + (&url.URL{Path: u.Step}).EscapedPath()
	if u.Item != "" {
		address += "?" + url.Values{"item": {u.Item}}.Encode()
	}
	return address
}

func (p *Pages) step(r *http.Request) (*view, error) {
	d, err := p.opts.Runs.LoadRecent(r.Context(), r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	unit := journal.Unit{Step: r.PathValue("step"), Item: q.Get("item")}
	data := &stepData{Run: runs.WithStatus(d.Run), Unit: unit, State: d.State.Units[unit], Status: engine.StatusPending, Only: q.Get("status"), Page: 1}
	if data.State == nil {
		if _, _, err := d.Step(unit.Step); err != nil || unit.Item != "" {
			return nil, fmt.Errorf("%w: run %s has no step %s", errNoStep, d.Run.ID, unit)
		}
		data.State = &journal.UnitState{Unit: unit}
	} else {
		data.fill(d)
	}
	for o := range unit.Outer() {
		label := o.Step
		if o.Item != "" && d.State.Units[o] != nil {
			label = o.Step + " [" + short(30, runs.ItemLabel(d.State.Units[o])) + "]"
		}
		data.Outer = append(data.Outer, crumb{label, stepAddress(d.Run.ID, o)})
	}
	slices.Reverse(data.Outer)
	if data.Reuse, data.Before, err = p.reuse(r.Context(), d, data.State); err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil {
		data.Page = n
	}
	data.list(d)
	return &view{
		Page: "step", Title: unit.Step + " in " + runs.Name(d.Run), Nav: "runs", Run: d.Run.ID, Seq: d.State.LastSeq,
		Fragments: []string{"step-head", "step-inner", "step-turns", "step-output"}, Data: data,
	}, nil
}

// fill takes in what is known of the unit itself.
func (s *stepData) fill(d *runs.Detail) {
	u := s.State
	s.Label, s.Status = runs.ItemLabel(u), statusOf(d, u)
	s.Usage, s.Cost, s.Took = spent(u)
	for name, hash := range u.Started.Inputs {
		s.Inputs = append(s.Inputs, param{name, hash})
	}
	slices.SortFunc(s.Inputs, func(a, b param) int { return strings.Compare(a.Name, b.Name) })
	s.Output = cutOutput("", u.Output)
	if loop := d.Loop(s.Unit); loop != nil {
		s.Turns = loop.Turns
	}
}

// statusOf returns the status of a unit of a run.
func statusOf(d *runs.Detail, u *journal.UnitState) engine.Status {
	switch u.Type {
	case journal.StepFinished:
		return engine.StatusCompleted
	case journal.StepFailed:
		return engine.StatusFailed
	case journal.StepSkipped:
		return engine.StatusSkipped
	}
	if !d.Run.Owned() {
		if u.Type == journal.ApprovalAsked && u.Decision == nil && !d.Run.Status.Ended() {
			return engine.StatusWaiting
		}
		return engine.StatusInterrupted
	}
	if u.Type == journal.ApprovalAsked {
		return engine.StatusWaiting
	}
	return engine.StatusRunning
}

// spent returns the tokens of a unit, what it cost and how long it took.
func spent(u *journal.UnitState) (usage llm.Usage, cost *float64, took float64) {
	switch u.Type {
	case journal.StepFinished:
		usage, cost, took = u.Finished.Usage, u.Finished.CostUSD, u.Finished.DurationSeconds
		if w := u.Finished.Within; w != nil {
			usage, cost = w.Usage, w.CostUSD
		}
	case journal.StepFailed:
		usage, cost, took = u.Failed.Usage, u.Failed.CostUSD, u.Failed.DurationSeconds
		if w := u.Failed.Within; w != nil {
			usage, cost = w.Usage, w.CostUSD
		}
	}
	if took == 0 && !u.StartedAt.IsZero() {
		end := u.EndedAt
		if end.IsZero() {
			end = time.Now()
		}
		took = end.Sub(u.StartedAt).Seconds()
	}
	return usage, cost, took
}

// reuse says why a unit's answer was or was not one that was there already, and names
// the run before in which it was asked something else.
func (p *Pages) reuse(ctx context.Context, d *runs.Detail, u *journal.UnitState) (why []string, before string, err error) {
	switch u.Finished.Source {
	case llm.SourceCache:
		return []string{"The same was asked before: the answer is from the response cache."}, "", nil
	case llm.SourceCoalesced:
		return []string{"The same was asked at the same time: the answer of that call was taken."}, "", nil
	case llm.SourceJournal:
		return []string{"The result is that of an earlier run."}, "", nil
	case llm.SourceReplay:
		return []string{"The answer is from a recording."}, "", nil
	case llm.SourceLive:
	default:
		return nil, "", nil
	}
	was, err := p.runBefore(ctx, d)
	if err != nil || was == nil {
		return []string{"The model was called. There is no earlier run of this workflow to compare with."}, "", err
	}
	old := was.State.Unit(u.Step, u.Item)
	if old == nil || !old.Answered() {
		return []string{"The model was called: the run before has no answer of this step."}, was.Run.ID, nil
	}
	if changed := runs.DiffInputs(old.Started.Inputs, u.Started.Inputs); len(changed) > 0 {
		return append([]string{"The model was called: what is asked has changed since the run before."}, changed...), was.Run.ID, nil
	}
	return []string{"The model was called, and asked the same as in the run before: that answer was not in the cache, or was not to be used."}, was.Run.ID, nil
}

// runBefore returns the run of the same workflow that was started before a run; nil if
// there is none.
func (p *Pages) runBefore(ctx context.Context, d *runs.Detail) (*runs.Detail, error) {
	for run, err := range p.opts.Store.Runs(ctx, journal.Filter{Workflow: d.Run.Workflow, File: d.Run.File, Older: d.Run.ID, Limit: 1}) {
		if errors.Is(err, journal.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return p.opts.Runs.LoadRecent(ctx, run.ID)
	}
	return nil, nil
}

// list takes in a page of what is within the unit: its items, its iterations and its steps.
func (s *stepData) list(d *runs.Detail) {
	var rows []*journal.UnitState
	for _, u := range d.State.Order {
		if u.Unit == s.Unit || !s.directly(u.Unit) {
			continue
		}
		status := statusOf(d, u)
		s.Counts.add(status)
		if s.Only == "" || s.Only == string(status) {
			rows = append(rows, u)
		}
	}
	if n := s.expected(); n > s.Counts.Total {
		s.Counts.Total = n
	}
	s.Pages = max((len(rows)+innerPage-1)/innerPage, 1)
	s.Page = min(max(s.Page, 1), s.Pages)
	for _, u := range rows[(s.Page-1)*innerPage : min(s.Page*innerPage, len(rows))] {
		row := innerRow{Address: stepAddress(d.Run.ID, u.Unit), Status: statusOf(d, u), State: u}
		row.Usage, row.Cost, row.Took = spent(u)
		if row.Label = runs.ItemLabel(u); u.Item == s.Unit.Item {
			row.Label = strings.TrimPrefix(u.Step, s.Unit.Step+"/")
		}
		s.Inner = append(s.Inner, row)
	}
}

// expected returns how many items a foreach has, also those that have not started.
func (s *stepData) expected() int {
	if s.State.Expanded != nil {
		return s.State.Expanded.Items
	}
	return 0
}

// directly reports whether a unit is within the step, and within nothing else in it.
func (s *stepData) directly(u journal.Unit) bool {
	if u.Item != s.Unit.Item {
		inner, ok := strings.CutPrefix(u.Item, s.Unit.Item)
		if s.Unit.Item != "" && ok {
			inner, ok = strings.CutPrefix(inner, "/")
		}
		return ok && u.Step == s.Unit.Step && !strings.Contains(inner, "/")
	}
	rest, ok := strings.CutPrefix(u.Step, s.Unit.Step)
	return ok && len(rest) > 1 && (rest[0] == '/' || rest[0] == '@') && !strings.ContainsAny(rest[1:], "/@")
}
