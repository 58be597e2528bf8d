package server

import (
	"cmp"
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

// codeCutOff is the code of a request that was ended before its end.
const codeCutOff = "interrupted"

// passing lists the kinds of errors that say nothing of what was asked for, whatever other
// kinds they have: the same request may succeed later, or at another server of the store.
var passing = []struct {
	is     func(error) bool
	code   string
	detail string // instead of the error's text, which may name what is the server's own
}{
	{func(err error) bool { return fault.Has(err, fault.KindUnavailable) }, "store", "something that the server needs cannot be used now; its log says what"},
	{func(err error) bool { return fault.CutOff(err) || fault.Has(err, fault.KindInterrupted) }, codeCutOff, "the request was cut off, as when the server stops; ask again"},
	{func(err error) bool { return fault.Has(err, fault.KindOutdated) }, "outdated", ""},
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
}

// Problem returns the error of an operation as it is shown to the caller. One that is
// the server's own fault goes to its log.
func (s *Server) Problem(operation string, err error) *Problem {
	p := problemOf(err)
	s.logFailure(p, "operation failed", "operation", operation, "err", err)
	return p
}

// logFailure writes a line for a problem that is the server's own.
func (s *Server) logFailure(p *Problem, what string, args ...any) {
	switch {
	case p.Code == codeCutOff: // most often by the client
		s.log.Info(what, args...)
	case p.Status >= http.StatusInternalServerError:
		s.log.Error(what, args...)
	}
}

// problemOf returns an error as a problem. Only errors that say what the caller did
// wrong are shown in full: others may name what is the server's own.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.complete()
	}
	for _, k := range passing {
		if k.is(err) {
			return (&Problem{Status: http.StatusServiceUnavailable, Code: k.code, Detail: cmp.Or(k.detail, err.Error())}).complete()
		}
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
