package engine

import (
	"fmt"

	"github.com/claude-force/claude-force/workflow"
)

// judge sets the findings of the run, and fails it if its workflow's fail_when says so.
// Of a run that has not completed, or has only a part of its workflow, what cannot be
// evaluated is left out. What a run is that a step has ended, that step says.
func (r *run) judge(res *Result) {
	findings, reason, err := r.root.verdict()
	whole := res.Status == StatusCompleted
	res.Findings = findings
	switch {
	case res.Exited != nil:
	case reason != "" && (whole || res.Status == StatusFailed && res.Error == nil):
		res.Status, res.Error, res.FailWhen = StatusFailed, &reason, true
	case err != nil && whole && r.opts.Choose == nil:
		res.Status, res.Error = StatusFailed, new(err.Error())
	case err != nil && whole:
		res.Notes = append(res.Notes, err.Error()+"; the run has only a part of the workflow")
	}
}

// verdict returns the findings of the frame's workflow, and why it fails by its fail_when;
// empty if it does not.
func (f *frame) verdict() ([]workflow.Finding, string, error) {
	if f.wf.Findings == nil && f.wf.FailWhen == nil {
		return nil, "", nil
	}
	env := f.env
	env.Steps = f.all()
	findings, err := f.wf.EvalFindings(env)
	if err != nil {
		return nil, "", fmt.Errorf("reading the findings of the workflow: %w", err)
	}
	reason, err := f.wf.FailWhen.Fails(env, findings)
	if err != nil {
		return findings, "", fmt.Errorf("evaluating fail_when of the workflow: %w", err)
	}
	if reason != "" {
		reason = "fail_when: " + reason
	}
	return findings, reason, nil
}

// text returns a text that may be missing.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
