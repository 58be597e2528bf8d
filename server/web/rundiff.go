package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// maxOthers is how many runs of the same workflow there are to choose from.
const maxOthers = 20

// runDiff is how a run differs from another, step by step.
type runDiff struct {
	With   string        // id of the other; empty before one is chosen
	Others []journal.Run // of the same workflow, the latest first
	comparedSteps
}

// diff compares a run with the one that the reader has chosen, if any.
func (p *Pages) diff(r *http.Request, d *runs.Detail) (*runDiff, error) {
	diff := &runDiff{}
	filter := journal.Filter{Workflow: d.Run.Workflow, Limit: maxOthers + 1}
	if filter.Workflow == "" {
		filter.File = d.Run.File
	}
	if filter.Workflow != "" || filter.File != "" {
		list, err := p.list(r.Context(), filter)
		if err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(run journal.Run) bool { return run.ID == d.Run.ID })
		diff.Others = list[:min(len(list), maxOthers)]
	}
	with := strings.TrimSpace(r.URL.Query().Get("with"))
	if with == "" {
		return diff, nil
	}
	other, err := p.opts.Runs.LoadRecent(r.Context(), with)
	if err != nil {
		return nil, err
	}
	diff.With, diff.comparedSteps = other.Run.ID, compareSteps(d, other)
	return diff, nil
}
