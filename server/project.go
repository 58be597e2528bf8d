package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/pipeline"
)

// addProject adds the operations on what the project has.
func (s *Server) addProject(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "list-agents", Method: http.MethodGet, Path: "/api/v1/agents", Tags: []string{"project"},
		Summary: "List the agents of the project, the user and plugins",
	}, s.listAgents)
	add(s, api, &huma.Operation{
		OperationID: "get-agent", Method: http.MethodGet, Path: "/api/v1/agents/{agent}", Tags: []string{"project"},
		Summary: "Show an agent with its prompt", Errors: []int{http.StatusNotFound},
	}, s.getAgent)
	add(s, api, &huma.Operation{
		OperationID: "list-workflows", Method: http.MethodGet, Path: "/api/v1/workflows", Tags: []string{"project"},
		Summary: "List the workflows that have names, with their parameters",
	}, s.listWorkflows)
	add(s, api, &huma.Operation{
		OperationID: "list-limits", Method: http.MethodGet, Path: "/api/v1/limits", Tags: []string{"service"},
		Summary: "List what is known of the service's rate limits, by pool of models",
	}, s.listLimits)
	add(s, api, &huma.Operation{
		OperationID: "get-cache", Method: http.MethodGet, Path: "/api/v1/cache", Tags: []string{"service"},
		Summary: "Say what the response cache holds and what it has saved",
	}, s.getCache)
	add(s, api, &huma.Operation{
		OperationID: "get-summary", Method: http.MethodGet, Path: "/api/v1/analytics/summary", Tags: []string{"service"},
		Summary:     "Give the figures of the last days: cost, savings, hit rate, latency, speed-up",
		Description: notSimulated, Errors: []int{http.StatusUnprocessableEntity},
	}, s.getSummary)
}

type summaryInput struct {
	Days int    `query:"days" minimum:"0" maximum:"3650" default:"7" doc:"the last days, which start at a whole hour; 0 for all there is"`
	By   string `query:"by" enum:"day,week,month,agent,model,workflow,source,project,key,team" doc:"also give, as groups, the figures of each of these"`
}

func (s *Server) getSummary(ctx context.Context, in *summaryInput) (*struct{ Body *analytics.Summary }, error) {
	out := &struct{ Body *analytics.Summary }{}
	period := Period{Days: in.Days}
	err := s.withCalls(ctx, func(store analytics.Store) (err error) {
		f := period.filter(s.opts.Config.TimeZone)
		if in.By == "" {
			out.Body, err = store.Summary(ctx, f)
			return err
		}
		out.Body, _, err = analytics.SummaryBy(ctx, store, f, analytics.Dimension(in.By))
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

type listAgentsOutput struct {
	Body struct {
		Agents   []agent.Info `json:"agents"`
		Warnings []string     `json:"warnings" doc:"what is wrong with files that look like agents"`
	}
}

func (s *Server) listAgents(context.Context, *struct{}) (*listAgentsOutput, error) {
	set, warnings, err := claudeforce.Agents(s.opts.Dir)
	if err != nil {
		return nil, err
	}
	out := &listAgentsOutput{}
	out.Body.Agents, out.Body.Warnings = []agent.Info{}, []string{}
	for _, a := range set.All() {
		out.Body.Agents = append(out.Body.Agents, a.Info())
	}
	for _, w := range warnings {
		out.Body.Warnings = append(out.Body.Warnings, w.String())
	}
	return out, nil
}

func (s *Server) getAgent(_ context.Context, in *struct {
	Agent string `path:"agent"`
}) (*struct{ Body agent.Info }, error) {
	set, _, err := claudeforce.Agents(s.opts.Dir)
	if err != nil {
		return nil, err
	}
	a, err := set.Lookup(in.Agent)
	if err != nil {
		return nil, &Problem{Status: http.StatusNotFound, Code: "not_found", Detail: err.Error()}
	}
	return &struct{ Body agent.Info }{a.Detail()}, nil
}

type listWorkflowsOutput struct {
	Body struct {
		Workflows []claudeforce.WorkflowInfo `json:"workflows"`
		Problems  []string                   `json:"problems" doc:"what is wrong with folders of workflows"`
	}
}

func (s *Server) listWorkflows(context.Context, *struct{}) (*listWorkflowsOutput, error) {
	set, err := claudeforce.Workflows(s.opts.Dir)
	if err != nil {
		return nil, err
	}
	out := &listWorkflowsOutput{}
	out.Body.Workflows, out.Body.Problems = []claudeforce.WorkflowInfo{}, append([]string{}, set.Problems...)
	for _, f := range set.All() {
		out.Body.Workflows = append(out.Body.Workflows, claudeforce.DescribeWorkflow(s.opts.Dir, f))
	}
	return out, nil
}

type listLimitsOutput struct {
	Body struct {
		Pools []admission.PoolStatus `json:"pools"`
	}
}

func (s *Server) listLimits(ctx context.Context, _ *struct{}) (*listLimitsOutput, error) {
	out := &listLimitsOutput{}
	err := s.runner.use(ctx, s.opts.Dir, s.opts.Settings, func(o *claudeforce.Orchestrator) error {
		out.Body.Pools = append([]admission.PoolStatus{}, o.Limits()...)
		return nil
	})
	return out, err
}

func (s *Server) getCache(ctx context.Context, _ *struct{}) (*struct{ Body cache.Stats }, error) {
	store, err := pipeline.OpenCache(ctx, s.opts.Config)
	if err != nil {
		return nil, fault.Input(err)
	}
	stats, err := store.Stats(ctx)
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	return &struct{ Body cache.Stats }{stats}, nil
}
