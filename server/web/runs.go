package web

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// pageSize is how many rows a list shows at once.
const pageSize = 50

// statuses are those that runs can be filtered by.
var statuses = []string{"running", "waiting", "completed", "failed", "interrupted", "cancelled"}

// sinces are the times that runs can be filtered by.
var sinces = []struct{ Value, Label string }{{"", "any time"}, {"1h", "the last hour"}, {"24h", "the last day"}, {"7d", "the last 7 days"}, {"30d", "the last 30 days"}}

// runsData is a page of the list of runs.
type runsData struct {
	Runs     []journal.Run
	Next     string // cursor of the next page; empty on the last one
	Cursor   string
	Workflow string
	Status   string
	Since    string
	Statuses []string
	Sinces   any
}

func (p *Pages) runs(r *http.Request) (*view, error) {
	q := r.URL.Query()
	data := &runsData{
		Workflow: q.Get("workflow"), Status: q.Get("status"), Since: q.Get("since"), Cursor: q.Get("cursor"),
		Statuses: statuses, Sinces: sinces,
	}
	filter := journal.Filter{Workflow: data.Workflow, Older: data.Cursor, Limit: pageSize + 1}
	if data.Status != "" {
		if !slices.Contains(statuses, data.Status) {
			return nil, fault.Input(fmt.Errorf("%q is no status of a run", data.Status))
		}
		filter.Statuses = []journal.Status{journal.Status(data.Status)}
	}
	if data.Since != "" {
		d, err := config.ParseDuration(data.Since)
		if err != nil || d <= 0 {
			return nil, fault.Input(fmt.Errorf("%q is no duration such as 12h or 7d", data.Since))
		}
		filter.After = time.Now().Add(-d)
	}
	for run, err := range p.opts.Store.Runs(r.Context(), filter) {
		if err != nil {
			return nil, err
		}
		if len(data.Runs) == pageSize {
			data.Next = data.Runs[pageSize-1].ID
			break
		}
		data.Runs = append(data.Runs, runs.WithStatus(run))
	}
	return &view{Page: "runs", Title: "Runs", Nav: "runs", Fragments: []string{"runs-list"}, Data: data}, nil
}
