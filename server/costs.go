package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/pipeline"
)

// notSimulated is what the description of the API says of figures of calls.
const notSimulated = "Calls to the simulator are not kept, and are in no figure."

// addCosts adds the operations on calls, what they cost, and what is kept of them.
func (s *Server) addCosts(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "get-costs", Method: http.MethodGet, Path: "/api/v1/analytics/costs", Tags: []string{"service"},
		Summary:     "Give what was paid, by day, agent, model, project, key, team and the like",
		Description: notSimulated, Errors: []int{http.StatusUnprocessableEntity},
	}, s.getCosts)
	add(s, api, &huma.Operation{
		OperationID: "compare", Method: http.MethodGet, Path: "/api/v1/analytics/compare", Tags: []string{"service"},
		Summary: "Say whether b is better or worse than a, two runs or two periods, or not significantly different", Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity},
	}, s.compareSets)
	add(s, api, &huma.Operation{
		OperationID: "list-calls", Method: http.MethodGet, Path: "/api/v1/calls", Tags: []string{"service"},
		Summary:     "List calls of models, the latest first, without prompts and answers",
		Description: notSimulated, Errors: []int{http.StatusUnprocessableEntity},
	}, s.listCalls)
	add(s, api, &huma.Operation{
		OperationID: "list-models", Method: http.MethodGet, Path: "/api/v1/models", Tags: []string{"service"},
		Summary: "List models with their prices and limits",
	}, s.listModels)
	add(s, api, &huma.Operation{
		OperationID: "list-budgets", Method: http.MethodGet, Path: "/api/v1/budgets", Tags: []string{"service"},
		Summary: "List the budgets of the settings, and what was spent of that of today",
	}, s.listBudgets)
	add(s, api, &huma.Operation{
		OperationID: "clear-cache", Method: http.MethodDelete, Path: "/api/v1/cache", Tags: []string{"service"},
		Summary: "Remove answers from the response cache: those of an agent, old ones, or all",
		Errors:  []int{http.StatusUnprocessableEntity},
	}, s.clearCache)
}

// withCalls runs do with the store of calls.
func (s *Server) withCalls(ctx context.Context, do func(analytics.Store) error) error {
	store, err := pipeline.OpenCalls(ctx, s.opts.Config)
	if err != nil {
		return err
	}
	return errors.Join(do(store), store.Close())
}

// Period is the last days, or the time between two.
type Period struct {
	Days  int       `query:"days" minimum:"0" maximum:"3650" default:"7" doc:"the last days, which start at a whole hour; 0 for all there is"`
	Since time.Time `query:"since" doc:"from this time on, instead of days"`
	Until time.Time `query:"until" doc:"up to this time"`
}

func (p *Period) filter(zone *time.Location) analytics.Filter {
	f := analytics.Filter{Zone: zone, Since: p.Since, Until: p.Until}
	if f.Since.IsZero() && p.Days > 0 {
		end := f.Until
		if end.IsZero() {
			end = time.Now()
		}
		f.Since = end.Add(-time.Duration(p.Days) * 24 * time.Hour).Truncate(time.Hour)
	}
	return f
}

type getCostsInput struct {
	Period
	By []string `query:"by" enum:"day,week,month,agent,model,workflow,source,project,key,team" default:"day" doc:"one or several, with commas"`
}

type getCostsOutput struct {
	Body struct {
		Costs []analytics.CostRow `json:"costs"`
	}
}

func (s *Server) getCosts(ctx context.Context, in *getCostsInput) (*getCostsOutput, error) {
	by := make([]analytics.Dimension, len(in.By))
	for i, name := range in.By {
		by[i] = analytics.Dimension(name)
	}
	if err := analytics.CheckCostDimensions(by); err != nil {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "by " + err.Error()}
	}
	out := &getCostsOutput{}
	err := s.withCalls(ctx, func(store analytics.Store) error {
		groups, paths, err := analytics.CostGroups(ctx, store, in.filter(s.opts.Config.TimeZone), by...)
		out.Body.Costs = analytics.CostRows(by, groups, paths)
		return err
	})
	return out, err
}

// CallList is a page of calls.
type CallList struct {
	Calls []analytics.CallRow `json:"calls"`
	Next  string              `json:"next,omitempty" doc:"cursor of the next page; absent on the last one"`
}

type listCallsInput struct {
	Period
	Run      string `query:"run" doc:"only calls of the run with this id"`
	Step     string `query:"step" doc:"only calls of the steps with this path"`
	Agent    string `query:"agent" doc:"only calls of this agent"`
	Model    string `query:"model" doc:"only calls that this model answered"`
	Workflow string `query:"workflow" doc:"only calls of runs of the workflow with this name"`
	Source   string `query:"source" enum:"live,cache,coalesced" doc:"only calls that were answered from here"`
	Key      string `query:"key" doc:"only calls that were made with the key of this name"`
	Team     string `query:"team" doc:"only calls that were made with a key of this team"`
	Failed   bool   `query:"failed" doc:"only calls that failed"`
	Limit    int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor   string `query:"cursor" doc:"next of the page before"`
}

func (s *Server) listCalls(ctx context.Context, in *listCallsInput) (*struct{ Body CallList }, error) {
	only := analytics.Only{
		Run: in.Run, Step: in.Step, Agent: in.Agent, Model: in.Model, Workflow: in.Workflow, Key: in.Key, Team: in.Team, Source: llm.Source(in.Source), Failed: in.Failed,
	}
	list := CallList{Calls: []analytics.CallRow{}}
	err := s.withCalls(ctx, func(store analytics.Store) error {
		calls, next, err := store.Newest(ctx, in.filter(s.opts.Config.TimeZone), only, in.Cursor, in.Limit)
		if err != nil {
			return err
		}
		projects, err := store.Projects(ctx)
		if err != nil {
			return err
		}
		known := map[string]analytics.Project{}
		for _, p := range projects {
			known[p.ID] = p
		}
		for i := range calls {
			p := known[calls[i].Project]
			list.Calls = append(list.Calls, calls[i].Row(p.Name, p.Path))
		}
		list.Next = next
		return nil
	})
	return &struct{ Body CallList }{list}, err
}

func (s *Server) listModels(context.Context, *struct{}) (*struct{ Body *llm.ModelList }, error) {
	table, err := pipeline.LoadPrices(s.opts.Config)
	if err != nil {
		return nil, err
	}
	return &struct{ Body *llm.ModelList }{table.List()}, nil
}

type listBudgetsOutput struct {
	Body struct {
		Budgets []pipeline.BudgetStatus `json:"budgets"`
	}
}

func (s *Server) listBudgets(context.Context, *struct{}) (*listBudgetsOutput, error) {
	list, err := pipeline.Budgets(s.opts.Config, time.Now())
	out := &listBudgetsOutput{}
	out.Body.Budgets = list
	return out, err
}

type clearCacheInput struct {
	Agent     string `query:"agent" doc:"only the answers of this agent"`
	OlderThan string `query:"older_than" doc:"only answers older than this" example:"7d"`
	All       bool   `query:"all" doc:"needed to remove everything, without the others"`
}

type clearCacheOutput struct {
	Body struct {
		Entries int   `json:"entries"`
		Bytes   int64 `json:"bytes"`
	}
}

func (s *Server) clearCache(ctx context.Context, in *clearCacheInput) (*clearCacheOutput, error) {
	filter := cache.Filter{Agent: in.Agent}
	if in.OlderThan != "" {
		d, err := config.ParseDuration(in.OlderThan)
		if err != nil || d <= 0 {
			return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "older_than is not a duration such as 72h or 7d"}
		}
		filter.OlderThan = d
	}
	if filter == (cache.Filter{}) != in.All {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "give agent or older_than, or all=true to remove every answer"}
	}
	store, err := pipeline.OpenCache(ctx, s.opts.Config)
	if err != nil {
		return nil, fault.Input(err)
	}
	out := &clearCacheOutput{}
	out.Body.Entries, out.Body.Bytes, err = store.Clear(ctx, filter)
	return out, errors.Join(err, store.Close())
}
