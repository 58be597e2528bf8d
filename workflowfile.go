package claudeforce

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/workflow"
	"github.com/claude-force/claude-force/workflow/workflowdir"
)

// ParseWorkflow reads a workflow and checks it against the agents that apply
// in a folder, so that everything wrong is said before anything is spent. An
// error is of type [workflow.Errors]. The name is used in messages, and what the
// workflow's steps run is found relative to it; empty folder means the working
// directory. env names environment variables that expressions may read, besides
// USER and CI.
func ParseWorkflow(dir, name string, data []byte, env ...string) (*workflow.Workflow, error) {
	return parseWorkflow(dir, name, data, env, func(name string) error { return CheckAgent(dir, name) })
}

func parseWorkflow(dir, name string, data []byte, env []string, checkAgent func(name string) error) (*workflow.Workflow, error) {
	return workflow.Parse(name, data, workflow.Options{
		AllowEnv:   env,
		CheckAgent: checkAgent,
		Load: func(path string) ([]byte, error) {
			if dir != "" && !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			return openfile.Read(path, maxWorkflow)
		},
		Find:         func(name string) (string, error) { return findWorkflow(dir, name) },
		SlashCommand: func(name string) (*workflow.SlashCommand, error) { return findCommand(dir, name) },
	})
}

// WorkflowInfo is what is shown of a workflow that has a name.
type WorkflowInfo struct {
	*workflowdir.File
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Params      []WorkflowParam `json:"params"`
	Problem     string          `json:"problem,omitempty"` // why it cannot be run
}

// WorkflowParam is a parameter of a workflow.
type WorkflowParam struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required"`
	Default     any    `json:"default,omitempty"`
}

// DescribeWorkflow returns what is shown of a workflow of [Workflows], which it reads.
func DescribeWorkflow(dir string, f *workflowdir.File) WorkflowInfo {
	info := WorkflowInfo{File: f, Params: []WorkflowParam{}}
	path := f.Path
	if dir != "" && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	wf, err := LoadWorkflow(dir, path)
	if err != nil {
		info.Problem = err.Error()
		return info
	}
	info.Title, info.Description = wf.Name, wf.Description
	for _, p := range wf.Params {
		info.Params = append(info.Params, WorkflowParam{
			Name: p.Name, Type: cmp.Or(p.Format, p.Type), Description: p.Description, Required: !p.HasDefault, Default: p.Default,
		})
	}
	return info
}

// maxWorkflow bounds a workflow's file, in bytes.
const maxWorkflow = 16 << 20

// LoadWorkflow returns [ParseWorkflow] of a file. A path that is none of a file may be
// the name of a workflow; see [Workflows].
func LoadWorkflow(dir, path string, env ...string) (*workflow.Workflow, error) {
	name, data, err := readWorkflow(dir, path)
	if err != nil {
		return nil, err
	}
	return ParseWorkflow(dir, name, data, env...)
}

// readWorkflow returns the text of a workflow's file, and the path that it has for
// [ParseWorkflow].
func readWorkflow(dir, path string) (string, []byte, error) {
	data, err := openfile.ReadTyped(path, maxWorkflow)
	if err != nil && workflow.IsName(path) {
		found, unknown := findWorkflow(dir, path)
		switch {
		case unknown == nil:
			path = found
			if !filepath.IsAbs(found) {
				found = filepath.Join(dir, found)
			}
			data, err = openfile.Read(found, maxWorkflow)
		case errors.Is(err, fs.ErrNotExist):
			return "", nil, invalid(unknown)
		}
	}
	if err != nil {
		return "", nil, invalid(fmt.Errorf("reading workflow: %w", err))
	}
	return path, data, nil
}

// allSteps yields every step of a workflow, also those within steps.
func allSteps(wf *workflow.Workflow) iter.Seq[*workflow.Step] {
	var visit func(wf *workflow.Workflow, yield func(*workflow.Step) bool) bool
	visit = func(wf *workflow.Workflow, yield func(*workflow.Step) bool) bool {
		for _, s := range wf.Steps {
			if !yield(s) || s.Body != nil && !visit(s.Body, yield) {
				return false
			}
		}
		return true
	}
	return func(yield func(*workflow.Step) bool) { visit(wf, yield) }
}

// allVariants yields what every step may be, also those within steps.
func allVariants(wf *workflow.Workflow) iter.Seq[*workflow.Step] {
	return func(yield func(*workflow.Step) bool) {
		for s := range allSteps(wf) {
			for _, v := range s.Variants() {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// ownSteps yields the steps of one file, also those within steps, but not those of other
// files.
func ownSteps(wf *workflow.Workflow) iter.Seq[*workflow.Step] {
	return func(yield func(*workflow.Step) bool) {
		for _, s := range wf.Steps {
			if !yield(s) {
				return
			}
			if s.Body == nil || s.Workflow != "" {
				continue
			}
			for inner := range ownSteps(s.Body) {
				if !yield(inner) {
					return
				}
			}
		}
	}
}
