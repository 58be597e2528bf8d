package web

import (
	"net/http"
	"net/url"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/lint"
	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/fault"
)

// addProject adds the pages of what the project has.
func (p *Pages) addProject() {
	p.page("GET /agents", p.agents)
	p.page("GET /agents/{agent}", p.agent)
	p.page("GET /workflows", p.workflows)
	p.page("GET /workflows/{workflow...}", p.workflow)
	p.action("POST /start", p.start)
}

// agentsData are the agents that can be given tasks.
type agentsData struct {
	Agents   []agentRow
	Warnings []string
}

// agentRow is an agent with what it did lately.
type agentRow struct {
	agent.Info
	Figures analytics.Figures // of the last 30 days
}

func (p *Pages) agents(r *http.Request) (*view, error) {
	list, warnings, err := p.opts.Agents(r.Context())
	if err != nil {
		return nil, err
	}
	figures, err := p.figuresBy(r, analytics.ByAgent)
	if err != nil {
		return nil, err
	}
	data := &agentsData{Warnings: warnings}
	for _, a := range list {
		data.Agents = append(data.Agents, agentRow{a, figures[a.Name]})
	}
	return &view{Page: "agents", Title: "Agents", Nav: "agents", Data: data}, nil
}

// figuresBy returns the figures of the last 30 days by the names of agents or the like.
func (p *Pages) figuresBy(r *http.Request, by analytics.Dimension) (map[string]analytics.Figures, error) {
	set := map[string]analytics.Figures{}
	err := p.withCalls(r.Context(), func(store analytics.Store) error {
		groups, err := store.Costs(r.Context(), analytics.Filter{Since: since(30), Zone: p.opts.Config.TimeZone}, by)
		for _, f := range analytics.FiguresOf(groups) {
			set[f.Name] = f
		}
		return err
	})
	return set, err
}

// agentData is an agent with its prompt.
type agentData struct {
	agent.Info
	Findings []lint.Finding
	Figures  analytics.Figures // of the last 30 days
}

func (p *Pages) agent(r *http.Request) (*view, error) {
	info, findings, err := p.opts.Agent(r.Context(), r.PathValue("agent"))
	if err != nil {
		return nil, err
	}
	figures, err := p.figuresBy(r, analytics.ByAgent)
	if err != nil {
		return nil, err
	}
	return &view{Page: "agent", Title: info.Name, Nav: "agents", Data: &agentData{*info, findings, figures[info.Name]}}, nil
}

// start starts what the form of a workflow asks for.
func (p *Pages) start(r *http.Request) (string, error) {
	if err := r.ParseForm(); err != nil {
		return "", fault.Input(err)
	}
	s, err := startFrom(r.PostForm)
	if err != nil {
		return "", err
	}
	run, err := p.opts.Start(r.Context(), *s, "page-"+r.PostForm.Get("once"))
	if err != nil {
		return "", err
	}
	return "/runs/" + url.PathEscape(run.ID), nil
}
