package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// addRuns adds the operations that look at runs.
func (s *Server) addRuns(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "list-runs", Method: http.MethodGet, Path: "/api/v1/runs", Tags: []string{"runs"},
		Summary: "List runs, the latest first", Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity},
	}, s.listRuns)
	add(s, api, &huma.Operation{
		OperationID: "get-run", Method: http.MethodGet, Path: "/api/v1/runs/{run}", Tags: []string{"runs"},
		Summary: "Show a run with its steps", Errors: []int{http.StatusNotFound},
	}, s.getRun)
	add(s, api, &huma.Operation{
		OperationID: "get-record", Method: http.MethodGet, Path: "/api/v1/runs/{run}/record", Tags: []string{"runs"},
		Summary: "Show the row of a run and what it was started with, as its journal has them", Errors: []int{http.StatusNotFound},
	}, s.getRecord)
	add(s, api, &huma.Operation{
		OperationID: "remove-run", Method: http.MethodDelete, Path: "/api/v1/runs/{run}", Tags: []string{"runs"},
		Summary: "Forget a run that nothing drives, with its events and the outputs that no other run has", Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, s.removeRun)
	add(s, api, &huma.Operation{
		OperationID: "list-approvals", Method: http.MethodGet, Path: "/api/v1/runs/{run}/approvals", Tags: []string{"runs"},
		Summary: "List the approvals that a run waits for, in the order in which they were asked", Errors: []int{http.StatusNotFound},
	}, s.listApprovals)
	add(s, api, &huma.Operation{
		OperationID: "list-failures", Method: http.MethodGet, Path: "/api/v1/runs/{run}/failures", Tags: []string{"runs"},
		Summary: "List what failed in a run, with why", Errors: []int{http.StatusNotFound},
	}, s.listFailures)
	add(s, api, &huma.Operation{
		OperationID: "diff-runs", Method: http.MethodGet, Path: "/api/v1/runs/{run}/diff/{other}", Tags: []string{"runs"},
		Summary: "Compare two runs, step by step", Errors: []int{http.StatusNotFound},
	}, s.diffRuns)
}

// RunID names the run that an operation is about.
type RunID struct {
	Run string `path:"run" doc:"id of a run, or its first characters, or latest" example:"run_3fa9c2k7h2xq"`
}

// RunList is a page of runs.
type RunList struct {
	Runs []journal.Run `json:"runs"`
	Next string        `json:"next,omitempty" doc:"cursor of the next page; absent on the last one"`
}

type listRunsInput struct {
	Workflow string   `query:"workflow" doc:"only runs of the workflow with this name"`
	Status   []string `query:"status" enum:"running,waiting,completed,failed,interrupted,cancelled" doc:"only runs of these statuses; a run that crashed counts as what it did then"`
	Since    string   `query:"since" doc:"only runs started within this time" example:"7d"`

	Key    string    `query:"key" doc:"only runs that were started with the key of this name"`
	File   string    `query:"file" doc:"only runs of the workflow in this file, an absolute path on the server"`
	After  time.Time `query:"after" doc:"only runs started at this time or later"`
	Before time.Time `query:"before" doc:"only runs started before this time"`

	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor string `query:"cursor" doc:"next of the page before"`
}

type listRunsOutput struct{ Body RunList }

func (s *Server) listRuns(ctx context.Context, in *listRunsInput) (*listRunsOutput, error) {
	filter := journal.Filter{Workflow: in.Workflow, File: in.File, StartedBy: in.Key, After: in.After, Before: in.Before, Limit: in.Limit + 1, Older: in.Cursor}
	for _, status := range in.Status {
		filter.Statuses = append(filter.Statuses, journal.Status(status))
	}
	if in.Since != "" {
		d, err := config.ParseDuration(in.Since)
		if err != nil || d <= 0 {
			return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "since is not a duration such as 12h or 7d"}
		}
		if at := time.Now().Add(-d); at.After(filter.After) {
			filter.After = at
		}
	}
	out := &listRunsOutput{Body: RunList{Runs: []journal.Run{}}}
	for run, err := range s.store.Runs(ctx, filter) {
		if err != nil {
			return nil, err
		}
		if len(out.Body.Runs) == in.Limit {
			out.Body.Next = out.Body.Runs[in.Limit-1].ID
			break
		}
		out.Body.Runs = append(out.Body.Runs, runs.WithStatus(run))
	}
	return out, nil
}

type getRunInput struct {
	RunID
	IfNoneMatch string `header:"If-None-Match"`
}

type getRunOutput struct {
	Status       int
	ETag         string `header:"ETag" doc:"of a run that has ended"`
	CacheControl string `header:"Cache-Control"`
	Body         *runs.View
}

func (s *Server) getRun(ctx context.Context, in *getRunInput) (*getRunOutput, error) {
	run, err := runs.Find(ctx, s.store, in.Run)
	if err != nil {
		return nil, err
	}
	out := &getRunOutput{Status: http.StatusOK, CacheControl: "no-store", ETag: etag(&run)}
	if matches(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
		return out, nil
	}
	d, err := s.runs.LoadFound(ctx, run)
	if err != nil {
		return nil, err
	}
	out.Body = d.View()
	return out, nil
}

type recordOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         Record
}

// Record is a run as its journal begins it.
type Record struct {
	journal.Run
	Spec json.RawMessage `json:"spec" doc:"the workflow with its agents, the parameters and the settings of the run"`
}

func (s *Server) getRecord(ctx context.Context, in *RunID) (*recordOutput, error) {
	run, err := runs.Find(ctx, s.store, in.Run)
	if err != nil {
		return nil, err
	}
	return &recordOutput{CacheControl: "no-store", Body: Record{run, run.Spec}}, nil
}

func (s *Server) removeRun(ctx context.Context, in *RunID) (*struct{}, error) {
	run, err := runs.Find(ctx, s.store, in.Run)
	if err != nil {
		return nil, err
	}
	switch n, err := s.store.Remove(ctx, run.ID); {
	case err != nil:
		return nil, err
	case n == 0 && (run.Owner != nil || run.Owned()):
		return nil, runs.WrongState(&run, run.OwnedError())
	}
	return nil, nil
}

// etag returns the entity tag of a run that has ended: it changes when the run is
// resumed. It is empty for one that has not.
func etag(run *journal.Run) string {
	if run.FinishedAt.IsZero() || !run.Status.Ended() || run.Owner != nil {
		return ""
	}
	return `"` + run.ID + "-" + run.FinishedAt.UTC().Format("20060102150405.000000000") + `"`
}

// matches reports whether a header If-None-Match has an entity tag, which is not one if it
// is empty. A weak tag is the same as one that is not weak there.
func matches(header, tag string) bool {
	if tag == "" {
		return false
	}
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}

// Approval is an approval that a run waits for.
type Approval struct {
	Step string                   `json:"step" doc:"what to name in an answer"`
	Item string                   `json:"item,omitempty"`
	Ask  *journal.ApprovalRequest `json:"ask"`
}

type listApprovalsOutput struct {
	Body struct {
		Approvals []Approval `json:"approvals"`
	}
}

func (s *Server) listApprovals(ctx context.Context, in *RunID) (*listApprovalsOutput, error) {
	open, err := runs.Questions(ctx, s.store, in.Run)
	if err != nil {
		return nil, err
	}
	out := &listApprovalsOutput{}
	out.Body.Approvals = []Approval{}
	for _, u := range open {
		out.Body.Approvals = append(out.Body.Approvals, Approval{Step: u.String(), Item: u.Item, Ask: u.Asked})
	}
	return out, nil
}

type listFailuresOutput struct {
	Body struct {
		Failures []runs.Failure `json:"failures"`
	}
}

func (s *Server) listFailures(ctx context.Context, in *RunID) (*listFailuresOutput, error) {
	d, err := s.runs.Load(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	out := &listFailuresOutput{}
	out.Body.Failures = append([]runs.Failure{}, d.Failures()...)
	return out, nil
}

type diffInput struct {
	RunID
	Other string `path:"other" doc:"the run to compare with, as run"`
	Step  string `query:"step" doc:"only this step"`
}

type diffOutput struct {
	Body struct {
		Steps []runs.StepDiff `json:"steps"`
	}
}

func (s *Server) diffRuns(ctx context.Context, in *diffInput) (*diffOutput, error) {
	one, err := s.runs.Load(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	two, err := s.runs.Load(ctx, in.Other)
	if err != nil {
		return nil, err
	}
	out := &diffOutput{}
	out.Body.Steps = append([]runs.StepDiff{}, runs.Diff(one, two, in.Step)...)
	if in.Step != "" && len(out.Body.Steps) == 0 {
		return nil, &Problem{Status: http.StatusNotFound, Code: "not_found", Detail: fmt.Sprintf("neither run has a step %q that asked a model or a person", in.Step)}
	}
	return out, nil
}
