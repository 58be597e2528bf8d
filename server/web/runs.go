package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

const (
	// pageSize is how many rows a list shows at once.
	pageSize = 50

	// maxSearched is in how many runs a page looks for a text. The next page looks on.
	maxSearched = 5000

	// maxCounted is how many of the latest runs are counted by state.
	maxCounted = 1000
)

// statuses are those that runs can be filtered by.
var statuses = []string{"running", "waiting", "completed", "failed", "interrupted", "cancelled"}

// sinces are the times that runs can be filtered by.
var sinces = []struct{ Value, Label string }{{"", "any time"}, {"1h", "the last hour"}, {"24h", "the last day"}, {"7d", "the last 7 days"}, {"30d", "the last 30 days"}}

// runsData is a page of the list of runs.
type runsData struct {
	Runs     []journal.Run
	Next     string // cursor of the next page; empty on the last one
	Searched int    // runs that were looked at, if the search ended before the list; else 0
	Cursor   string
	Query    string
	Workflow string
	Key      string // name of the key that runs were started with
	Status   string
	Since    string
	Chips    []statusChip
	Sinces   any
}

// statusChip is a status with how many runs have it.
type statusChip struct {
	Status string // empty for all
	Count  string
}

func (p *Pages) runs(r *http.Request) (*view, error) {
	q := r.URL.Query()
	data := &runsData{
		Query: strings.TrimSpace(q.Get("q")), Workflow: q.Get("workflow"), Key: q.Get("key"), Status: q.Get("status"), Since: q.Get("since"), Cursor: q.Get("cursor"), Sinces: sinces,
	}
	filter := journal.Filter{Workflow: data.Workflow, StartedBy: data.Key}
	if data.Since != "" {
		d, err := config.ParseDuration(data.Since)
		if err != nil || d <= 0 {
			return nil, fault.Input(fmt.Errorf("%q is no duration such as 12h or 7d", data.Since))
		}
		filter.After = time.Now().Add(-d)
	}
	if data.Status != "" && !slices.Contains(statuses, data.Status) {
		return nil, fault.Input(fmt.Errorf("%q is no status of a run", data.Status))
	}
	if err := p.countRuns(r.Context(), data, filter); err != nil {
		return nil, err
	}
	if data.Status != "" {
		filter.Statuses = []journal.Status{journal.Status(data.Status)}
	}
	if err := p.listRuns(r.Context(), data, filter); err != nil {
		return nil, err
	}
	return &view{Page: "runs", Title: "Runs", Nav: "runs", Fragments: []string{"runs-states", "runs-list"}, Data: data}, nil
}

// finds reports whether a run has a text in its name, its id or the path of its file.
func finds(run *journal.Run, text string) bool {
	for _, of := range []string{run.Workflow, run.ID, run.File} {
		if strings.Contains(strings.ToLower(of), strings.ToLower(text)) {
			return true
		}
	}
	return false
}

// listRuns fills in a page of the runs that fit.
func (p *Pages) listRuns(ctx context.Context, data *runsData, filter journal.Filter) error {
	filter.Older, filter.Limit = data.Cursor, pageSize+1
	if data.Query != "" {
		filter.Limit = maxSearched
	}
	searched, last := 0, ""
	for run, err := range p.opts.Store.Runs(ctx, filter) {
		if err != nil {
			return err
		}
		searched, last = searched+1, run.ID
		if !finds(&run, data.Query) {
			continue
		}
		if len(data.Runs) == pageSize {
			data.Next = data.Runs[pageSize-1].ID
			return nil
		}
		data.Runs = append(data.Runs, runs.WithStatus(run))
	}
	if data.Query != "" && searched == maxSearched {
		data.Next, data.Searched = last, searched
	}
	return nil
}

// countRuns fills in how many runs have each status, of those that fit whatever theirs.
func (p *Pages) countRuns(ctx context.Context, data *runsData, filter journal.Filter) error {
	filter.Limit = maxCounted + 1
	counted, all, more := map[string]int{}, 0, ""
	looked := 0
	for run, err := range p.opts.Store.Runs(ctx, filter) {
		if err != nil {
			return err
		}
		if looked == maxCounted {
			more = "+"
			break
		}
		looked++
		if finds(&run, data.Query) {
			counted[string(run.Status)]++
			all++
		}
	}
	data.Chips = append(data.Chips, statusChip{"", amount.Thousands(all) + more})
	for _, status := range statuses {
		if counted[status] > 0 || status == data.Status {
			data.Chips = append(data.Chips, statusChip{status, amount.Thousands(counted[status]) + more})
		}
	}
	return nil
}
