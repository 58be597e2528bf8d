package web

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// maxShown is how many characters of an output a page shows.
const maxShown = 40_000

// eventsShown is how many events a page shows.
const eventsShown = 100

// tab is a part of the page of a run.
type tab struct{ Name, Label string }

// runTabs are the parts of the page of a run, in order.
var runTabs = []tab{{"steps", "Steps"}, {"graph", "Graph"}, {"timeline", "Timeline"}, {"output", "Output"}, {"events", "Events"}, {"diff", "Diff"}}

// runData is a run.
type runData struct {
	Run         journal.Run // its status may be crashed
	Speedup     float64
	Saved       int // steps whose answers were free
	Elapsed     float64
	Error       string
	Cap         *float64 // most dollars that it may cost; nil for none
	ETA         float64  // seconds left, as planned; 0 if that is not known
	Counts      counts   // of the workflow's own steps
	Units       counts   // of all that is called, asked or run
	Failures    []runs.Failure
	Retries     []retry // units that wait for their next attempt
	MoreRetries int     // that are not in the list
	Params      []param
	Tabs        []tab
	Tab         string

	CanStop, CanResume bool

	Questions []*question

	Steps    []stepRow
	Graph    template.HTML
	Timeline *timeline
	Outputs  []output
	Events   *eventPage
	Diff     *runDiff
}

// param is a parameter of a run with its value.
type param struct{ Name, Value string }

// stepRow is a step of a run in a list.
type stepRow struct {
	Path   string
	ID     string
	Depth  int
	Does   string // what it does, in a few words
	Result *engine.StepResult
	Items  *counts            // of a foreach
	State  *journal.UnitState // nil if nothing is known of it
}

// output is a text that a run has given.
type output struct {
	Step  string // empty for the run's own
	Text  string
	Chars int // that are not shown
}

// eventPage are events of a run.
type eventPage struct {
	Events []journal.Event
	Newer  bool  // there are later ones
	Next   int64 // value of before for the next page; 0 on the last one
}

func (p *Pages) run(r *http.Request) (*view, error) {
	d, err := p.opts.Runs.LoadRecent(r.Context(), r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	data := p.runData(d)
	if asks(d) {
		if data.Questions, err = p.questions(r.Context(), d.Run, runAddress(d.Run.ID)); err != nil {
			return nil, err
		}
	}
	data.Tabs, data.Tab = runTabs, q.Get("tab")
	if !slices.ContainsFunc(runTabs, func(t tab) bool { return t.Name == data.Tab }) {
		data.Tab = runTabs[0].Name
	}
	v := &view{
		Page: "run", Title: runs.Name(d.Run) + " " + d.Run.ID, Nav: "runs", Run: d.Run.ID, Seq: d.State.LastSeq,
		Fragments: []string{"run-head", "run-questions", "run-failures", "run-retries"}, Data: data,
	}
	switch data.Tab {
	case "graph":
		if len(d.Workflow.Steps) <= maxBoxes || q.Get("draw") != "" {
			data.Graph = graph(d)
		}
		v.Fragments = append(v.Fragments, "run-graph")
	case "timeline":
		data.Timeline = drawTimeline(d, q.Get("idle") == "show")
		v.Fragments = append(v.Fragments, "run-timeline")
	case "output":
		data.Outputs = outputs(d)
		v.Fragments = append(v.Fragments, "run-output")
	case "events":
		before, err := strconv.ParseInt(q.Get("before"), 10, 64)
		if err != nil {
			before = 0
		}
		if data.Events, err = p.events(r, d, before); err != nil {
			return nil, err
		}
		v.Fragments = append(v.Fragments, "run-events")
	case "diff":
		if data.Diff, err = p.diff(r, d); err != nil {
			return nil, err
		}
	default:
		data.Steps = stepRows(d, d.Workflow, journal.Unit{}, d.Result.Steps, 0)
		v.Fragments = append(v.Fragments, "run-steps")
	}
	return v, nil
}

// runData returns what every part of the page of a run shows.
func (p *Pages) runData(d *runs.Detail) *runData {
	status := runs.StatusOf(d.Run)
	data := &runData{Run: runs.WithStatus(d.Run), Speedup: d.Speedup(), Elapsed: d.Result.TotalTimeSeconds, Failures: d.Failures()}
	owned := d.Run.Owned()
	if owned {
		data.Elapsed = time.Since(d.Run.StartedAt).Seconds()
	}
	if d.Result.Error != nil {
		data.Error = *d.Result.Error
	}
	if data.Cap = d.Spec.Budget.USD; data.Cap == nil && d.Workflow.Budget != nil {
		data.Cap = d.Workflow.Budget.USD
	}
	if d.Spec.Plan != nil && owned {
		data.ETA = max(d.Spec.Plan.Seconds.Expected-data.Elapsed, 0)
	}
	for _, s := range d.Workflow.Steps {
		data.Counts.add(d.Result.Steps[s.ID].Status)
	}
	countUnits(&data.Units, &data.Saved, d.Result.Steps)
	data.Retries, data.MoreRetries = retries(d)
	for name, value := range d.Spec.Params {
		data.Params = append(data.Params, param{name, value})
	}
	slices.SortFunc(data.Params, func(a, b param) int { return strings.Compare(a.Name, b.Name) })
	data.CanStop = !status.Ended() || status == runs.StatusCrashed || status == journal.StatusInterrupted
	data.CanResume = !owned && status != journal.StatusCompleted && (d.Result.Exited == nil || d.State.Ended == nil)
	return data
}

// retry is a unit that waits for its next attempt.
type retry struct {
	*journal.UnitState
	Label string // of the item, for people
}

// maxRetries is how many units that wait for their next attempt are listed.
const maxRetries = 10

// retries returns the units of a run in progress that wait for their next attempt, and
// how many more there are.
func retries(d *runs.Detail) (list []retry, more int) {
	if !d.Run.Owned() {
		return nil, 0
	}
	for _, u := range d.State.Order {
		if !u.Retries() {
			continue
		}
		if len(list) == maxRetries {
			more++
			continue
		}
		list = append(list, retry{u, runs.ItemLabel(u)})
	}
	return list, more
}

// asks reports whether a run may have a question that no one has answered.
func asks(d *runs.Detail) bool {
	if d.Run.Status == journal.StatusCompleted || d.Run.Status == journal.StatusCancelled {
		return false
	}
	return slices.ContainsFunc(d.State.Order, func(u *journal.UnitState) bool {
		return u.Type == journal.ApprovalAsked && u.Decision == nil
	})
}

// countUnits counts what steps and the items and steps within them came to, and how many
// answers were free.
func countUnits(c *counts, free *int, steps map[string]*engine.StepResult) {
	one := func(res *engine.StepResult) {
		if len(res.Items)+len(res.Steps) > 0 {
			return
		}
		c.add(res.Status)
		switch res.Source {
		case "cache", "coalesced", "journal":
			*free++
		}
	}
	for _, res := range steps {
		one(res)
		countUnits(c, free, res.Steps)
		for _, item := range res.Items {
			one(item.StepResult)
			countUnits(c, free, item.Steps)
		}
	}
}

// stepRows returns the steps of a workflow in the order of its file, each with those
// within it. Items of a foreach are counted, not listed.
func stepRows(d *runs.Detail, wf *workflow.Workflow, outer journal.Unit, results map[string]*engine.StepResult, depth int) []stepRow {
	var rows []stepRow
	for _, s := range wf.Steps {
		res := results[s.ID]
		if res == nil {
			continue
		}
		unit := outer.Inner(s.ID)
		row := stepRow{Path: unit.Step, ID: s.ID, Depth: depth, Does: s.Summary(), Result: res, State: d.State.Units[unit]}
		if s.Foreach != nil {
			row.Items = &counts{}
			for _, item := range res.Items {
				row.Items.add(item.Status)
			}
		}
		rows = append(rows, row)
		if s.Body != nil && s.Foreach == nil && len(res.Steps) > 0 {
			rows = append(rows, stepRows(d, s.Body, unit, res.Steps, depth+1)...)
		}
	}
	return rows
}

// outputs returns the outputs of a run: its own, else those of its last steps.
func outputs(d *runs.Detail) []output {
	if runs.OutputAlone(d.Workflow, d.Result) {
		return []output{cutOutput("", d.Result.Output)}
	}
	var list []output
	for _, id := range runs.LastSteps(d.Workflow, d.Result) {
		list = append(list, cutOutput(id, d.Result.Steps[id].Output))
	}
	return list
}

func cutOutput(step, text string) output {
	if r := []rune(text); len(r) > maxShown {
		return output{step, string(r[:maxShown]), len(r) - maxShown}
	}
	return output{step, text, 0}
}

// events returns the last events of a run before a sequence number, the latest first; 0
// is after the last.
func (p *Pages) events(r *http.Request, d *runs.Detail, before int64) (*eventPage, error) {
	page := &eventPage{Newer: before > 0}
	if before <= 0 {
		before = d.State.LastSeq + 1
	}
	for ev, err := range p.opts.Store.Events(r.Context(), d.Run.ID, max(before-eventsShown-1, 0)) {
		if err != nil {
			return nil, err
		}
		if ev.Seq >= before {
			break
		}
		page.Events = append(page.Events, ev)
	}
	slices.Reverse(page.Events)
	if n := len(page.Events); n > 0 && page.Events[n-1].Seq > 1 {
		page.Next = page.Events[n-1].Seq
	}
	return page, nil
}

func (p *Pages) cancel(r *http.Request) (string, error) {
	id := r.PathValue("run")
	return runAddress(id), p.opts.Cancel(r.Context(), id)
}

func (p *Pages) resume(r *http.Request) (string, error) {
	id := r.PathValue("run")
	return runAddress(id), p.opts.Resume(r.Context(), id, r.PostFormValue("accept") != "")
}

// runAddress returns the address of the page of a run.
func runAddress(id string) string { return "/runs/" + url.PathEscape(id) }
