package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// ErrDrives says that a client cannot do what a process that drives a run does.
var ErrDrives = fault.New(fault.KindInput, "runs are driven by the server")

// History is the store of runs of a server, as its API gives it: what reads a store on
// this machine reads it as well. It answers approvals and asks runs to stop, and creates
// and drives none: the errors of Create and Acquire are [ErrDrives].
type History struct{ client *Client }

// History returns the server's store of runs.
func (c *Client) History() *History { return &History{c} }

var _ journal.Store = (*History)(nil)

// Create returns [ErrDrives].
func (h *History) Create(context.Context, journal.Run) (journal.Log, error) { return nil, ErrDrives }

// Acquire returns [ErrDrives].
func (h *History) Acquire(context.Context, string) (journal.Log, error) { return nil, ErrDrives }

// Close does nothing.
func (h *History) Close() error { return nil }

// Find implements [journal.Store].
func (h *History) Find(ctx context.Context, id string) (journal.Run, error) {
	var record struct {
		journal.Run
		Spec json.RawMessage `json:"spec"`
	}
	switch err := h.client.read(ctx, &record, http.MethodGet, runPath(id)+"/record", nil, nil); {
	case fault.Has(err, fault.KindNotFound):
		return journal.Run{}, journal.ErrNotFound
	case err != nil:
		return journal.Run{}, within(err, "finding run "+id+": ")
	}
	record.Run.Spec = record.Spec
	return record.Run, nil
}

// Runs implements [journal.Store].
func (h *History) Runs(ctx context.Context, f journal.Filter) iter.Seq2[journal.Run, error] {
	query := url.Values{}
	for name, value := range map[string]string{"workflow": f.Workflow, "file": f.File, "key": f.StartedBy, "cursor": f.Older} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"after": f.After, "before": f.Before} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return h.client.runs(ctx, query, f.Statuses, f.Limit)
}

// Events implements [journal.Store].
func (h *History) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	return h.client.Events(ctx, id, after)
}

// Outline implements [journal.Store].
func (h *History) Outline(ctx context.Context, id string) iter.Seq2[journal.Event, error] {
	return h.client.events(ctx, id, 0, url.Values{"outline": {"true"}})
}

// Cancel calls [Client.Cancel].
func (h *History) Cancel(ctx context.Context, id string) (signaled bool, err error) {
	return h.client.Cancel(ctx, id)
}

// Signals implements [journal.Store].
func (h *History) Signals(ctx context.Context, id string, after int64) ([]journal.Event, error) {
	var signals []journal.Event
	for ev, err := range h.Events(ctx, id, after) {
		if err != nil {
			return nil, err
		}
		if ev.Type == journal.ApprovalGiven || ev.Type == journal.CancelAsked {
			signals = append(signals, ev)
		}
	}
	return signals, nil
}

// Signal implements [journal.Store].
func (h *History) Signal(ctx context.Context, ev journal.Event) error {
	switch ev.Type {
	case journal.CancelAsked:
		_, err := h.client.Cancel(ctx, ev.Run)
		return err
	case journal.ApprovalGiven:
		var d journal.Decision
		if err := ev.Decode(&d); err != nil {
			return err
		}
		_, err := h.client.Approve(ctx, ev.Run, Answer{
			Step: journal.Unit{Step: ev.Step, Item: ev.Item}.String(), Approved: d.Approved, Value: d.Value, Comment: d.Comment, By: d.By, Question: d.Question,
		})
		return within(err, "answering run "+ev.Run+": ")
	}
	return fmt.Errorf("%w: an event %q is not for clients", ErrDrives, ev.Type)
}

// within returns the error of a server without what its caller says as well.
func within(err error, prefix string) error {
	if p, ok := errors.AsType[*Error](err); ok {
		p.Detail = strings.TrimPrefix(p.Detail, prefix)
	}
	return err
}

// Remove implements [journal.Store].
func (h *History) Remove(ctx context.Context, ids ...string) (int, error) {
	removed := 0
	for _, id := range ids {
		res, err := h.client.send(ctx, http.MethodDelete, runPath(id), nil, nil)
		switch {
		case err == nil:
			removed++
			if err := res.Body.Close(); err != nil {
				return removed, err
			}
		case !fault.Has(err, fault.KindConflict) && !fault.Has(err, fault.KindNotFound): // those with an owner are kept
			return removed, err
		}
	}
	return removed, nil
}

// Watch follows a run as [runs.Watch] does a run of a store on this machine.
func (h *History) Watch(ctx context.Context, id string) iter.Seq2[runs.Change, error] {
	return func(yield func(runs.Change, error) bool) {
		for change, err := range h.client.Follow(ctx, id, 0) {
			if err != nil && errors.Is(err, ctx.Err()) {
				return
			}
			if !yield(change, err) {
				return
			}
		}
	}
}

// runs yields the runs that a query is for, at most so many; 0 is for all.
func (c *Client) runs(ctx context.Context, query url.Values, statuses []journal.Status, limit int) iter.Seq2[journal.Run, error] {
	const page = 200
	return func(yield func(journal.Run, error) bool) {
		if len(statuses) > 0 {
			texts := make([]string, len(statuses))
			for i, s := range statuses {
				texts[i] = string(s)
			}
			query.Set("status", strings.Join(texts, ","))
		}
		for n := 0; ; {
			query.Set("limit", strconv.Itoa(page))
			if limit > 0 {
				query.Set("limit", strconv.Itoa(min(page, limit-n)))
			}
			var list struct {
				Runs []journal.Run `json:"runs"`
				Next string        `json:"next"`
			}
			if err := c.read(ctx, &list, http.MethodGet, "/runs", query, nil); err != nil {
				yield(journal.Run{}, err)
				return
			}
			for _, run := range list.Runs {
				if n++; !yield(run, nil) || n == limit {
					return
				}
			}
			if list.Next == "" {
				return
			}
			query.Set("cursor", list.Next)
		}
	}
}

// events yields the events of a run with a higher sequence number that a query is for.
func (c *Client) events(ctx context.Context, id string, after int64, query url.Values) iter.Seq2[journal.Event, error] {
	return func(yield func(journal.Event, error) bool) {
		for {
			var page struct {
				Events []journal.Event `json:"events"`
				Next   int64           `json:"next"`
			}
			query.Set("after", strconv.FormatInt(after, 10))
			query.Set("limit", "1000")
			if err := c.read(ctx, &page, http.MethodGet, runPath(id)+"/events", query, nil); err != nil {
				yield(journal.Event{}, err)
				return
			}
			for _, ev := range page.Events {
				if !yield(ev, nil) {
					return
				}
			}
			if page.Next == 0 {
				return
			}
			after = page.Next
		}
	}
}
