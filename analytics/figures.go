package analytics

import "time"

// Figures are the figures of a group, as programs get them.
type Figures struct {
	Name         string     `json:"name"`
	Calls        int64      `json:"calls"`
	Live         int64      `json:"live"`
	Cached       int64      `json:"cached"`
	Coalesced    int64      `json:"coalesced"`
	Failed       int64      `json:"failed"`
	Retries      int64      `json:"retries"`
	Refused      int64      `json:"refused"`
	CacheHitRate float64    `json:"cache_hit_rate"`
	InputTokens  int        `json:"input_tokens"`
	OutputTokens int        `json:"output_tokens"`
	CostUSD      float64    `json:"cost_usd"`
	UncertainUSD float64    `json:"uncertain_usd"` // may have been billed beyond it
	SavedUSD     SavingsUSD `json:"saved_usd"`
	Latency      Latency    `json:"latency_seconds"`
	Waited       *float64   `json:"waited_seconds"`
	Longest      float64    `json:"longest_seconds"` // waiting included
	Runs         int64      `json:"runs,omitempty"`
	TimeBefore   float64    `json:"workflow_time_before,omitempty"`
	TimeAfter    float64    `json:"workflow_time_after,omitempty"`
	Speedup      float64    `json:"speedup,omitempty"`
}

// FiguresOf returns the figures of groups, in their order.
func FiguresOf(groups []Group) []Figures {
	list := make([]Figures, len(groups))
	for i := range groups {
		g := &groups[i]
		list[i] = Figures{
			Name: g.Name, Calls: g.Calls, Live: g.Live, Cached: g.Cached, Coalesced: g.Coalesced, Failed: g.Failed, Retries: g.Retries, Refused: g.Refused,
			CacheHitRate: g.HitRate(), InputTokens: g.Usage.PromptTokens(), OutputTokens: g.Usage.OutputTokens,
			CostUSD: g.Cost.USD(), UncertainUSD: g.Uncertain.USD(), SavedUSD: g.Saved.USD(), Latency: LatencyOf(&g.ServiceLatency), Waited: PerCall(g.Waited, g.Served), Longest: g.Longest.Seconds(),
		}
		if g.Runs > 0 {
			list[i].Runs = g.Runs
			list[i].TimeBefore = g.RunAlone.Seconds() / float64(g.Runs)
			list[i].TimeAfter = g.RunWall.Seconds() / float64(g.Runs)
			if g.RunWall > 0 {
				list[i].Speedup = g.RunAlone.Seconds() / g.RunWall.Seconds()
			}
		}
	}
	return list
}

// PerCall returns the mean of a time in seconds; nil for no calls.
func PerCall(sum time.Duration, calls int64) *float64 {
	if calls == 0 {
		return nil
	}
	return new(sum.Seconds() / float64(calls))
}

// CallRow is a call as programs get it.
type CallRow struct {
	Time         time.Time `json:"time" parquet:"time"`
	Project      string    `json:"project" parquet:"project"`
	Workflow     string    `json:"workflow" parquet:"workflow"`
	Run          string    `json:"run" parquet:"run"`
	Step         string    `json:"step" parquet:"step"`
	Item         string    `json:"item" parquet:"item"`
	Agent        string    `json:"agent" parquet:"agent"`
	Asked        string    `json:"model_asked" parquet:"model_asked"`
	Model        string    `json:"model" parquet:"model"`
	Source       string    `json:"source" parquet:"source"`
	InputTokens  int       `json:"input_tokens" parquet:"input_tokens"`
	OutputTokens int       `json:"output_tokens" parquet:"output_tokens"`
	CacheRead    int       `json:"cache_read_tokens" parquet:"cache_read_tokens"`
	CacheWrite   int       `json:"cache_write_tokens" parquet:"cache_write_tokens"`
	CostUSD      *float64  `json:"cost_usd" parquet:"cost_usd"`
	SavedUSD     float64   `json:"saved_usd" parquet:"saved_usd"`
	Seconds      float64   `json:"seconds" parquet:"seconds"`
	FirstToken   float64   `json:"first_token_seconds" parquet:"first_token_seconds"`
	Attempts     int       `json:"attempts" parquet:"attempts"`
	Outcome      string    `json:"outcome" parquet:"outcome"`
	StopReason   string    `json:"stop_reason" parquet:"stop_reason"`
	Service      *float64  `json:"service_seconds" parquet:"service_seconds"`
	Waited       *float64  `json:"waited_seconds" parquet:"waited_seconds"`
	ProjectPath  string    `json:"project_path" parquet:"project_path"` // empty if only the name is known
	UncertainUSD float64   `json:"uncertain_usd" parquet:"uncertain_usd"`
	Key          string    `json:"key" parquet:"key"` // name of the server's key it was made for
	Team         string    `json:"team" parquet:"team"`
}

// Row returns the call as programs get it, with the name and the path of its project.
func (c *Call) Row(project, path string) CallRow {
	r := CallRow{
		Time: c.Time.UTC(), Project: project, ProjectPath: path, Workflow: c.Workflow, Run: c.Run, Step: c.Step, Item: c.Item, Agent: c.Agent, Asked: c.Asked, Model: c.Model, Source: string(c.Source),
		InputTokens: c.Usage.InputTokens, OutputTokens: c.Usage.OutputTokens, CacheRead: c.Usage.CacheReadTokens, CacheWrite: c.Usage.CacheWrite5m + c.Usage.CacheWrite1h,
		UncertainUSD: c.Uncertain.USD(), SavedUSD: c.Saved.Total().USD(), Seconds: c.Duration.Seconds(), FirstToken: c.FirstToken.Seconds(), Attempts: c.Attempts, Outcome: "ok", StopReason: c.StopReason, Key: c.Key, Team: c.Team,
	}
	if c.Code != 0 {
		r.Outcome = c.Code.String()
	}
	if c.Service > 0 {
		r.Service, r.Waited = new(c.Service.Seconds()), new(c.Waited.Seconds())
	}
	if !c.Unpriced {
		r.CostUSD = new(c.Cost.USD())
	}
	return r
}
