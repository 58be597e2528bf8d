package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/server/proxy"
	"github.com/claude-force/claude-force/workflow"
)

// Problem is an error as RFC 9457 describes it.
type Problem struct {
	Type   string         `json:"type" doc:"URI of the kind of error, from its code" example:"urn:claude-force:problem:not_found"`
	Title  string         `json:"title" doc:"the status in words"`
	Status int            `json:"status" doc:"the HTTP status"`
	Code   string         `json:"code" doc:"the kind of error, for programs" example:"not_found"`
	Detail string         `json:"detail" doc:"what is wrong, and what to do"`
	State  string         `json:"state,omitempty" doc:"status of the run, if that does not allow what was asked of it (409)"`
	Errors []ProblemError `json:"errors,omitempty" doc:"what is wrong with parts of the request or of a file"`
}

// ProblemError is one of several things that are wrong.
type ProblemError struct {
	Message string `json:"message"`
	Pointer string `json:"pointer,omitempty" doc:"where in the request, such as body.params"`
	File    string `json:"file,omitempty" doc:"the file that it is in"`
	Line    int    `json:"line,omitempty" doc:"from 1"`
	Column  int    `json:"column,omitempty" doc:"from 1"`
}

func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status, for huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the media type of problems, for huma.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// complete fills in what follows from the rest.
func (p *Problem) complete() *Problem {
	p.Title = http.StatusText(p.Status)
	p.Type = "urn:claude-force:problem:" + p.Code
	return p
}

// statuses lists the statuses of errors by kind; the first that an error has decides.
var statuses = []struct {
	kind   fault.Kind
	status int
	code   string
}{
	{fault.KindNotFound, http.StatusNotFound, "not_found"},
	{fault.KindConflict, http.StatusConflict, "conflict"},
	{fault.KindBudget, http.StatusPaymentRequired, "budget"},
	{fault.KindInput, http.StatusUnprocessableEntity, "input"},
	{fault.KindInterrupted, http.StatusServiceUnavailable, "interrupted"},
	{fault.KindOutdated, http.StatusServiceUnavailable, "outdated"}, // another server of the store may be newer
}

// Problem returns the error of an operation as it is shown to the caller. One that is
// the server's own fault goes to its log.
func (s *Server) Problem(operation string, err error) *Problem {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		s.log.Error("operation failed", "operation", operation, "err", err)
	}
	return p
}

// problemOf returns an error as a problem. Only errors that say what the caller did
// wrong are shown in full: others may name what is the server's own.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.complete()
	}
	for _, s := range statuses {
		if !fault.Has(err, s.kind) {
			continue
		}
		p := &Problem{Status: s.status, Code: s.code, Detail: err.Error()}
		if state, ok := errors.AsType[*runs.StateError](err); ok {
			p.State = string(state.Status)
		}
		if list, ok := errors.AsType[workflow.Errors](err); ok {
			for _, e := range list {
				p.Errors = append(p.Errors, ProblemError{Message: e.Message, File: e.File, Line: e.Line, Column: e.Column})
			}
		}
		return p.complete()
	}
	if errors.Is(err, journal.ErrNotFound) {
		return (&Problem{Status: http.StatusNotFound, Code: "not_found", Detail: err.Error()}).complete()
	}
	return (&Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "the server failed; its log says why"}).complete()
}

// asProblem turns the errors that huma finds in requests into problems.
func asProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &Problem{Status: m.Status, Code: "request", Detail: m.Detail}
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, ProblemError{Message: e.Message, Pointer: e.Location})
	}
	if len(p.Errors) > 0 {
		p.Detail += ": " + strings.TrimSpace(p.Errors[0].Pointer+" "+p.Errors[0].Message)
	}
	return p.complete(), nil
}

// writeProblem answers a request that does not reach its handler. Clients of the
// Messages API know errors in its form alone.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		if p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests {
			w.Header().Set("X-Should-Retry", "false") // Claude Code would ask again for minutes after a 401
		}
		proxy.WriteError(w, p.Status, p.Detail)
		return
	}
	data, err := json.Marshal(p.complete())
	if err != nil {
		panic(err) // texts and numbers
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(data, '\n')) // the client may be gone
}
