// Package webhookfeed finds the events for webhooks: the ends and the open questions of
// runs in the journal, and the budgets that the ledger says had no room left, whichever
// process worked on them.
package webhookfeed

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/webhook"
)

// page is how many things are looked at in one go.
const page = 200

// Feed finds events. It is safe for concurrent use if the stores are.
type Feed struct {
	Runs      journal.Store
	Notices   journal.Feed // of the same runs
	Budgets   Budgets
	PublicURL string // of the pages; empty leaves links to them out
}

// Budgets are the scopes that had no room left for a call, in the order in which they were
// written down.
type Budgets interface {
	After(ctx context.Context, after int64, limit int) ([]budget.Exceeded, error)
	Last(ctx context.Context) (int64, error)
	Close() error
}

// New returns the feed of a store of runs and of a ledger's exceeded budgets. Close it when
// done, which closes the latter.
func New(store journal.Store, budgets Budgets, publicURL string) (*Feed, error) {
	notices, ok := store.(journal.Feed)
	if !ok {
		return nil, errors.New("the store of runs does not list what happened in all runs")
	}
	return &Feed{Runs: store, Notices: notices, Budgets: budgets, PublicURL: publicURL}, nil
}

// Close closes the ledger.
func (f *Feed) Close() error { return f.Budgets.Close() }

// Now returns the marks of a webhook that is to get what happens from now on.
func (f *Feed) Now(ctx context.Context) (m webhook.Marks, err error) {
	if m.Runs, err = f.Notices.LastNotice(ctx); err != nil {
		return m, err
	}
	if m.Runs > 0 {
		m.RunsAt = time.Now().UTC()
	}
	m.Budgets, err = f.Budgets.Last(ctx)
	return m, err
}

// Next returns the events for a webhook after its marks, and the marks up to which that
// are all. There may be more if the marks differ.
func (f *Feed) Next(ctx context.Context, h *webhook.Hook) (to webhook.Marks, events []webhook.Event, err error) {
	to = h.Marks
	notices, err := f.notices(ctx, &to)
	if err != nil {
		return h.Marks, nil, err
	}
	for i := range notices {
		ev, err := f.ofRun(ctx, h, &notices[i].Event)
		if err != nil {
			return h.Marks, nil, err
		}
		if ev != nil {
			events = append(events, *ev)
		}
	}
	exceeded, err := f.exceeded(ctx, h, &to)
	if err != nil {
		return h.Marks, nil, err
	}
	for i := range exceeded {
		ev, err := f.ofBudget(ctx, h, &exceeded[i])
		if err != nil {
			return h.Marks, nil, err
		}
		events = append(events, *ev)
	}
	return to, events, nil
}

// notices returns the notices after marks, and moves these. In a file that has taken the
// place of another, such as a backup, numbers begin below the mark: those are new that
// are later than the last that was seen.
func (f *Feed) notices(ctx context.Context, m *webhook.Marks) ([]journal.Notice, error) {
	last, err := f.Notices.LastNotice(ctx)
	if err != nil || last == m.Runs {
		return nil, err
	}
	replaced, since := last < m.Runs, m.RunsAt
	if replaced {
		m.Runs = 0
	}
	for {
		list, err := f.Notices.Notices(ctx, m.Runs, page)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			m.Runs = max(m.Runs, last) // what is missing was removed
			return nil, nil
		}
		m.Runs = list[len(list)-1].N
		for i := 0; replaced && i < len(list); {
			if list[i].Event.Time.After(since) {
				i++
			} else {
				list = append(list[:i], list[i+1:]...)
			}
		}
		for i := range list {
			if at := list[i].Event.Time; at.After(m.RunsAt) {
				m.RunsAt = at
			}
		}
		if len(list) > 0 {
			return list, nil
		}
	}
}

// ofRun returns the event of something that happened in a run; nil if it is none for the
// webhook, or is over.
func (f *Feed) ofRun(ctx context.Context, h *webhook.Hook, ev *journal.Event) (*webhook.Event, error) {
	typ := webhook.RunFinished
	if ev.Type == journal.ApprovalAsked {
		typ = webhook.ApprovalWanted
	}
	if !h.Wants(typ) {
		return nil, nil
	}
	run, err := f.Runs.Find(ctx, ev.Run)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, journal.ErrNotFound):
		return nil, nil
	case err != nil: // it is damaged: the rest of the events is not to suffer
		run = journal.Run{ID: ev.Run}
	}
	var data any
	subject := ev.Run
	if typ == webhook.RunFinished {
		data = f.finished(&run, ev)
	} else {
		data, err = f.wanted(ctx, &run, ev)
		subject += " " + caller(ev).Step
	}
	if data == nil || err != nil {
		return nil, err
	}
	body, err := webhook.Body(typ, ev.Time, data)
	if err != nil {
		return nil, err
	}
	return &webhook.Event{ID: webhook.EventID(h, typ, eventKey(ev)), Type: typ, Subject: subject, Body: body}, nil
}

// eventKey names an event among those of all runs. The time tells a run from one that had
// its id before it was removed.
func eventKey(ev *journal.Event) string {
	return ev.Run + " " + strconv.FormatInt(ev.Seq, 10) + " " + ev.Time.UTC().Format(time.RFC3339Nano)
}

// finished returns the data of a run that has ended; nil if it was interrupted, and can be
// resumed.
func (f *Feed) finished(run *journal.Run, ev *journal.Event) any {
	var end journal.RunEnd
	if ev.Decode(&end) != nil || end.Status == journal.StatusInterrupted {
		return nil
	}
	project, simulated := specOf(run)
	return &webhook.RunData{
		RunID: run.ID, Workflow: run.Workflow, Project: project, Simulated: simulated, Status: string(end.Status), CostUSD: run.CostUSD, Tokens: run.Tokens, Steps: run.Steps,
		StartedAt: run.StartedAt, FinishedAt: ev.Time, URL: f.page("/runs/" + url.PathEscape(run.ID)),
	}
}

// wanted returns the data of a question; nil if it needs no answer any more.
func (f *Feed) wanted(ctx context.Context, run *journal.Run, ev *journal.Event) (any, error) {
	if run.Status.Ended() && run.Status != journal.StatusInterrupted {
		return nil, nil
	}
	var asked journal.ApprovalRequest
	if ev.Decode(&asked) != nil || !asked.Deadline.IsZero() && asked.Deadline.Before(time.Now()) {
		return nil, nil
	}
	signals, err := f.Runs.Signals(ctx, ev.Run, ev.Seq)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return nil, err
	}
	for i := range signals {
		if s := &signals[i]; s.Type == journal.ApprovalGiven && s.Step == ev.Step && s.Item == ev.Item {
			return nil, nil
		}
	}
	project, simulated := specOf(run)
	data := &webhook.ApprovalData{
		RunID: run.ID, Workflow: run.Workflow, Project: project, Simulated: simulated, Step: caller(ev).Step, Deadline: asked.Deadline, CostUSD: run.CostUSD,
		URL: f.page("/runs/" + url.PathEscape(run.ID)), Page: f.page("/approvals"),
	}
	if asked.Call != nil {
		data.Tool = asked.Call.Tool
	}
	return data, nil
}

// caller returns the step that asks, or whose agent calls a tool.
func caller(ev *journal.Event) journal.Unit {
	u, _ := journal.Unit{Step: ev.Step, Item: ev.Item}.Caller()
	return u
}

// specOf returns what a run was started with, as far as it can be read: the name of the
// folder of its project, and whether models are simulated.
func specOf(run *journal.Run) (project string, simulated bool) {
	spec, err := runs.ReadSpec(*run)
	if err != nil || spec.Dir == "" {
		return "", false
	}
	return filepath.Base(spec.Dir), spec.Simulated
}

// page returns the address of a page; empty if that of the server is not known.
func (f *Feed) page(path string) string {
	if f.PublicURL == "" {
		return ""
	}
	return strings.TrimSuffix(f.PublicURL, "/") + path
}

// exceeded returns the budgets that had no room left after marks, and moves these.
func (f *Feed) exceeded(ctx context.Context, h *webhook.Hook, m *webhook.Marks) ([]budget.Exceeded, error) {
	last, err := f.Budgets.Last(ctx)
	if err != nil || last == m.Budgets {
		return nil, err
	}
	since := time.Time{}
	if last < m.Budgets { // another ledger has taken the place of the one before
		m.Budgets, since = 0, h.Created
	}
	list, err := f.Budgets.After(ctx, m.Budgets, page)
	if err != nil {
		return nil, err
	}
	if len(list) < page {
		m.Budgets = last // what is missing was forgotten
	}
	var found []budget.Exceeded
	for _, e := range list {
		m.Budgets = max(m.Budgets, e.N)
		if h.Wants(webhook.BudgetReached) && !e.At.Before(since) {
			found = append(found, e)
		}
	}
	return found, nil
}

// ofBudget returns the event of a budget that had no room left.
func (f *Feed) ofBudget(ctx context.Context, h *webhook.Hook, e *budget.Exceeded) (*webhook.Event, error) {
	data := webhook.BudgetData{Level: string(e.Level), Name: e.Name, Unit: string(e.Kind), Limit: float64(e.Limit), Spent: float64(e.Spent), URL: f.page("/limits")}
	if e.Kind == budget.Dollars {
		data.Limit, data.Spent = llm.Money(e.Limit).USD(), llm.Money(e.Spent).USD()
	}
	for _, between := range []string{" from ", " on "} { // as budgets of keys and agents are named
		if i := strings.LastIndex(e.Name, between); i >= 0 && e.Level != budget.Run && e.Level != budget.Step {
			data.Name, data.Period = e.Name[:i], e.Name[i+len(between):]
		}
	}
	switch e.Level {
	case budget.Day:
		data.Name, data.Period = "", e.Name
	case budget.Run:
		run, err := f.Runs.Find(ctx, e.Name)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil && run.ID == e.Name { // else it is no budget of a workflow's run
			data.RunID, data.URL = run.ID, f.page("/runs/"+url.PathEscape(run.ID))
		}
	}
	body, err := webhook.Body(webhook.BudgetReached, e.At, data)
	if err != nil {
		return nil, err
	}
	subject := string(e.Level) + " " + e.Name
	return &webhook.Event{ID: webhook.EventID(h, webhook.BudgetReached, subject), Type: webhook.BudgetReached, Subject: subject, Body: body}, nil
}
