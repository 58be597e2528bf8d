package analytics

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// ToolOutcome is how a call of a tool ended.
type ToolOutcome int

// Outcomes of calls of tools.
const (
	ToolOK      ToolOutcome = iota
	ToolFailed              // the tool ran and reported an error
	ToolDenied              // it did not run, since it was not permitted
	ToolUnknown             // the agent has no tool of that name
)

// String returns the outcome as tables and views name it.
func (o ToolOutcome) String() string {
	switch o {
	case ToolOK:
		return "ok"
	case ToolDenied:
		return "denied"
	case ToolUnknown:
		return "unknown"
	}
	return "failed"
}

// ToolCall is one call of a tool as it is kept. It holds neither what the tool was
// given nor what it returned.
type ToolCall struct {
	Time     time.Time // when it began
	Project  string    // these five as in [Call]
	Workflow string
	Run      string
	Step     string
	Item     string
	Agent    string
	Tool     string
	Outcome  ToolOutcome
	Duration time.Duration // waiting for permission and sub-agents included
}

// ToolTask is one task of an agent with tools, from its first turn to its end. A
// task that was interrupted and resumed is one, with all its turns.
type ToolTask struct {
	Time      time.Time // when it began, in the process that ended it
	Project   string    // these five as in [Call]
	Workflow  string
	Run       string
	Step      string
	Item      string
	Agent     string
	Model     string
	Turns     int // calls of the model; those of sub-agents are in tasks of their own
	ToolCalls int
	Failed    bool
	Duration  time.Duration // in the process that ended it
}

// ToolPair is an agent's use of a tool.
type ToolPair struct{ Agent, Tool string }

// ToolCounts is what is counted of calls of tools.
type ToolCounts struct {
	Calls, Failed, Denied, Unknown int64
	Time                           time.Duration
	Latency                        Sketch // of calls that ran
}

// Count adds a call.
func (c *ToolCounts) Count(o ToolOutcome, took time.Duration) {
	c.Calls++
	switch o {
	case ToolFailed:
		c.Failed++
	case ToolDenied:
		c.Denied++
		return // it did not run
	case ToolUnknown:
		c.Unknown++
		return
	}
	c.Time += took
	c.Latency.Add(took)
}

// Add adds what another has counted.
func (c *ToolCounts) Add(d *ToolCounts) {
	c.Calls, c.Failed, c.Denied, c.Unknown = c.Calls+d.Calls, c.Failed+d.Failed, c.Denied+d.Denied, c.Unknown+d.Unknown
	c.Time += d.Time
	c.Latency.Merge(&d.Latency)
}

// ToolFigures are the figures of calls of tools. Times are of the calls that ran.
type ToolFigures struct {
	Calls   int64   `json:"calls"`
	Failed  int64   `json:"failed"`  // ran and reported an error
	Denied  int64   `json:"denied"`  // not permitted, so did not run
	Unknown int64   `json:"unknown"` // of a tool that the agent does not have
	Seconds Latency `json:"seconds"`
	Total   float64 `json:"total_seconds"`
}

func (c *ToolCounts) figures() ToolFigures {
	return ToolFigures{c.Calls, c.Failed, c.Denied, c.Unknown, LatencyOf(&c.Latency), c.Time.Seconds()}
}

// ToolGroup is the figures of one tool, or of one agent's use of it.
type ToolGroup struct {
	Agent string `json:"agent,omitempty"`
	Tool  string `json:"tool"`
	ToolFigures
}

// AgentTools is what an agent with tools did.
type AgentTools struct {
	Agent string `json:"agent"`
	TurnFigures
	ToolFigures
	Tools []ToolGroup `json:"tools"`
}

// TurnFigures are the figures of tasks of agents with tools. A turn is one call of
// the model.
type TurnFigures struct {
	Tasks       int64   `json:"tasks"`
	FailedTasks int64   `json:"failed_tasks"`
	Turns       int64   `json:"turns"`
	TurnsP50    float64 `json:"turns_p50"` // of a task; 0 without tasks
	TurnsP90    float64 `json:"turns_p90"`
}

// TurnCounts is what is counted of tasks of agents with tools.
type TurnCounts struct {
	Failed int64
	Turns  map[int]int64 // how many tasks had so many turns
}

// Count adds n tasks of so many turns each, of which some failed.
func (c *TurnCounts) Count(turns int, n, failed int64) {
	if c.Turns == nil {
		c.Turns = map[int]int64{}
	}
	c.Turns[turns] += n
	c.Failed += failed
}

func (c *TurnCounts) figures() TurnFigures {
	f := TurnFigures{FailedTasks: c.Failed}
	lengths := make([]int, 0, len(c.Turns))
	for turns, n := range c.Turns {
		f.Tasks += n
		f.Turns += int64(turns) * n
		lengths = append(lengths, turns)
	}
	slices.Sort(lengths)
	// at returns the least length that a share q of all tasks does not exceed.
	at := func(q float64) float64 {
		seen, rank := int64(0), int64(math.Ceil(q*float64(f.Tasks)))
		for _, turns := range lengths {
			if seen += c.Turns[turns]; seen >= rank {
				return float64(turns)
			}
		}
		return 0
	}
	f.TurnsP50, f.TurnsP90 = at(0.5), at(0.9)
	return f
}

// ToolUse is what agents did with tools in a period.
type ToolUse struct {
	Period Period `json:"period"`
	TurnFigures
	ToolFigures
	Tools  []ToolGroup  `json:"tools"`  // the most called first
	Agents []AgentTools `json:"agents"` // the most turns first
}

// Pairs returns the figures of each tool of each agent.
func (u *ToolUse) Pairs() []ToolGroup {
	list := []ToolGroup{}
	for i := range u.Agents {
		list = append(list, u.Agents[i].Tools...)
	}
	return list
}

// SumTools works out the figures of what was counted, by agent and tool.
func SumTools(p Period, calls map[ToolPair]*ToolCounts, tasks map[string]*TurnCounts) *ToolUse {
	use := &ToolUse{Period: p, Tools: []ToolGroup{}, Agents: []AgentTools{}}
	var all ToolCounts
	var turns TurnCounts
	byTool, byAgent, pairs := map[string]*ToolCounts{}, map[string]*ToolCounts{}, map[string][]ToolGroup{}
	for agent := range tasks {
		byAgent[agent] = &ToolCounts{}
	}
	for pair, c := range calls {
		all.Add(c)
		for _, to := range []struct {
			name string
			in   map[string]*ToolCounts
		}{{pair.Tool, byTool}, {pair.Agent, byAgent}} {
			if to.in[to.name] == nil {
				to.in[to.name] = &ToolCounts{}
			}
			to.in[to.name].Add(c)
		}
		pairs[pair.Agent] = append(pairs[pair.Agent], ToolGroup{pair.Agent, pair.Tool, c.figures()})
	}
	for name, c := range byTool {
		use.Tools = append(use.Tools, ToolGroup{Tool: name, ToolFigures: c.figures()})
	}
	for name, c := range byAgent {
		a := AgentTools{Agent: name, ToolFigures: c.figures(), Tools: append([]ToolGroup{}, pairs[name]...)}
		if t := tasks[name]; t != nil {
			a.TurnFigures = t.figures()
			for n, count := range t.Turns {
				turns.Count(n, count, 0)
			}
			turns.Failed += t.Failed
		}
		mostCalled(a.Tools)
		use.Agents = append(use.Agents, a)
	}
	mostCalled(use.Tools)
	slices.SortFunc(use.Agents, func(a, b AgentTools) int {
		return cmp.Or(cmp.Compare(b.Turns, a.Turns), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Agent, b.Agent))
	})
	use.ToolFigures, use.TurnFigures = all.figures(), turns.figures()
	return use
}

func mostCalled(list []ToolGroup) {
	slices.SortFunc(list, func(a, b ToolGroup) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Tool, b.Tool))
	})
}

// ToolTotals are the sums of a period, in a [Summary].
type ToolTotals struct {
	Tasks     int64 `json:"tasks"` // of agents with tools
	Turns     int64 `json:"turns"` // calls of the model in them
	ToolCalls int64 `json:"tool_calls"`
	Failed    int64 `json:"failed"`
	Denied    int64 `json:"denied"`
	Unknown   int64 `json:"unknown"`
}
