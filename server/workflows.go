package server

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/danielgtaylor/huma/v2"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/workflow"
)

// addWorkflows adds the operations on the files of workflows.
func (s *Server) addWorkflows(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "validate-workflow", Method: http.MethodPost, Path: "/api/v1/workflows/validate", Tags: []string{"project"},
		Summary: "Find everything wrong in a workflow of the project, without running it", Errors: []int{http.StatusUnprocessableEntity},
	}, s.validateWorkflow)
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	add(s, api, &huma.Operation{
		OperationID: "draw-workflow", Method: http.MethodGet, Path: "/api/v1/workflows/graph", Tags: []string{"project"},
		Summary: "Draw a workflow of the project", Errors: []int{http.StatusUnprocessableEntity},
		Responses: map[string]*huma.Response{"200": {
			Description: "The drawing.",
			Content:     map[string]*huma.MediaType{typeOf["text"]: text, "image/svg+xml": text},
		}},
	}, s.drawWorkflow)
}

// WorkflowFile names a workflow.
type WorkflowFile struct {
	Workflow string `json:"workflow" minLength:"1" doc:"path of a file of the project, or a name" example:"review.yaml"`
}

type validateOutput struct {
	Body struct {
		Valid    bool                      `json:"valid" doc:"no problem is an error"`
		Problems []claudeforce.FileProblem `json:"problems"`
	}
}

func (s *Server) validateWorkflow(ctx context.Context, in *struct{ Body WorkflowFile }) (*validateOutput, error) {
	out := &validateOutput{}
	out.Body.Valid, out.Body.Problems = true, []claudeforce.FileProblem{}
	err := s.runner.use(ctx, s.opts.Dir, s.opts.Settings, func(o *claudeforce.Orchestrator) error {
		wf, err := loadWorkflow(o, s.opts.Dir, in.Body.Workflow)
		found, err := claudeforce.FileProblems(err)
		if err == nil && wf != nil {
			found, err = o.CheckWorkflow(ctx, wf)
		}
		for _, p := range found {
			out.Body.Valid = out.Body.Valid && p.Severity != claudeforce.SeverityError
			out.Body.Problems = append(out.Body.Problems, p)
		}
		return err
	})
	return out, err
}

type drawInput struct {
	Workflow string `query:"workflow" required:"true" minLength:"1" doc:"path of a file of the project, or a name"`
	Format   string `query:"format" enum:"text,mermaid,svg" default:"text"`
}

func (s *Server) drawWorkflow(ctx context.Context, in *drawInput) (*getOutputOutput, error) {
	var wf *workflow.Workflow
	err := s.runner.use(ctx, s.opts.Dir, s.opts.Settings, func(o *claudeforce.Orchestrator) (err error) {
		wf, err = loadWorkflow(o, s.opts.Dir, in.Workflow)
		return fault.Input(err)
	})
	if err != nil {
		return nil, err
	}
	switch in.Format {
	case "svg":
		return &getOutputOutput{ContentType: "image/svg+xml", Body: wf.SVG()}, nil
	case "mermaid":
		return &getOutputOutput{ContentType: typeOf["text"], Body: []byte(wf.Mermaid())}, nil
	default:
		return &getOutputOutput{ContentType: typeOf["text"], Body: []byte(wf.Text())}, nil
	}
}

// loadWorkflow reads a workflow of the project, by its path within it or its name.
func loadWorkflow(o *claudeforce.Orchestrator, dir, name string) (*workflow.Workflow, error) {
	if workflow.IsName(name) {
		return o.LoadWorkflow(name)
	}
	if !filepath.IsLocal(name) {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "workflow is neither a path within the project nor a name"}
	}
	return o.LoadWorkflow(filepath.Join(dir, name))
}
