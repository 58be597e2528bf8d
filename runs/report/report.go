// Package report writes what came of a run for people and other programs, as
// Markdown, JUnit XML or SARIF.
package report

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// Format is a form of a report.
type Format string

// Formats of reports.
const (
	Markdown Format = "md"
	JUnit    Format = "junit"
	SARIF    Format = "sarif"
)

// Formats lists all formats.
func Formats() []string { return []string{string(Markdown), string(JUnit), string(SARIF)} }

// Check returns an error if a workflow has not what a report in a format is of.
func Check(format Format, wf *workflow.Workflow) error {
	if format == SARIF && wf.Findings == nil {
		return errors.New("the workflow declares no findings; add findings: ${{ steps.ID.json.findings }}")
	}
	return nil
}

// Write writes a report of a run, which need not have ended well, or at all.
func Write(w io.Writer, format Format, wf *workflow.Workflow, res *engine.Result) error {
	switch format {
	case Markdown:
		return writeMarkdown(w, wf, res)
	case JUnit:
		return writeJUnit(w, wf, res)
	case SARIF:
		return writeSARIF(w, wf, res)
	}
	return fmt.Errorf("unknown format of a report %q; there are: %s", format, strings.Join(Formats(), ", "))
}

// part is what is reported by itself: a step, an item of a foreach, or a step within a
// step.
type part struct {
	path string // of the step
	item string // for people; empty for a step
	res  *engine.StepResult

	// tolerated reports that the run counts the part as done, though it has failed.
	tolerated bool
}

func (p part) name() string {
	if p.item == "" {
		return p.path
	}
	return p.path + "[" + p.item + "]"
}

// parts yields the parts of a run in file order: of a foreach its items, of a step with
// steps of its own those.
func parts(wf *workflow.Workflow, res *engine.Result) iter.Seq[part] {
	return func(yield func(part) bool) {
		for _, s := range wf.Steps {
			step := res.Steps[s.ID]
			if step != nil && !partsOf(s, s.ID, step, runs.Tolerated(s, step), yield) {
				return
			}
		}
	}
}

func partsOf(s *workflow.Step, path string, res *engine.StepResult, tolerated bool, yield func(part) bool) bool {
	switch {
	case len(res.Items) > 0:
		for _, item := range res.Items {
			if !yield(part{path, item.Item, item.StepResult, tolerated}) {
				return false
			}
		}
		return true
	case len(res.Steps) > 0 && s.Body != nil:
		for _, inner := range s.Body.Steps {
			within := res.Steps[inner.ID]
			if within != nil && !partsOf(inner, path+"/"+inner.ID, within, tolerated || runs.Tolerated(inner, within), yield) {
				return false
			}
		}
		if res.Status != engine.StatusFailed || failedWithin(res) {
			return true
		}
	}
	return yield(part{path, "", res, tolerated})
}

// failedWithin reports whether a step of a step has failed.
func failedWithin(res *engine.StepResult) bool {
	for _, inner := range res.Steps {
		if inner.Status == engine.StatusFailed {
			return true
		}
	}
	return false
}

// failures returns the parts that failed.
func failures(wf *workflow.Workflow, res *engine.Result) []part {
	return slices.Collect(func(yield func(part) bool) {
		for p := range parts(wf, res) {
			if p.res.Status == engine.StatusFailed && !yield(p) {
				return
			}
		}
	})
}

// why returns why a part ended as it did; empty if nothing is known.
func why(res *engine.StepResult) string {
	if res.Error == nil {
		return ""
	}
	return *res.Error
}

// title returns what people call the workflow.
func title(wf *workflow.Workflow) string {
	if wf.Name == "" {
		return "workflow"
	}
	return wf.Name
}
