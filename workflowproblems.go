package claudeforce

import (
	"context"
	"errors"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/toolset"
	"github.com/claude-force/claude-force/workflow"
)

// Severity says how bad a [FileProblem] is.
type Severity string

// Severities of problems of a file.
const (
	SeverityError Severity = "error"
	SeverityNote  Severity = "note" // no mistake, but it may not be what the author meant
)

// FileProblem is what is wrong with a workflow's file, as programs get it.
type FileProblem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint"`
	Severity Severity `json:"severity"`
}

// String returns "file:line:column: message (hint)".
func (p FileProblem) String() string {
	return (&workflow.Error{File: p.File, Line: p.Line, Column: p.Column, Message: p.Message, Hint: p.Hint}).Error()
}

// FileProblems returns what is wrong with a workflow's file by the error of reading or
// checking it. Any other error is returned.
func FileProblems(err error) ([]FileProblem, error) {
	list, ok := errors.AsType[workflow.Errors](err)
	if !ok {
		return nil, err
	}
	return fileProblems(list, SeverityError), nil
}

func fileProblems(list []*workflow.Error, s Severity) (problems []FileProblem) {
	for _, e := range list {
		problems = append(problems, FileProblem{e.File, e.Line, e.Column, e.Message, e.Hint, s})
	}
	return problems
}

// CheckWorkflow returns what is wrong with a workflow beyond what reading it finds, in a
// folder in which agents act as project says, which [OpenTools] opens; nil if they have no
// tools. If nothing is, it returns the notes of its file.
func CheckWorkflow(ctx context.Context, cfg *config.Config, dir string, project *toolset.Project, wf *workflow.Workflow) ([]FileProblem, error) {
	var err error
	if project != nil {
		err = CheckEdits(ctx, dir, project, wf)
	}
	if err == nil {
		err = CheckModels(ctx, cfg, dir, wf)
	}
	if err != nil {
		return FileProblems(err)
	}
	return fileProblems(wf.Notes, SeverityNote), nil
}

// CheckWorkflow returns what is wrong with a workflow, as the function of this name does
// for the orchestrator's folder.
func (o *Orchestrator) CheckWorkflow(ctx context.Context, wf *workflow.Workflow) ([]FileProblem, error) {
	return CheckWorkflow(ctx, o.config, o.opts.Dir, o.tools, wf)
}
