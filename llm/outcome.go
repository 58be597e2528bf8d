package llm

// Outcome is what one task came to: the answer, and what all calls made for it
// took together. A task of an agent with tools takes several calls.
type Outcome struct {
	Output      string   `json:"output"`                 // of a failed task: what came before the failure, or the answer that is not what was asked for
	Model       string   `json:"model"`                  // that answered, or was asked
	ModelReason string   `json:"model_reason,omitempty"` // why the model was selected; empty if it was named
	Source      Source   `json:"source"`                 // empty without an answer
	StopReason  string   `json:"stop_reason"`            // empty without an answer
	Usage       Usage    `json:"usage"`                  // of all calls
	CostUSD     *float64 `json:"cost_usd"`               // paid for all calls, in US dollars; nil if unknown
	Degraded    string   `json:"degraded,omitempty"`     // why the output is less than was asked for; empty if it is not
	Calls       int      `json:"calls,omitempty"`        // made for the task; 0 without any
	Timing               // of all calls
	Turns       int      `json:"turns,omitempty"`      // of an agent with tools: calls of the model in its loop, and in those of its sub-agents
	ToolCalls   int      `json:"tool_calls,omitempty"` // made by the agent and its sub-agents
	Session     *Session `json:"session,omitempty"`    // of the program that worked on the task; nil if it was this one
	Changes     *Changes `json:"changes,omitempty"`    // what it changed in a worktree of its own; nil if nothing
}

// Session is a conversation that another program had for a task.
type Session struct {
	Program string   `json:"program"`            // such as "claude-code"
	ID      string   `json:"id"`                 // by which the program resumes it
	Version string   `json:"version,omitempty"`  // of the program; empty if it did not say
	Turns   int      `json:"turns,omitempty"`    // as the program counts them
	CostUSD *float64 `json:"cost_usd,omitempty"` // as the program reckons; nil if it did not say
}

// Changes are what an agent changed in a Git worktree of its own.
type Changes struct {
	Branch   string   `json:"branch"`             // that has them
	Base     string   `json:"base"`               // the commit that the worktree started from
	Commit   string   `json:"commit"`             // the one that has them
	Worktree string   `json:"worktree"`           // its folder
	Files    []string `json:"files"`              // that differ, sorted
	Diff     string   `json:"diff"`               // the patch, at most 1 MiB of it
	DiffCut  bool     `json:"diff_cut,omitempty"` // the patch is longer
	Left     []string `json:"left,omitempty"`     // folders in the worktree that are repositories of their own, which are not among the changes
}

// AddCost returns o with the usage, the cost, the times and the calls of other
// added, which came later. The answer stays that of o. The cost is nil if either
// is unknown.
func (o Outcome) AddCost(other Outcome) Outcome {
	o.Usage = o.Usage.Add(other.Usage)
	o.Calls += other.Calls
	o.Timing = o.AddLater(other.Timing)
	if o.CostUSD == nil || other.CostUSD == nil {
		o.CostUSD = nil
		return o
	}
	o.CostUSD = new(*o.CostUSD + *other.CostUSD)
	return o
}
